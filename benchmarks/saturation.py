"""How many guarded calls a second does one core carry, and what does one cost?

    python -m benchmarks saturation [--profile FILE]

64 connections that call again at once, against one guard on one core; callers and provider on the
other. CPU is user and system time of the guard's process by calls. Then the frontier: the highest
fixed rate whose p99 stays under a limit.
"""

import argparse
import statistics
from pathlib import Path
from typing import Any, Final

import uvloop

from benchmarks.load import Pool
from benchmarks.rig import Rig, quantiles_us, report, running_rig

CONNECTIONS: Final = 64
CALLS: Final = 8_000
ROUNDS: Final = 5
WARM_UP: Final = 2_000
RATES: Final = (500, 1_000, 1_500, 2_000, 2_500, 3_000, 4_000)
RATE_S: Final = 4
LIMITS_MS: Final = (1, 5, 10, 50, 100)


async def saturate(rig: Rig, calls: int = CALLS, rounds: int = ROUNDS) -> dict[str, Any]:
    """Medians of some rounds."""
    pool = Pool(rig.guard_url, rig.request())
    await pool.open(CONNECTIONS)
    await pool.saturate(WARM_UP)
    cpu_us, a_second = [], []
    for _ in range(rounds):
        cpu_s = rig.cpu_s()
        took_s = await pool.saturate(calls)
        cpu_us.append((rig.cpu_s() - cpu_s) / calls * 1e6)
        a_second.append(calls / took_s)
    pool.close()
    return {
        "calls_a_s": round(statistics.median(a_second)),
        "cpu_us_a_call": round(statistics.median(cpu_us)),
        "rounds": {
            "calls_a_s": [round(value) for value in a_second],
            "cpu_us_a_call": [round(value) for value in cpu_us],
        },
    }


async def frontier(rig: Rig) -> dict[str, Any]:
    """Latency at each fixed rate, and the highest rate below each p99."""
    pool = Pool(rig.guard_url, rig.request())
    await pool.open(CONNECTIONS)
    await pool.saturate(WARM_UP)
    at_rate = {}
    for rate in RATES:
        took_s = await pool.pace(rate, rate * RATE_S)
        if took_s > RATE_S * 1.1:
            break  # it does not keep up
        at_rate[rate] = quantiles_us([arrivals[-1] for arrivals in pool.arrivals_s])
    pool.close()
    return {
        "latency_us_at_calls_a_s": at_rate,
        "calls_a_s_at_p99_ms": {
            limit: max((r for r, us in at_rate.items() if us["p99"] <= limit * 1000), default=None)
            for limit in LIMITS_MS
        },
    }


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", type=Path, help="run the guard under cProfile, write to FILE")
    profile = parser.parse_args().profile
    with running_rig(profile) as rig:
        found = uvloop.run(saturate(rig, rounds=2 if profile else ROUNDS))
        if profile is None:
            found["frontier"] = uvloop.run(frontier(rig))
            rig.check()
            report("saturation", found)
    if profile is not None:
        print(f"python -m pstats {profile}")


if __name__ == "__main__":
    main()
