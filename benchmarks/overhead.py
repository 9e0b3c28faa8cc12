"""How much later does an answer come because of the guard?

    python -m benchmarks overhead

Each call goes directly, through a relay that only passes bytes on, and through the guard, in
random order, on kept connections; what each adds to the direct one counts, with its IQR (P-1). Once
one call after the other: with a prompt of a few words, the same with a proof of possession, and
with prompts of 50,000 and 100,000 tokens; once 500 calls a second, in short turns of random order.
All is measured by the caller.
"""

import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import uvloop

from benchmarks.load import Line, Pool
from benchmarks.options import parser_of, read_options
from benchmarks.proofs import holder, nonce_of, signed, signer
from benchmarks.rig import (
    HUGE,
    LARGE,
    OFF,
    ON,
    SMALL,
    Rig,
    middle_half_us,
    quantiles_us,
    report,
    running_relay,
    running_rig,
)
from tokenward.kernel import jwk

SHOWS: Final = ("P-1", "P-2", "P-3")
DIRECT: Final = "direct"
PAIRS: Final = 1_500
LARGE_PAIRS: Final = 300
WARM_UP: Final = 200
RATE: Final = 500
TURN_S: Final = 1.0
TURNS: Final = 10
CONNECTIONS: Final = 16


def lines_of(rig: Rig, *, text: str = SMALL, stream: bool = False) -> dict[str, Line]:
    """The same call directly, through the relay and through the guard."""
    return {
        DIRECT: Line(rig.provider_url, rig.direct_request(text=text, stream=stream)),
        "relayed": Line(rig.relay_url, rig.relayed_request(text=text, stream=stream)),
        "guarded": Line(rig.guard_url, rig.request(text=text, stream=stream)),
    }


def bound_lines_of(rig: Rig) -> dict[str, Line]:
    """Directly and through the guard with a key that is bound: each call has a proof of its own,
    made before the clock starts, since that is the caller's work."""
    thumbprint = jwk.thumbprint_of(jwk.public_jwk(holder()))
    key = rig.new_key(bind="dpop", thumbprint=thumbprint)
    nonce, signs = nonce_of(rig, key), signer(holder())
    sign = partial(signed, rig.request(key=key), rig.guard_url, key, nonce, signs)
    return {
        DIRECT: Line(rig.provider_url, rig.direct_request()),
        "guarded": Line(rig.guard_url, sign),
    }


def call_s(line: Line) -> float:
    """The whole of a call."""
    return line.call_s()


def first_piece_s(line: Line) -> float:
    """Until the head and the first event of a stream; the rest is read too."""
    return line.arrivals_s()[0]


def in_turn(
    lines: Mapping[str, Line],
    pairs: int,
    dice: random.Random,
    warm_up: int = WARM_UP,
    measure_s: Callable[[Line], float] = call_s,
) -> dict[str, Any]:
    """One call at a time; each round goes once over every line, in random order. What the others
    add to `direct`, round by round. The lines are closed."""
    took_s: dict[str, list[float]] = {name: [] for name in lines}
    for number in range(-warm_up, pairs):
        for name in dice.sample(list(lines), len(lines)):
            seconds = measure_s(lines[name])
            if number >= 0:
                took_s[name].append(seconds)
    for line in lines.values():
        line.close()
    return {
        **{f"{name}_us": quantiles_us(values_s) for name, values_s in took_s.items()},
        **{
            f"added_by_{name}_us": {**quantiles_us(added_s), **middle_half_us(added_s)}
            for name, added_s in _added_s(took_s).items()
        },
        "pairs": pairs,
    }


def _added_s(took_s: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """Round by round, what each took more than `direct`."""
    return {
        name: [t - d for d, t in zip(took_s[DIRECT], values_s, strict=True)]
        for name, values_s in took_s.items()
        if name != DIRECT
    }


def pools_of(rig: Rig) -> dict[str, Pool]:
    """For many calls at once. Made on a running loop."""
    return {
        DIRECT: Pool(rig.provider_url, rig.direct_request()),
        "relayed": Pool(rig.relay_url, rig.relayed_request()),
        "guarded": Pool(rig.guard_url, rig.request()),
    }


async def at_rate(
    make_pools: Callable[[], Mapping[str, Pool]],
    dice: random.Random,
    *,
    rate: int = RATE,
    turn_s: float = TURN_S,
    turns: int = TURNS,
    warm_up: int = WARM_UP,
) -> dict[str, Any]:
    """A fixed rate, in rounds of turns; the differences of each round's quantiles. The pools are
    made, opened and closed."""
    pools = make_pools()
    for pool in pools.values():
        await pool.open(CONNECTIONS)
        await pool.saturate(max(warm_up, CONNECTIONS))
    found: dict[str, list[dict[str, float]]] = {name: [] for name in pools}
    for _ in range(turns):
        for name in dice.sample(list(pools), len(pools)):
            await pools[name].pace(rate, round(rate * turn_s))
            found[name].append(quantiles_us([each[-1] for each in pools[name].arrivals_s]))
    for pool in pools.values():
        pool.close()
    quantiles = ("p50", "p95", "p99")
    return {
        "calls_a_s": rate,
        **{
            f"added_by_{name}_us": {
                each: middle_half_us(
                    [(t[each] - d[each]) / 1e6 for d, t in zip(found[DIRECT], own, strict=True)]
                )
                for each in quantiles
            }
            for name, own in found.items()
            if name != DIRECT
        },
        **{
            f"{name}_us": {q: round(statistics.median(t[q] for t in own)) for q in quantiles}
            for name, own in found.items()
        },
        "turns": turns,
    }


def measure(
    rig: Rig, dice: random.Random, *, share: float = 1.0, rate: int = RATE
) -> dict[str, Any]:
    """All of it; with `share` only so much of each."""
    few, some = max(4, round(LARGE_PAIRS * share)), max(8, round(PAIRS * share))
    warm_up = round(WARM_UP * share)
    turns = {"turns": max(2, round(TURNS * share)), "turn_s": max(0.2, TURN_S * share)}
    return {
        "small_prompt": in_turn(lines_of(rig), some, dice, warm_up),
        "small_prompt_dpop": in_turn(bound_lines_of(rig), some, dice, warm_up),
        "prompt_of_50000_tokens": in_turn(lines_of(rig, text=LARGE), few, dice, warm_up // 4),
        "prompt_of_100000_tokens": in_turn(lines_of(rig, text=HUGE), few, dice, warm_up // 4),
        "fixed_rate": uvloop.run(
            at_rate(partial(pools_of, rig), dice, rate=rate, warm_up=warm_up, **turns)
        ),
        "request_bytes": {
            "small_prompt": len(rig.request()),
            "prompt_of_50000_tokens": len(rig.request(text=LARGE)),
            "prompt_of_100000_tokens": len(rig.request(text=HUGE)),
        },
        "guard_processes": len(rig.family),
        "on": ON,
        "off": OFF,
    }


def main() -> None:
    """Measure and report."""
    args = read_options(parser_of(__doc__))
    with running_rig() as rig, running_relay(rig):
        found = measure(rig, random.Random(1), share=0.02 if args.quick else 1.0)
        rig.check()
    report("overhead", found, is_kept=not args.quick)


if __name__ == "__main__":
    main()
