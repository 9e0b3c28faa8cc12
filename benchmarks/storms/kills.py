"""Gateways that are killed or frozen while a storm rages."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from benchmarks.storms.processes import GatewayProcess


@asynccontextmanager
async def harming(
    gateways: Sequence[GatewayProcess], every_s: float, seed: int, *, freeze_s: float = 0.0
) -> AsyncIterator[list[str]]:
    """Every so often (0: never) a random gateway that is ready is killed and started again at once,
    or, with `freeze_s`, frozen for so long. What is given are the names of those that were. When
    the context ends, all are ready."""
    victims: list[str] = []
    dice = random.Random(f"{seed}-harm")
    task = asyncio.create_task(_harm(gateways, every_s, freeze_s, dice, victims))
    try:
        yield victims
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for gateway in gateways:
            await asyncio.to_thread(gateway.wait)


async def _harm(
    gateways: Sequence[GatewayProcess],
    every_s: float,
    freeze_s: float,
    dice: random.Random,
    victims: list[str],
) -> None:
    due_s = time.monotonic()
    while every_s:
        due_s += every_s
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        for each in gateways:
            each.revive()
        are_ready = await asyncio.gather(*(asyncio.to_thread(each.is_ready) for each in gateways))
        ready = [each for each, is_ready in zip(gateways, are_ready, strict=True) if is_ready]
        if not ready:
            continue
        victim = dice.choice(ready)
        victims.append(victim.name)
        if not freeze_s:
            victim.kill()
            victim.start()
            continue
        victim.freeze()
        try:
            await asyncio.sleep(freeze_s)
        finally:
            victim.thaw()
