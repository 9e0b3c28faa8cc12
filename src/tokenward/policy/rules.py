"""What the operator wants done, and what is already decided about a key."""

from math import log
from typing import Final

from msgspec import Struct

STRANGER_DAYS: Final = 6
"""Rates of false alarms are stated a key and month. Evidence is weighed once for each day on which
a stranger shows; honest keys have fewer than so many a month (`tokenward lab evaluate` plays them).
"""


class Rules(Struct, frozen=True, kw_only=True):
    """`[policy]` for one project. The rates are the most false alarms a key and month that the
    operator accepts; `key_kind` is what the project's keys are for (`kernel.signals.KEY_KINDS`).
    `suspect_calls` are those that all suspects of a key together may make within a minute.
    """

    mode: str = "enforce"
    key_kind: str = ""
    false_challenges: float = 0.01
    false_freezes: float = 0.001
    holds_dearer_models: bool = True
    suspect_calls: int = 30

    @property
    def challenge_at(self) -> float:
        """The logarithm of an e-value at which an origin is challenged: the chance of a false
        alarm within T weighings above a threshold c is at most T/c."""
        return log(STRANGER_DAYS / self.false_challenges)

    @property
    def freeze_at(self) -> float:
        """The same for a freeze of the whole key."""
        return log(STRANGER_DAYS / self.false_freezes)


class Standing(Struct, frozen=True, kw_only=True):
    """What is decided about a key: things its owner has cleared, and things that are barred, each
    with the incident that barred it. `suspect_calls` are those of suspects that passed within the
    minute that runs."""

    cleared: tuple[str, ...] = ()
    barred: tuple[tuple[str, str], ...] = ()
    suspect_calls: int = 0

    def incident_of(self, thing: str) -> str:
        """The incident that barred it, or ""."""
        return next((incident for barred, incident in self.barred if barred == thing), "")
