"""One story, once: the owner's past, then the theft or the change, call by call in virtual time."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import merge
from typing import Final

from tokenward.lab.baselines import Cap, Let, compare
from tokenward.lab.catalogue import dice
from tokenward.lab.changes import happen
from tokenward.lab.months import FIRST_DAY, live_changes
from tokenward.lab.owner import DAY_MS, HOUR_MS, Owner, Spoken
from tokenward.lab.population import draw_owner
from tokenward.lab.stories.story import Story
from tokenward.lab.thief import Theft, plan_theft
from tokenward.lab.ward import UNREADABLE, Judge, Ward
from tokenward.pipeline.judging import judge
from tokenward.policy.rules import Rules
from tokenward.policy.verdict import Verdict

ENDS: Final = 10
"""A theft is stopped when nothing of its last tenth passed."""
TIRED: Final = 200
"""After so many refusals without one success the rest of a theft is refused too: not played."""
DAYS_MAX: Final = 60


@dataclass(slots=True)
class Played:
    """What came of a story once. `calls`, `cost_nusd` are what the thief got; `seconds` from the
    first call to the last that passed, `costly` the calls after the trying out that passed.
    `is_probe_caught`: an incident before the first of those.
    `owner_refused` of `owner_calls`: the owner's own calls. `is_stopped`, of a benign story: the
    owner was challenged or frozen; `is_held`: asked about a dearer model."""

    caught: bool = False
    by: set[str] = field(default_factory=set)
    classes: set[str] = field(default_factory=set)
    actions: list[str] = field(default_factory=list)
    calls: int = 0
    cost_nusd: int = 0
    costly: int = 0
    seconds: float = 0.0
    has_probe: bool = False
    is_probe_caught: bool = False
    owner_calls: int = 0
    owner_refused: int = 0
    is_stopped: bool = False
    is_held: bool = False
    baselines: dict[str, Let] = field(default_factory=dict)


def play_story(story: Story, seed: int, judge: Judge = judge) -> Played:
    """The story with this seed; the same seed gives the same outcome."""
    rng = dice(story.name, seed)
    start = FIRST_DAY + rng.randrange(7) + DAYS_MAX * 2
    kept = [_prepare(story, rng, start, judge) for _ in range(story.key.keys)]
    played = Played()
    if story.benign:
        _play_change(story, kept[0], start, played)
    else:
        _play_theft(story, kept, rng, start, played)
    return played


@dataclass(slots=True)
class _Kept:
    """A key with its owner, after its past."""

    owner: Owner
    ward: Ward


def _prepare(story: Story, rng: random.Random, start: int, judge: Judge) -> _Kept:
    key = story.key
    owner = draw_owner(dice(rng.random()), key.kind, key.models, key.program)
    owner.weekdays = max(owner.weekdays, 0.7)  # a key in use: rare ones are in the key-months
    owner.declares_models = False
    if key.models:  # the story says what the key was used with
        for name in ("new model", "compare models"):
            owner.rates[name] = 0.0
    ward = Ward(Rules(key_kind=key.kind if key.is_declared else ""), judge)
    if key.has_owner:
        for day in range(start - rng.randint(*key.days), start):
            if owner.is_active(day):
                _undone(ward, owner.live(day, live_changes(owner, day)).calls)
    return _Kept(owner, ward)


def _undone(ward: Ward, calls: list[Spoken]) -> list[Verdict]:
    """Owner's calls; where one is stopped, the owner says so and calls again."""
    stopped = []
    for spoken in calls:
        verdict = ward.ask(spoken.call, spoken.answer, is_error=spoken.is_error)
        if verdict.is_refused:
            stopped.append(verdict)
            ward.undo(verdict)
            ward.ask(spoken.call, spoken.answer)
    return stopped


def _play_change(story: Story, kept: _Kept, start: int, played: Played) -> None:
    for offset in range(story.lasts_days):
        changes = [turn.change for turn in story.turns if turn.day == offset]
        for name in changes:
            happen(kept.owner, name, start + offset)
        day = kept.owner.live(start + offset, changes)
        stopped = _undone(kept.ward, day.calls)
        played.owner_calls += len(day.calls)
        played.owner_refused += len(stopped)
        for verdict in stopped:
            note(played, verdict)
            played.is_held |= verdict.action == "hold"
            played.is_stopped |= verdict.action != "hold"


def _play_theft(
    story: Story, kept: list[_Kept], rng: random.Random, start: int, played: Played
) -> None:
    begin_ms = start * DAY_MS + int(rng.uniform(0, 24) * HOUR_MS)
    plan = plan_theft(story, kept[0].owner, rng, begin_ms)
    known = [set(each.ward.past.values.get("place", {})) for each in kept]
    cap_nusd, owners_nusd = (round(usd * 1e9) for usd in (story.key.cap_usd, story.key.usd_a_day))
    played.has_probe = any(theft.is_probe for theft in plan)
    played.baselines = compare(plan, known, Cap(cap_nusd, owners_nusd), cap_nusd)
    thief = _Thief(played, Cap(cap_nusd, owners_nusd))
    days = range(start, min(plan[-1].call.at_ms // DAY_MS, start + DAYS_MAX) + 1)
    honest = _honest(kept, days) if story.key.has_owner else []
    stolen = [(theft.call.at_ms, kept[theft.key].ward, theft) for theft in plan]
    both: Iterator[tuple[int, Ward, Spoken | Theft]] = merge(honest, stolen, key=_moment)
    for _, ward, what in both:
        if isinstance(what, Theft):
            thief.ask(ward, what)
        else:
            played.owner_calls += 1
            played.owner_refused += ward.ask(what.call, what.answer).is_refused
    thief.end()


def _honest(kept: list[_Kept], days: range) -> list[tuple[int, Ward, Spoken]]:
    """The owners' calls of the theft's days, without changes: any refusal is the theft's."""
    calls = [
        (spoken.call.at_ms, each.ward, spoken)
        for each in kept
        for day in days
        for spoken in each.owner.live(day, []).calls
    ]
    return sorted(calls, key=_moment)


def _moment(each: tuple[int, Ward, Spoken | Theft]) -> int:
    return each[0]


class _Thief:
    """Makes the calls of the plan and keeps what came of them."""

    def __init__(self, played: Played, cap: Cap) -> None:
        self._played = played
        self._cap = cap
        self._tired = 0
        self._first_ms = 0
        self._ends: list[tuple[bool, bool]] = []
        """Of each call whether it passed, and whether the guard's judgement refused it."""

    def ask(self, ward: Ward, theft: Theft) -> None:
        """One call. The cap comes before the judgement, as in the guard."""
        self._first_ms = self._first_ms or theft.call.at_ms
        if self._tired >= TIRED:
            self._ends.append((False, True))
        elif not self._cap.has_room(theft):
            self._ends.append((False, False))
        else:
            verdict = ward.ask(theft.call, theft.call.content.root[::-1])
            if verdict.opens:
                if verdict.action != "throttle":
                    self._played.is_probe_caught |= not self._played.costly
                note(self._played, verdict)
            is_passed = not verdict.is_refused and theft.call.content.probe not in UNREADABLE
            self._tired = 0 if is_passed else self._tired + 1
            self._ends.append((is_passed, verdict.is_refused))
            if is_passed:
                self._take(theft)

    def _take(self, theft: Theft) -> None:
        played = self._played
        self._cap.spend(theft)
        played.calls += 1
        played.costly += not theft.is_probe
        played.cost_nusd += theft.cost_nusd
        played.seconds = (theft.call.at_ms - self._first_ms) / 1000

    def end(self) -> None:
        """Was it stopped?"""
        last = self._ends[-max(len(self._ends) // ENDS, 1) :]
        is_passed = any(passed for passed, _ in last)
        self._played.caught = not is_passed and any(refused for _, refused in last)


def note(played: Played, verdict: Verdict) -> None:
    """What an incident says of itself: its action, and the evidence that it stands on."""
    played.actions.append(verdict.action)
    if verdict.action == "hold":
        played.by.add("first_use")
        played.classes.add("E2")
        return
    for finding in verdict.findings:
        played.by.add(finding.detector)
        played.classes.add(finding.kind)
