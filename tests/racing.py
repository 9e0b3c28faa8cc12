"""Several processes that do the same thing at the same instant, round after round."""

import asyncio
import multiprocessing
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.managers import SyncManager
from threading import Barrier
from typing import Any

from hot_engines import open_proofs
from tokenward.machine import RealClock

WAIT_S = 60.0
SPAWN = multiprocessing.get_context("spawn")


def race(racers: int, run: Callable[..., list[Any]], *arguments: Any) -> list[list[Any]]:
    """`run(start, *arguments)` in so many processes; what each returned, turned round by round:
    for every round one list with what each process met. `run` waits for `start` in each round."""
    with SyncManager(ctx=SPAWN) as manager, ProcessPoolExecutor(racers, SPAWN) as pool:
        start = manager.Barrier(racers)
        running = [pool.submit(run, start, *arguments) for _ in range(racers)]
        return [list(met) for met in zip(*(each.result(WAIT_S) for each in running), strict=True)]


def claim_all(start: Barrier, place: str, keys: Sequence[bytes], until_ms: int) -> list[bool]:
    """Use up each proof through a store of one's own on the same memory."""

    async def claim() -> list[bool]:
        async with open_proofs(place, RealClock()) as store:
            won = []
            for key in keys:
                await asyncio.to_thread(start.wait, WAIT_S)
                won.append(await store.claim(key, until_ms, store.epoch.since_ms))
            return won

    return asyncio.run(claim())


def open_once(start: Barrier, place: str) -> list[bytes]:
    """Open a store; the secret that it found or made."""

    async def secret() -> bytes:
        async with open_proofs(place, RealClock()) as store:
            return store.epoch.secret

    start.wait(WAIT_S)
    return [asyncio.run(secret())]


def send_all(start: Barrier, port: int, requests: Sequence[bytes]) -> list[bytes]:
    """Send each request on a connection that was opened before; the status line of each answer."""
    lines = []
    for request in requests:
        with socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) as end:
            start.wait(WAIT_S)
            end.sendall(request)
            answer = b""
            while b"\r\n" not in answer and (piece := end.recv(65536)):
                answer += piece
            lines.append(answer.partition(b"\r\n")[0])
    return lines
