"""How often is an honest owner stopped? Key-months of clean use, each false alarm with its cause.

A key-month is 30 days after a past of 0 to 90 days of the calendar: one key in five starts in it
without any past, the others have between 1 and 90 days, all equally likely. An owner who is
stopped says so after some hours or, one time in seven, a day (`Ward.undo`): until then a second
false alarm can freeze the key.
"""

import random
from dataclasses import dataclass, field
from typing import Final

from tokenward.lab.catalogue import dice
from tokenward.lab.changes import drawn, happen
from tokenward.lab.owner import DAY_MS, HOUR_MS, Owner
from tokenward.lab.population import DECLARED, draw_owner
from tokenward.lab.ward import Judge, Ward
from tokenward.pipeline.judging import judge
from tokenward.policy.rules import Rules
from tokenward.policy.verdict import Verdict

MONTH_DAYS: Final = 30
PAST_DAYS_MAX: Final = 90
COLD: Final = 0.2
UNDO_HOURS: Final = 3
"""How long an owner takes on average to say that it was no theft, but for those who are late."""
LATE: Final = 1 / 7
FIRST_DAY: Final = 20_000
"""Days since 1970: a day in 2024."""
ACTIONS: Final = ("throttle", "challenge", "hold", "freeze")
_LATELY_DAYS: Final = 10


@dataclass(frozen=True, slots=True)
class FalseAlarm:
    """An owner was stopped: on which day of the month, how, after which changes of the last days,
    and by which signs."""

    seed: int
    kind: str
    declared: bool
    day: int
    past_days: int
    action: str
    changes: tuple[str, ...]
    signs: tuple[str, ...]


@dataclass(slots=True)
class Month:
    """What a key-month came to. `is_new_network` says that a rule "challenge whatever comes from a
    new network" would have stopped it, `is_suspect` that a call of it was a suspect's: had it made
    more than some a minute, it would have been slowed (days are played as a few calls here)."""

    alarms: list[FalseAlarm] = field(default_factory=list)
    is_new_network: bool = False
    is_suspect: bool = False


@dataclass(slots=True)
class _Diary:
    """What changed lately, for the cause of an alarm."""

    entries: list[tuple[int, str]] = field(default_factory=list)

    def note(self, day: int, changes: list[str]) -> None:
        self.entries = [each for each in self.entries if each[0] > day - _LATELY_DAYS]
        self.entries += [(day, change) for change in changes]

    def told(self, day: int) -> tuple[str, ...]:
        return tuple(
            dict.fromkeys(
                name if at == day else f"{name} ({day - at} d before)"
                for at, name in reversed(self.entries)
            )
        )


class _Pleas:
    """What the owner has not said yet: that it was no theft."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._waiting: list[tuple[int, Verdict]] = []

    def file(self, verdict: Verdict, at_ms: int) -> None:
        """The owner was stopped, and will say so."""
        is_late = self._rng.random() < LATE
        wait_ms = DAY_MS if is_late else int(self._rng.expovariate(1) * UNDO_HOURS * HOUR_MS)
        self._waiting.append((at_ms + wait_ms, verdict))

    def hear(self, ward: Ward, now_ms: int) -> None:
        """What the owner has said by now. A frozen key is freed by its last plea."""
        if not self._waiting:
            return
        is_frozen = ward.is_frozen
        for at_ms, verdict in self._waiting:
            if at_ms <= now_ms:
                ward.undo(verdict)
        self._waiting = [each for each in self._waiting if each[0] > now_ms]
        ward.is_frozen = is_frozen and bool(self._waiting)


def play_month(seed: int, judge: Judge = judge) -> Month:
    """One key-month; the same seed gives the same month."""
    rng = dice("month", seed)
    owner = draw_owner(rng)
    declared = rng.random() < DECLARED
    ward = Ward(Rules(key_kind=owner.kind if declared else ""), judge)
    past_days = 0 if rng.random() < COLD else rng.randint(1, PAST_DAYS_MAX)
    start = FIRST_DAY + rng.randrange(7)
    month, diary, places, pleas = Month(), _Diary(), set[str](), _Pleas(rng)
    for day in range(start, start + past_days + MONTH_DAYS):
        if not owner.is_active(day):
            continue
        changes = live_changes(owner, day)
        diary.note(day, changes)
        is_counted = day >= start + past_days
        for spoken in owner.live(day, changes).calls:
            call = spoken.call
            if call.network.place not in places:
                month.is_new_network |= is_counted and bool(places)
                places.add(call.network.place)
            pleas.hear(ward, call.at_ms)
            verdict = ward.ask(call, spoken.answer, is_error=spoken.is_error)
            month.is_suspect |= is_counted and verdict.is_suspect
            if not verdict.opens:
                continue
            pleas.file(verdict, call.at_ms)
            if is_counted:
                alarm = FalseAlarm(
                    seed=seed,
                    kind=owner.kind,
                    declared=declared,
                    day=day - start - past_days,
                    past_days=past_days,
                    action=verdict.action,
                    changes=diary.told(day),
                    signs=_signs(verdict),
                )
                month.alarms.append(alarm)
    return month


def live_changes(owner: Owner, day: int) -> list[str]:
    """Draw what changes on a day of use, and let it happen."""
    changes = drawn(owner)
    for name in changes:
        happen(owner, name, day)
    return changes


def _signs(verdict: Verdict) -> tuple[str, ...]:
    told = tuple(f"{each.reason} ({each.weight:.1f})" for each in verdict.findings)
    return told or (verdict.why,)
