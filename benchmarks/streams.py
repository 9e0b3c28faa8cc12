"""What does the guard do to a stream: later first piece, wider gaps, and at which cost?

    python -m benchmarks streams

Streams of 20 events, 5 ms apart. First pieces directly, through a relay that only passes bytes on,
and through the guard, in random order. Gaps are between pieces as a caller sees them, with 32
streams at once, in turns of random order. CPU of a streamed event is that of a stream, less that of
a plain call, by the events.
"""

import random
import statistics
from itertools import pairwise
from typing import Any, Final

import uvloop

from benchmarks.load import Pool
from benchmarks.options import parser_of, read_options
from benchmarks.overhead import first_piece_s, in_turn, lines_of
from benchmarks.provider import CHUNKS
from benchmarks.rig import OFF, ON, Rig, middle, quantiles_us, report, running_relay, running_rig

SHOWS: Final = ("P-3",)
PAIRS: Final = 100
AT_ONCE: Final = 32
TURNS: Final = 5
STREAMS: Final = 320
CALLS: Final = 1_200


def first_pieces(rig: Rig, dice: random.Random, pairs: int = PAIRS) -> dict[str, Any]:
    """One stream at a time. The first piece holds the head and the first event."""
    return in_turn(lines_of(rig, stream=True), pairs, dice, 1, first_piece_s)


async def many(
    rig: Rig,
    dice: random.Random,
    *,
    at_once: int = AT_ONCE,
    turns: int = TURNS,
    streams: int = STREAMS,
    calls: int = CALLS,
) -> dict[str, Any]:
    """First pieces, gaps and CPU, with many streams at once."""
    pools = {
        "direct": Pool(rig.provider_url, rig.direct_request(stream=True)),
        "guarded": Pool(rig.guard_url, rig.request(stream=True)),
        "plain": Pool(rig.guard_url, rig.request()),
    }
    cpu_us: dict[str, list[float]] = {name: [] for name in pools}
    gaps_s: dict[str, list[float]] = {name: [] for name in pools}
    firsts_s: dict[str, list[float]] = {name: [] for name in pools}
    for pool in pools.values():
        await pool.open(at_once)
        await pool.saturate(at_once * 2)
    for _ in range(turns):
        for name in dice.sample(list(pools), len(pools)):
            pool, count = pools[name], calls if name == "plain" else streams
            cpu_s = rig.cpu_s()
            await pool.saturate(count)
            cpu_us[name].append((rig.cpu_s() - cpu_s) / count * 1e6)
            firsts_s[name] += [pieces[0] for pieces in pool.arrivals_s]
            gaps_s[name] += [b - a for pieces in pool.arrivals_s for a, b in pairwise(pieces)]
    for pool in pools.values():
        pool.close()
    shown = ("direct", "guarded")
    an_event = [(s - p) / CHUNKS for s, p in zip(cpu_us["guarded"], cpu_us["plain"], strict=True)]
    return {
        "streams_at_once": at_once,
        "turns": turns,
        **{f"{name}_first_piece_us": quantiles_us(firsts_s[name]) for name in shown},
        **{f"{name}_gap_us": quantiles_us(gaps_s[name]) for name in shown},
        "cpu_us_a_stream": round(statistics.median(cpu_us["guarded"])),
        "cpu_us_a_plain_call": round(statistics.median(cpu_us["plain"])),
        "cpu_us_an_event": middle(an_event),
    }


def main() -> None:
    """Measure and report."""
    args = read_options(parser_of(__doc__))
    dice = random.Random(1)
    tiny = {"at_once": 8, "turns": 2, "streams": 32, "calls": 100} if args.quick else {}
    with running_rig() as rig, running_relay(rig):
        found = {
            "first_piece": first_pieces(rig, dice, 10 if args.quick else PAIRS),
            "many": uvloop.run(many(rig, dice, **tiny)),
            "guard_processes": len(rig.family),
            "on": ON,
            "off": OFF,
        }
        rig.check()
    report("streams", found, is_kept=not args.quick)


if __name__ == "__main__":
    main()
