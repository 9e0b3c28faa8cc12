"""How many guarded calls a second does one core carry, what does one cost, and how does latency
follow the rate?

    python -m benchmarks saturation [--profile FILE]

64 connections that call again at once, against one guard on one core; callers and provider on the
others. CPU is user and system time of the guard's process by calls, and of a relay that only passes
bytes on, in the same rounds: that one tells how fast the machine is. Then a sweep over fixed rates,
whatever the answers do (open loop), in rounds: where p99 bends (the knee), and the frontier, the
highest rate whose p99 stays under each limit.
"""

import random
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import uvloop

from benchmarks import processes
from benchmarks.load import Pool
from benchmarks.options import parser_of, read_options
from benchmarks.rig import OFF, ON, Rig, middle, quantiles_us, report, running_relay, running_rig

SHOWS: Final = ("O-6", "P-3")
CONNECTIONS: Final = 64
CALLS: Final = 8_000
ROUNDS: Final = 5
WARM_UP: Final = 2_000
RATES: Final = (100, 250, 500, 750, 1_000, 1_500, 2_000, 2_500, 3_000, 3_500, 4_000, 5_000, 6_000)
RATE_S: Final = 3.0
RATE_ROUNDS: Final = 3
BEHIND: Final = 1.1
"""Who takes this many times as long as the rate has it does not keep up."""
LIMITS_MS: Final = (1, 5, 10, 50, 100)
KNEE_TIMES: Final = 4
"""p99 has bent where it is so many times what it is at the lowest rate."""


async def saturate(
    rig: Rig, calls: int = CALLS, rounds: int = ROUNDS, warm_up: int = WARM_UP
) -> dict[str, Any]:
    """Medians of some rounds; where a relay runs, its share in the same rounds."""
    pools = {"guarded": Pool(rig.guard_url, rig.request())}
    spent_s = {"guarded": rig.cpu_s}
    if rig.relay_url:
        pools["relayed"] = Pool(rig.relay_url, rig.relayed_request())
        spent_s["relayed"] = lambda: processes.cpu_s([rig.relay_pid])
    for pool in pools.values():
        await pool.open(CONNECTIONS)
        await pool.saturate(max(warm_up, CONNECTIONS))
    cpu_us: dict[str, list[float]] = {name: [] for name in pools}
    a_second: dict[str, list[float]] = {name: [] for name in pools}
    for _ in range(rounds):
        for name, pool in pools.items():
            cpu_s = spent_s[name]()
            took_s = await pool.saturate(calls)
            cpu_us[name].append((spent_s[name]() - cpu_s) / calls * 1e6)
            a_second[name].append(calls / took_s)
    for pool in pools.values():
        pool.close()
    return {
        "calls_a_s": round(statistics.median(a_second["guarded"])),
        "cpu_us_a_call": round(statistics.median(cpu_us["guarded"])),
        "relay_cpu_us_a_call": round(statistics.median(cpu_us.get("relayed", [0]))) or None,
        "rounds": {
            "calls_a_s": [round(value) for value in a_second["guarded"]],
            "cpu_us_a_call": [round(value) for value in cpu_us["guarded"]],
        },
    }


async def sweep(
    rig: Rig,
    dice: random.Random,
    *,
    rates: Sequence[int] = RATES,
    rate_s: float = RATE_S,
    rounds: int = RATE_ROUNDS,
    warm_up: int = WARM_UP,
) -> dict[str, Any]:
    """Latency at each fixed rate: first upwards until one is not kept up with, then those that were
    again, in random order. Medians of the rounds' quantiles."""
    pool = Pool(rig.guard_url, rig.request())
    await pool.open(CONNECTIONS)
    await pool.saturate(max(warm_up, CONNECTIONS))
    found: dict[int, list[dict[str, float]]] = {}
    lost = None
    for rate in rates:
        took_s = await pool.pace(rate, round(rate * rate_s))
        if took_s > rate_s * BEHIND:
            lost = rate
            break
        found[rate] = [_latency_us(pool)]
    for _ in range(rounds - 1):
        for rate in dice.sample(list(found), len(found)):
            await pool.pace(rate, round(rate * rate_s))
            found[rate].append(_latency_us(pool))
    pool.close()
    at_rate = {
        rate: {q: round(statistics.median(us[q] for us in own)) for q in ("p50", "p95", "p99")}
        for rate, own in found.items()
    }
    p99_ms = {rate: us["p99"] / 1000 for rate, us in at_rate.items()}
    return {
        "latency_us_at_calls_a_s": {
            rate: {**us, "p99_of_rounds": middle([each["p99"] for each in found[rate]])}
            for rate, us in at_rate.items()
        },
        "rounds": rounds,
        "round_s": rate_s,
        "not_kept_up_with_calls_a_s": lost,
        "knee": knee(p99_ms),
        "calls_a_s_at_p99_ms": frontier(p99_ms),
    }


def _latency_us(pool: Pool) -> dict[str, float]:
    return quantiles_us([arrivals[-1] for arrivals in pool.arrivals_s])


def knee(p99_ms: Mapping[int, float]) -> dict[str, Any]:
    """Where p99 bends: the highest rate up to which it stays below `KNEE_TIMES` what it is at the
    lowest one, and the first rate above. None where nothing was kept up with, or nothing bent."""
    rates = sorted(p99_ms)
    limit_ms = KNEE_TIMES * p99_ms[rates[0]] if rates else 0.0
    bent = next((rate for rate in rates if p99_ms[rate] > limit_ms), None)
    below = [rate for rate in rates if bent is None or rate < bent]
    return {
        "up_to_calls_a_s": max(below, default=None),
        "bent_at_calls_a_s": bent,
        "times_p99_of_the_lowest_rate": KNEE_TIMES,
    }


def frontier(p99_ms: Mapping[int, float]) -> dict[int, int | None]:
    """For each limit the highest rate up to which p99 stays under it; None if it never does."""
    found: dict[int, int | None] = {}
    for limit_ms in LIMITS_MS:
        within = None
        for rate in sorted(p99_ms):
            if p99_ms[rate] > limit_ms:
                break
            within = rate
        found[limit_ms] = within
    return found


def main() -> None:
    """Measure and report."""
    parser = parser_of(__doc__)
    parser.add_argument("--profile", type=Path, help="run the guard under cProfile, write to FILE")
    args = read_options(parser)
    calls, rounds = (500, 2) if args.quick else (CALLS, 2 if args.profile else ROUNDS)
    with running_rig(args.profile) as rig, running_relay(rig):
        found = uvloop.run(saturate(rig, calls, rounds, 100 if args.quick else WARM_UP))
        if args.profile is None:
            tiny = {"rates": (50, 100), "rate_s": 0.5, "rounds": 2, "warm_up": 0}
            asked = tiny if args.quick else {}
            found["sweep"] = uvloop.run(sweep(rig, random.Random(1), **asked))
            found |= {"guard_processes": len(rig.family), "on": ON, "off": OFF}
            rig.check()
            report("saturation", found, is_kept=not args.quick)
    if args.profile is not None:
        print(f"python -m pstats {args.profile}")


if __name__ == "__main__":
    main()
