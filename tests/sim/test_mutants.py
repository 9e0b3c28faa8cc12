"""The checker has teeth: with one promise broken it complains."""

import pytest

from sim.measure import hunt
from sim.mutants import MUTANTS, Mutant

WORLDS_MAX = 150
"""Tried from the known one on; code that changed can shift what happens in a world."""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_broken_promise_is_seen(mutant: Mutant) -> None:
    seed, seen = hunt(mutant, mutant.seed, WORLDS_MAX)
    print(f"{mutant.about}: seed {seed}, {seen}")
    assert seed >= 0, f"{mutant.about}: nothing complained in {WORLDS_MAX} worlds"


def test_at_least_a_dozen_promises_are_broken_in_turn() -> None:
    assert len({mutant.name for mutant in MUTANTS}) >= 12
