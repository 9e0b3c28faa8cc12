"""Replay worlds: `PYTHONPATH=tests .venv/bin/python -m sim 17` tells the story of seed 17,
`… -m sim 17 gateways=1 features=stop` that of a smaller one, `… -m sim 0-1000` looks for bad ones
and makes each small."""

import sys
import time

from sim.plan import draw, read
from sim.seeds import Tally, judge, shrink


def tell(text: str) -> int:
    """One world, with its story."""
    plan = read(text)
    print(plan)
    bad, story = judge(plan)
    print(story)
    print("\n".join(bad) or "clean")
    return len(bad)


def seek(first: int, last: int) -> int:
    """Many worlds; only the bad ones are told of."""
    tally, bad, began_s = Tally(), 0, time.monotonic()
    for seed in range(first, last):
        wrong, _ = judge(draw(seed), tally)
        if wrong:
            bad += 1
            print(f"{draw(seed)}\n  {wrong[0]}\n  small: {shrink(draw(seed))}", flush=True)
    print(tally, f"\n{tally.worlds / (time.monotonic() - began_s):.1f} worlds a second")
    return bad


if __name__ == "__main__":
    first, dash, last = sys.argv[1].partition("-")
    sys.exit(bool(seek(int(first), int(last)) if dash else tell(" ".join(sys.argv[1:]))))
