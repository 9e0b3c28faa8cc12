"""What does the guard do to a stream: later first piece, wider gaps, and at which cost?

    python -m benchmarks streams

Streams of 20 events, 5 ms apart. First pieces in pairs, direct and guarded, in random order. Gaps
are between pieces as a caller sees them, with 32 streams at once. CPU of a streamed event is that
of a stream, less that of a plain call, by the events.
"""

import random
from itertools import pairwise
from typing import Any, Final

import uvloop

from benchmarks.load import Line, Pool
from benchmarks.provider import CHUNKS
from benchmarks.rig import Rig, middle_half_us, quantiles_us, report, running_rig

PAIRS: Final = 100
AT_ONCE: Final = 32
STREAMS: Final = 1_600
CALLS: Final = 6_000


def first_pieces(rig: Rig, dice: random.Random) -> dict[str, Any]:
    """One stream at a time, in pairs. The first piece holds the head and the first event."""
    lines = {
        "direct": Line(rig.provider_url, rig.direct_request(stream=True)),
        "guarded": Line(rig.guard_url, rig.request(stream=True)),
    }
    firsts_s: dict[str, list[float]] = {name: [] for name in lines}
    for line in lines.values():
        line.call_s()
    for _ in range(PAIRS):
        for name in dice.sample(list(lines), 2):
            firsts_s[name].append(lines[name].arrivals_s()[0])
    for line in lines.values():
        line.close()
    added_s = [g - d for d, g in zip(firsts_s["direct"], firsts_s["guarded"], strict=True)]
    return {
        **{f"{name}_us": quantiles_us(values_s) for name, values_s in firsts_s.items()},
        "added_us": {**quantiles_us(added_s), **middle_half_us(added_s)},
        "pairs": PAIRS,
    }


async def many(rig: Rig) -> dict[str, Any]:
    """Gaps and CPU."""
    found: dict[str, Any] = {"streams_at_once": AT_ONCE}
    pools = {
        "direct": Pool(rig.provider_url, rig.direct_request(stream=True)),
        "guarded": Pool(rig.guard_url, rig.request(stream=True)),
        "plain": Pool(rig.guard_url, rig.request()),
    }
    cpu_us = {}
    for name, pool in pools.items():
        await pool.open(AT_ONCE)
        await pool.saturate(AT_ONCE * 4)
        count = CALLS if name == "plain" else STREAMS
        cpu_s = rig.cpu_s()
        await pool.saturate(count)
        cpu_us[name] = (rig.cpu_s() - cpu_s) / count * 1e6
        if name != "plain":
            gaps_s = [
                later - sooner for pieces in pool.arrivals_s for sooner, later in pairwise(pieces)
            ]
            found[f"{name}_gap_us"] = quantiles_us(gaps_s)
        pool.close()
    found["cpu_us_a_stream"] = round(cpu_us["guarded"])
    found["cpu_us_a_plain_call"] = round(cpu_us["plain"])
    found["cpu_us_an_event"] = round((cpu_us["guarded"] - cpu_us["plain"]) / CHUNKS, 1)
    return found


def main() -> None:
    """Measure and report."""
    with running_rig() as rig:
        found = {
            "first_piece": first_pieces(rig, random.Random(1)),
            "many": uvloop.run(many(rig)),
        }
        rig.check()
    report("streams", found)


if __name__ == "__main__":
    main()
