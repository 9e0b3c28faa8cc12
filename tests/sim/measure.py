"""How many worlds a mutant survives: `PYTHONPATH=tests .venv/bin/python -m sim.measure [NAMES]`."""

import sys

from sim.mutants import MUTANTS, Mutant
from sim.seeds import judge

SEEDS = 3000


def hunt(mutant: Mutant, first: int = 0, seeds: int = SEEDS) -> tuple[int, str]:
    """The seed in whose world it was seen, from the first on, and the complaint; -1 if it lives.
    The same world is clean without it."""
    for seed in range(first, first + seeds):
        with mutant.alive():
            wrong, _ = judge(mutant.plan(seed))
        if wrong and not judge(mutant.plan(seed))[0]:
            return seed, wrong[0]
    return -1, ""


if __name__ == "__main__":
    print("| mutant | worlds it survived | what was said first |\n|---|---|---|")
    for each in MUTANTS:
        if len(sys.argv) == 1 or each.name in sys.argv[1:]:
            seed, seen = hunt(each)
            print(f"| {each.about} (`{each.name}`) | {seed} | {seen} |", flush=True)
