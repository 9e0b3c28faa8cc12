"""How much later does an answer come because of the guard?

    python -m benchmarks overhead

Each call goes directly and through the guard, in random order, on kept connections; the
difference of each pair counts (P-1). Once one call after the other, with a prompt of a few words
and with one of 50,000 tokens; once 500 calls a second, in short turns of random order.
"""

import random
import statistics
from typing import Any, Final

import uvloop

from benchmarks.load import Line, Pool
from benchmarks.rig import LARGE, SMALL, Rig, middle_half_us, quantiles_us, report, running_rig

PAIRS: Final = 1_500
LARGE_PAIRS: Final = 300
WARM_UP: Final = 200
RATE: Final = 500
TURN_S: Final = 1
TURNS: Final = 10
CONNECTIONS: Final = 16


def in_turn(rig: Rig, text: str, pairs: int, dice: random.Random) -> dict[str, Any]:
    """One call at a time, in pairs."""
    lines = {
        "direct": Line(rig.provider_url, rig.direct_request(text=text)),
        "guarded": Line(rig.guard_url, rig.request(text=text)),
    }
    took_s: dict[str, list[float]] = {name: [] for name in lines}
    for number in range(-WARM_UP, pairs):
        for name in dice.sample(list(lines), 2):
            call_s = lines[name].call_s()
            if number >= 0:
                took_s[name].append(call_s)
    for line in lines.values():
        line.close()
    added_s = [g - d for d, g in zip(took_s["direct"], took_s["guarded"], strict=True)]
    return {
        **{f"{name}_us": quantiles_us(values_s) for name, values_s in took_s.items()},
        "added_us": {**quantiles_us(added_s), **middle_half_us(added_s)},
        "pairs": pairs,
    }


async def at_rate(rig: Rig, dice: random.Random) -> dict[str, Any]:
    """A fixed rate, in pairs of turns; the difference of each pair's quantiles."""
    pools = {
        "direct": Pool(rig.provider_url, rig.direct_request()),
        "guarded": Pool(rig.guard_url, rig.request()),
    }
    for pool in pools.values():
        await pool.open(CONNECTIONS)
        await pool.saturate(WARM_UP)
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in pools}
    for _ in range(TURNS):
        for name in dice.sample(list(pools), 2):
            await pools[name].pace(RATE, RATE * TURN_S)
            turns[name].append(quantiles_us([each[-1] for each in pools[name].arrivals_s]))
    for pool in pools.values():
        pool.close()
    pairs = list(zip(turns["direct"], turns["guarded"], strict=True))
    return {
        "calls_a_s": RATE,
        "added_us": {
            name: middle_half_us([(g[name] - d[name]) / 1e6 for d, g in pairs])
            for name in ("p50", "p95", "p99")
        },
        "guarded_us": {
            name: round(statistics.median(turn[name] for turn in turns["guarded"]))
            for name in ("p50", "p95", "p99")
        },
        "turns": TURNS,
    }


def main() -> None:
    """Measure and report."""
    dice = random.Random(1)
    with running_rig() as rig:
        found = {
            "small_prompt": in_turn(rig, SMALL, PAIRS, dice),
            "large_prompt": in_turn(rig, LARGE, LARGE_PAIRS, dice),
            "fixed_rate": uvloop.run(at_rate(rig, dice)),
        }
        rig.check()
    report("overhead", found)


if __name__ == "__main__":
    main()
