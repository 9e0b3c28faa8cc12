"""Does a budget hold, and is what was spent written down, whatever breaks?

A storm of calls at all gateways, most of which the budget cannot pay, with hang-ups and failures of
the provider, and with gateways that are killed, if wished. Then, when all is quiet: the provider's
bill beside the budget and beside what is written down, and calls that fit into what is left.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.storms.kills import harming
from benchmarks.storms.load import NUSD_A_TOKEN, Ask, Callers, Drawn, Told, calling
from benchmarks.storms.peer import Key, Peer, World, outcome

SHOWS: Final = ("P-4",)
UNCHANGED_S: Final = 25.0
"""What is written down has come to rest: LiteLLM writes every 10 s, and tokenward takes a gateway
for dead after 15 s."""
REST_LIMIT_S: Final = 180.0
FIT_SHARE: Final = 0.5
"""Half: tokenward takes the dearest service tier that a call could get for granted, 1.7 times."""
FIT_PROMPT_NUSD: Final = 1_500_000
"""Far more than the prompt costs, for those that count its bytes."""
FIT_TOKENS_MAX: Final = 16_000
FIT_CALLS_MAX: Final = 40


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One storm. `over_s` 0: all calls at once. Every `harm_every_s` (0: never) a gateway is killed
    or, with `freeze_s`, frozen for so long."""

    name: str
    calls: int
    budget_nusd: int
    over_s: float = 0.0
    harm_every_s: float = 0.0
    freeze_s: float = 0.0
    faults: float = 0.2
    hangups: float = 0.25
    gap_ms: int = 4


async def overspend(world: World, plan: Plan) -> dict[str, Any]:
    """The storm and its account, amounts in nano-dollars."""
    peer, provider = world.peer, world.provider
    key = await peer.new_key(plan.budget_nusd)
    drawn = Drawn(
        seed=world.seed,
        storm=plan.name,
        faults=plan.faults,
        hangups=plan.hangups,
        gap_ms=plan.gap_ms,
    )
    asks = [drawn.ask() for _ in range(plan.calls)]
    began_s = time.monotonic()
    urls = [gateway.url for gateway in peer.gateways]
    async with calling(lambda: urls, lambda told: peer.meaning(told) == "busy") as callers:
        async with harming(
            peer.gateways, plan.harm_every_s, world.seed, freeze_s=plan.freeze_s
        ) as harmed:
            if plan.over_s:
                told = await callers.paced(key.text, asks, plan.over_s)
            else:
                told = await callers.all_at_once(key.text, asks)
        took_s = time.monotonic() - began_s
        bill = await asyncio.to_thread(provider.billed, plan.name)
        spent_nusd = await at_rest(lambda: peer.spent_nusd(key))
        held_nusd = await peer.held_nusd(key)
        fits = await fitting(world, callers, key, plan.name, plan.budget_nusd - spent_nusd)
    billed_nusd = sum(bill.values())
    return {
        "storm": plan.name,
        "calls": plan.calls,
        "took_s": round(took_s, 1),
        "harmed": len(harmed),
        "ended_by_themselves": sum(gateway.ended for gateway in peer.gateways),
        "answers": dict(Counter(outcome(peer, each) for each in told).most_common()),
        "others": others(peer, told),
        "tries": sum(each.tries for each in told),
        "hangups": sum(each.has_left for each in told),
        "budget_nusd": plan.budget_nusd,
        "billed_nusd": billed_nusd,
        "billed_calls": len(bill),
        "overspend_nusd": max(0, billed_nusd - plan.budget_nusd),
        "written_nusd": spent_nusd,
        "lost_nusd": max(0, billed_nusd - spent_nusd),
        "overcharged_nusd": max(0, spent_nusd - billed_nusd),
        "held_nusd": held_nusd,
        "fitting": fits,
    }


def others(peer: Peer, told: Sequence[Told]) -> dict[str, int]:
    """Answers that no meaning fits, by the beginning of their text."""
    odd = [f"{each.status} {each.text[:160]}" for each in told if peer.meaning(each) == "other"]
    return dict(Counter(odd).most_common(5))


async def at_rest(read: Callable[[], Awaitable[int]]) -> int:
    """A number when it has not changed for `UNCHANGED_S`. AssertionError if it never rests."""
    until_s = time.monotonic() + REST_LIMIT_S
    value, since_s = await read(), time.monotonic()
    while time.monotonic() - since_s < UNCHANGED_S:
        assert time.monotonic() < until_s, f"what is written down goes on changing: {value}"
        await asyncio.sleep(1)
        if (now := await read()) != value:
            value, since_s = now, time.monotonic()
    return value


async def fitting(
    world: World, callers: Callers, key: Key, storm: str, left_nusd: int
) -> dict[str, Any]:
    """Calls at the same time that all fit into what is left, by the gateway's own account: how many
    of them were answered. A refusal is a false block."""
    usable_nusd = int(left_nusd * FIT_SHARE)
    a_call_nusd = min(usable_nusd, FIT_TOKENS_MAX * NUSD_A_TOKEN)
    tokens = (a_call_nusd - FIT_PROMPT_NUSD) // NUSD_A_TOKEN
    if tokens < 1:
        return {"left_nusd": left_nusd, "asked": 0}
    count = min(usable_nusd // a_call_nusd, FIT_CALLS_MAX)
    asks = [
        Ask(tag=f"{storm}-fit-{number}", output=10, output_max=tokens, chunks=10, gap_ms=100)
        for number in range(count)
    ]
    told = await callers.all_at_once(key.text, asks)
    return {
        "left_nusd": left_nusd,
        "asked": count,
        "answers": dict(Counter(map(world.peer.meaning, told))),
        "why": sorted({each.text[:300] for each in told if each.status >= 400})[:2],
    }
