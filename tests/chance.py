"""What tests leave to chance, and the variants that leave more to it.

Every seed is printed, and pytest shows what a failing test printed: with that `TOKENWARD_SEED` in
the environment the test draws the same again.
"""

import os
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, seed, settings

EACH_RUN = 20_260_115
SEEDS = 2**32
FROM_SEED = settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))
"""Of hypothesis with real processes and files: slow by nature, and repeated by its seed alone."""

Test = Callable[..., None]


def fixed_seed() -> int:
    """The same one each run, or $TOKENWARD_SEED."""
    return _told(EACH_RUN)


def fresh_seed() -> int:
    """Another one each run, or $TOKENWARD_SEED."""
    return _told(random.SystemRandom().randrange(SEEDS))


def _told(usual: int) -> int:
    number = int(os.environ.get("TOKENWARD_SEED") or usual)
    print(f"TOKENWARD_SEED={number}")
    return number


def fuzz(examples: int) -> Callable[[Test], Test]:
    """Above `@given`: so many examples, the same ones each run."""

    def decorate(test: Test) -> Test:
        return seed(fixed_seed())(settings(FROM_SEED, max_examples=examples)(test))

    return decorate


def soak(*values: Any, limit_s: float, name: str | None = None) -> Any:
    """Values of a test's parameters that make it long: a variant that only `make soak` runs."""
    marks = (pytest.mark.soak, pytest.mark.timeout(limit_s))
    return pytest.param(*values, marks=marks, id=name)
