"""What simpler rules would have let through: on the same thefts, each rule alone.

nothing        nobody stops anything
cap            the key's daily cap, of which the owner spends a share
new_network    whatever comes from a network that the key was not used from before is refused
static_limit   60 calls a minute, and three times the hour's share of the daily cap
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from tokenward.lab.thief import Theft

NAMES: Final = ("nothing", "cap", "new_network", "static_limit")
CALLS_A_MINUTE: Final = 60
HOURS_SHARE: Final = 3 / 24
_DAY_MS: Final = 86_400_000
_HOUR_MS: Final = 3_600_000
_MINUTE_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Let:
    """How much of a theft passed a rule, and whether the rule stopped anything of it."""

    calls: int
    cost_nusd: int
    caught: bool


class Cap:
    """A daily cap for each key, in nano-dollars."""

    def __init__(self, cap_nusd: int, owners_nusd: int) -> None:
        self._room = max(cap_nusd - owners_nusd, 0)
        self._spent: dict[tuple[int, int], int] = {}

    def has_room(self, theft: Theft) -> bool:
        """Whether the call still fits into the day's cap, beside the owner's use."""
        return self._spent.get(self._window(theft), 0) + theft.cost_nusd <= self._room

    def spend(self, theft: Theft) -> None:
        """The call was made."""
        window = self._window(theft)
        self._spent[window] = self._spent.get(window, 0) + theft.cost_nusd

    def _window(self, theft: Theft) -> tuple[int, int]:
        return theft.key, theft.call.at_ms // _DAY_MS


def compare(
    plan: Sequence[Theft], known: Sequence[Collection[str]], cap: Cap, cap_nusd: int
) -> dict[str, Let]:
    """All rules on one theft. `known` are the networks that each key was used from before."""
    capped = [theft for theft in plan if _passes_cap(theft, cap)]
    foreign = [theft for theft in plan if theft.call.network.place in known[theft.key]]
    limited = _limited(plan, cap_nusd)
    kept = zip(NAMES, (plan, capped, foreign, limited), strict=True)
    return {name: _let(passed, plan) for name, passed in kept}


def _passes_cap(theft: Theft, cap: Cap) -> bool:
    if not cap.has_room(theft):
        return False
    cap.spend(theft)
    return True


def _limited(plan: Sequence[Theft], cap_nusd: int) -> list[Theft]:
    calls: dict[tuple[int, int], int] = {}
    spent: dict[tuple[int, int], int] = {}
    passed = []
    for theft in plan:
        minute = theft.key, theft.call.at_ms // _MINUTE_MS
        hour = theft.key, theft.call.at_ms // _HOUR_MS
        is_within = calls.get(minute, 0) < CALLS_A_MINUTE
        if is_within and spent.get(hour, 0) + theft.cost_nusd <= cap_nusd * HOURS_SHARE:
            calls[minute] = calls.get(minute, 0) + 1
            spent[hour] = spent.get(hour, 0) + theft.cost_nusd
            passed.append(theft)
    return passed


def _let(passed: Sequence[Theft], plan: Sequence[Theft]) -> Let:
    return Let(len(passed), sum(each.cost_nusd for each in passed), len(passed) < len(plan))
