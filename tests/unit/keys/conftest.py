"""A pepper and dice that always fall the same way."""

import random

import pytest

from tokenward.kernel.secret import Secret


class SeededDice:
    """Dice whose seed makes a test repeatable."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def below(self, limit: int) -> int:
        return self._random.randrange(limit)


@pytest.fixture
def dice() -> SeededDice:
    return SeededDice(20_260_101)


@pytest.fixture
def pepper() -> Secret:
    return Secret("pepper-" + "x" * 32, "the pepper")
