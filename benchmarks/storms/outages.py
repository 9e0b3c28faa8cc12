"""What is answered while a store is away, emptied or slow, and does the budget hold through it?

A steady load at all gateways; for some seconds something is wrong with a store, then it is well
again. The calls together cost about twice the budget, so the budget is reached after the outage.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.storms.load import NUSD_A_TOKEN, Drawn, Told, calling
from benchmarks.storms.overspend import at_rest, fitting, others
from benchmarks.storms.peer import World, outcome
from benchmarks.storms.stores import Stores

SLOW_S: Final = 2.0
PHASES: Final = ("before", "during", "after")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`calls_a_s` for `before_s` + `during_s` + `after_s`; what is wrong is one of `WRONGS`."""

    wrong: str
    calls_a_s: float = 10.0
    before_s: float = 10.0
    during_s: float = 10.0
    after_s: float = 20.0

    @property
    def calls(self) -> int:
        """In all."""
        return int(self.calls_a_s * (self.before_s + self.during_s + self.after_s))


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """How it is made wrong, and well again."""

    begin: Callable[[Stores], None]
    end: Callable[[Stores], None]


def _restart(stores: Stores) -> None:
    stores.postgres.crash()
    stores.postgres.start()


def _nothing(_: Stores) -> None:
    pass


WRONGS: Final = {
    "redis emptied": Wrong(begin=lambda stores: stores.valkey.empty(), end=_nothing),
    "redis away": Wrong(
        begin=lambda stores: stores.valkey.stop(), end=lambda stores: stores.valkey.start()
    ),
    "postgres restarted": Wrong(begin=_restart, end=_nothing),
    "postgres away": Wrong(
        begin=lambda stores: stores.postgres.stop(), end=lambda stores: stores.postgres.start()
    ),
    "both slow": Wrong(
        begin=lambda stores: stores.delay(SLOW_S), end=lambda stores: stores.delay(0)
    ),
}


async def outage(world: World, plan: Plan) -> dict[str, Any]:
    """The outage and its account, amounts in nano-dollars."""
    peer, stores = world.peer, world.stores
    storm = plan.wrong.replace(" ", "_")
    output = (200, 400)
    budget_nusd = plan.calls * sum(output) // 2 * NUSD_A_TOKEN // 2
    key = await peer.new_key(budget_nusd)
    drawn = Drawn(seed=world.seed, storm=storm, output=output, faults=0, hangups=0.1)
    asks = [drawn.ask() for _ in range(plan.calls)]
    wrong = WRONGS[plan.wrong]
    async with calling(lambda: [gateway.url for gateway in peer.gateways]) as callers:
        over_s = plan.before_s + plan.during_s + plan.after_s
        calls = asyncio.create_task(callers.paced(key.text, asks, over_s))
        await asyncio.sleep(plan.before_s)
        begun_s = time.monotonic()
        await asyncio.to_thread(wrong.begin, stores)
        await asyncio.sleep(max(0.0, begun_s + plan.during_s - time.monotonic()))
        await asyncio.to_thread(wrong.end, stores)
        ended_s = time.monotonic()
        told = await calls
        for gateway in peer.gateways:
            await asyncio.to_thread(gateway.wait)
        bill = sum((await asyncio.to_thread(world.provider.billed, storm)).values())
        spent_nusd = await at_rest(lambda: peer.spent_nusd(key))
        fits = await fitting(world, callers, key, storm, budget_nusd - spent_nusd)
    return {
        "storm": plan.wrong,
        "calls": plan.calls,
        "during_s": round(ended_s - begun_s, 1),
        **_phases(world, told, begun_s, ended_s),
        "others": others(peer, told),
        "budget_nusd": budget_nusd,
        "billed_nusd": bill,
        "overspend_nusd": max(0, bill - budget_nusd),
        "written_nusd": spent_nusd,
        "lost_nusd": max(0, bill - spent_nusd),
        "fitting": fits,
    }


def _phases(
    world: World, told: Sequence[Told], begun_s: float, ended_s: float
) -> dict[str, dict[str, Any]]:
    """By when they began: what was answered, and how long the longest refusal took."""
    found: dict[str, dict[str, Any]] = {}
    for number, phase in enumerate(PHASES):
        each_of = [t for t in told if (t.began_s > begun_s) + (t.began_s > ended_s) == number]
        refusals_s = [each.ended_s - each.began_s for each in each_of if each.status == 503]
        found[phase] = {
            "answers": dict(Counter(outcome(world.peer, each) for each in each_of).most_common()),
            "statuses": dict(Counter(str(each.status) for each in each_of).most_common()),
            "longest_503_ms": round(max(refusals_s) * 1000) if refusals_s else None,
        }
    return found
