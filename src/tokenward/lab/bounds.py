"""Between which rates may the truth lie, when k of n were seen? Exact bounds for a binomial.

C. J. Clopper and E. S. Pearson, "The use of confidence or fiducial limits illustrated in the case
of the binomial", Biometrika 26 (1934).
"""

from collections.abc import Callable
from math import exp, lgamma, log, log1p
from typing import Final

_STEPS: Final = 60
"""Halvings of [0, 1]: as fine as a float."""


def clopper_pearson(seen: int, units: int, confidence: float = 0.95) -> tuple[float, float]:
    """The two-sided exact bounds of a rate. `seen` of `units`; (0.0, 1.0) without any unit."""
    assert 0 <= seen <= units, "no more can be seen than there are"
    if units == 0:
        return 0.0, 1.0
    tail = (1 - confidence) / 2
    low = 0.0 if seen == 0 else _rate(lambda rate: 1 - _at_most(seen - 1, units, rate) < tail)
    high = 1.0 if seen == units else _rate(lambda rate: _at_most(seen, units, rate) > tail)
    return low, high


def _rate(is_below: Callable[[float], bool]) -> float:
    """The rate at which the claim turns from true to false."""
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if is_below(middle):
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _at_most(most: int, units: int, rate: float) -> float:
    """The chance that a binomial is at most `most`. Sums the tail with fewer terms."""
    if rate <= 0 or most >= units:
        return 1.0
    if rate >= 1:
        return 0.0
    if 2 * most > units:
        return 1 - sum(_exactly(k, units, rate) for k in range(most + 1, units + 1))
    return sum(_exactly(k, units, rate) for k in range(most + 1))


def _exactly(k: int, units: int, rate: float) -> float:
    ways = lgamma(units + 1) - lgamma(k + 1) - lgamma(units - k + 1)
    return exp(ways + k * log(rate) + (units - k) * log1p(-rate))
