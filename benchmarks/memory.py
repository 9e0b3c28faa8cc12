"""Does the guard grow with the calls it has served, and does it give back what a rush took?

    python -m benchmarks memory

Resident memory, MB: idle (just started); after 10,000 and 100,000 small calls; steady (median while
the last of them run); the most while prompts of 100,000 tokens come on 64 connections at once;
recovered (10 s and 30 s after the last call).
"""

import asyncio
import statistics
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import uvloop

from benchmarks.load import Pool
from benchmarks.options import parser_of, read_options
from benchmarks.rig import HUGE, OFF, ON, Rig, report, running_rig

SHOWS: Final = ("O-5", "P-3")
CONNECTIONS: Final = 64
AFTER_CALLS: Final = (10_000, 100_000)
RUSH_CALLS: Final = 2_000
RESTS_S: Final = (10, 30)
LOOK_EVERY_S: Final = 0.2


async def grow(
    rig: Rig,
    *,
    after_calls: Sequence[int] = AFTER_CALLS,
    rush_calls: int = RUSH_CALLS,
    rests_s: Sequence[float] = RESTS_S,
) -> dict[str, Any]:
    """MB in each state."""
    found: dict[str, Any] = {"idle": rig.rss_mb(), "after_calls": {}}
    pool = Pool(rig.guard_url, rig.request())
    await pool.open(CONNECTIONS)
    served = 0
    for calls in after_calls:
        async with looking(rig) as seen:
            await pool.saturate(calls - served)
        served = calls
        found["after_calls"][calls] = rig.rss_mb()
        found["steady"] = round(statistics.median(seen), 1)
    pool.close()
    rush = Pool(rig.guard_url, rig.request(text=HUGE))
    await rush.open(CONNECTIONS)
    async with looking(rig) as at_most:
        await rush.saturate(rush_calls)
    rush.close()
    found["most_in_a_rush_of_large_prompts"] = max(at_most)
    found["recovered"] = {}
    rested_s = 0.0
    for rest_s in rests_s:
        await asyncio.sleep(rest_s - rested_s)
        rested_s = rest_s
        found["recovered"][f"after {rest_s:g} s"] = rig.rss_mb()
    return found


@asynccontextmanager
async def looking(rig: Rig) -> AsyncIterator[list[float]]:
    """Look at the guard's memory now and then, and once when this ends."""
    seen: list[float] = []

    async def look() -> None:
        while True:
            seen.append(rig.rss_mb())
            await asyncio.sleep(LOOK_EVERY_S)

    task = asyncio.create_task(look())
    try:
        yield seen
    finally:
        task.cancel()
        seen.append(rig.rss_mb())


def main() -> None:
    """Measure and report."""
    args = read_options(parser_of(__doc__))
    tiny = {"after_calls": (100, 300), "rush_calls": 64, "rests_s": (1,)} if args.quick else {}
    with running_rig() as rig:
        found = uvloop.run(grow(rig, **tiny))
        rig.check()
        facts = {"guard_processes": len(rig.family), "on": ON, "off": OFF}
    report("memory", {"rss_mb": found, **facts}, is_kept=not args.quick)


if __name__ == "__main__":
    main()
