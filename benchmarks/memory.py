"""Does the guard grow with the calls it has served?

    python -m benchmarks memory

Resident memory of a guard that has just started, after 10,000 calls, after 100,000, and 10 s after
the last one.
"""

import time
from typing import Final

import uvloop

from benchmarks.load import Pool
from benchmarks.rig import Rig, report, running_rig

CONNECTIONS: Final = 64
AFTER_CALLS: Final = (10_000, 100_000)
REST_S: Final = 10


async def grow(rig: Rig) -> dict[str, float]:
    """MB after so many calls."""
    found = {"0": rig.rss_mb()}
    pool = Pool(rig.guard_url, rig.request())
    await pool.open(CONNECTIONS)
    served = 0
    for calls in AFTER_CALLS:
        await pool.saturate(calls - served)
        served = calls
        found[str(calls)] = rig.rss_mb()
    pool.close()
    return found


def main() -> None:
    """Measure and report."""
    with running_rig() as rig:
        found = uvloop.run(grow(rig))
        time.sleep(REST_S)
        found[f"{REST_S} s later"] = rig.rss_mb()
        rig.check()
    report("memory", {"rss_mb_after_calls": found})


if __name__ == "__main__":
    main()
