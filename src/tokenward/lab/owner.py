"""The honest holder of a key: who uses it, from where, with what, and how one day of it looks.

An owner is one or more users (a person, a deployment, a build server); a user has networks and
jobs; a job is a program with a model, a prompt and tools. A day is a few calls of each: calls that
repeat are not all played, because the guard learns by the day, but some days are played densely.
"""

import random
from dataclasses import dataclass, field
from math import exp
from typing import Final

from tokenward.kernel.signals import Asked, Client, Content, Network, Signals
from tokenward.lab.catalogue import BLOCKS, LEVELS, in_block

DAY_MS: Final = 86_400_000
HOUR_MS: Final = 3_600_000
DENSE_CALLS: Final = 40
"""Calls of a day that is played call by call, within an hour."""
_MOVED_IN: Final = 0.01
"""The share of conversations that began with another provider."""
_GOES_ON: Final = 0.5
"""The share of conversations with a second turn."""


@dataclass(slots=True)
class Job:
    """What a user has a program do. `is_templated`: every system prompt is another one (a date or
    a name stands in it). `shots`: assistant turns that stand in every prompt as examples.
    `chars` is the median length of its requests, `spread` the standard deviation of its logarithm.
    """

    client: Client
    model: str
    route: str = "chat"
    system: str = ""
    tools: str = ""
    harness: str = ""
    script: str = "latin"
    is_templated: bool = False
    shots: tuple[str, ...] = ()
    output_limit: int | None = None
    chars: int = 400
    spread: float = 1.0

    def length(self, rng: random.Random) -> int:
        """Of one request."""
        return 1 + int(self.chars * exp(rng.gauss(0, self.spread)))


@dataclass(slots=True)
class User:
    """Somebody, or a machine, that uses the key. `away` is where it is until the day `back`;
    `share` is on how many of the key's days it is there."""

    places: list[Network]
    jobs: list[Job]
    share: float = 1.0
    away: Network | None = None
    back: int = 0


@dataclass(frozen=True, slots=True)
class Spoken:
    """A call as it reaches the guard, with the answer's hash that it gets if it passes."""

    call: Signals
    answer: str = ""
    is_error: bool = False


@dataclass(slots=True)
class Day:
    """What changed in the owner's ways on a day, and its calls, oldest first."""

    changes: list[str] = field(default_factory=list)
    calls: list[Spoken] = field(default_factory=list)


@dataclass(slots=True)
class Owner:
    """A key's honest use. `kind` is what it is; `weekdays` and `weekends` are the chances that it
    is used on such a day; `rates` are its own chances of each change on a day of use; `country` is
    where it is at home. `blocks` are the neighbourhoods of addresses by which its deployments
    call, `renumbers` the chance that a home has other addresses from today on. `extra` are calls
    that a change adds to the day."""

    rng: random.Random
    kind: str
    country: str
    users: list[User]
    models: tuple[str, ...]
    weekdays: float
    weekends: float
    rates: dict[str, float]
    declares_models: bool = False
    blocks: int = 1
    renumbers: float = 0.0
    is_dense: bool = False
    is_retrying: bool = False
    extra: list[tuple[Job, Content]] = field(default_factory=list)

    def is_active(self, day: int) -> bool:
        """Whether the key is used on this day; day 0 of the calendar was a Thursday."""
        is_weekend = (day + 3) % 7 >= 5
        return self.rng.random() < (self.weekends if is_weekend else self.weekdays)

    def live(self, day: int, changes: list[str]) -> Day:
        """The calls of one day; `changes` have happened before it begins."""
        today = Day(changes=changes)
        rng = self.rng
        present = [user for user in self.users if user.share >= 1 or rng.random() < user.share]
        for user in present or self.users[:1]:
            self._work(user, day, today)
        if self.extra:
            self._add_extra(day, today)
        today.calls.sort(key=_at)
        self.is_dense = self.is_retrying = False
        return today

    def _work(self, user: User, day: int, today: Day) -> None:
        if user.back <= day:
            user.away = None
        rng = self.rng
        at = day * DAY_MS + 7 * HOUR_MS + int(rng.random() * 8 * HOUR_MS)
        jobs = user.jobs if len(user.jobs) <= 2 else rng.sample(user.jobs, 2)
        for job in jobs:
            place = user.away or self._place_of(user)
            if self.is_dense:
                for turn in range(DENSE_CALLS):
                    step = HOUR_MS // DENSE_CALLS
                    self._talk(job, place, at + turn * step, today, turns=1)
            self._talk(job, place, at, today, turns=2 if rng.random() < _GOES_ON else 1)
            at += HOUR_MS

    def _place_of(self, user: User) -> Network:
        """One of the user's networks, by the addresses that it calls from today."""
        rng = self.rng
        at = 0 if len(user.places) == 1 else rng.randrange(len(user.places))
        place = user.places[at]
        if place.kind == "datacenter" and self.blocks > 1:
            return in_block(place, rng.randrange(self.blocks))
        if place.kind == "residential" and self.renumbers and rng.random() < self.renumbers:
            place = user.places[at] = in_block(place, rng.randrange(BLOCKS))
        return place

    def _talk(self, job: Job, place: Network, at: int, today: Day, turns: int) -> None:
        """A conversation: each turn repeats the answers that were given before."""
        bits = self.rng.getrandbits
        root = f"{bits(64):016x}"
        system = f"{bits(64):016x}" if job.is_templated else job.system
        said = job.shots
        if turns > 1 and self.rng.random() < _MOVED_IN:
            said = (f"{bits(64):016x}", *said)  # it began with another provider
        asked = Asked(
            model=job.model,
            level=LEVELS.get(job.model),
            is_declared=self.declares_models,
            route=job.route,
            output_limit=job.output_limit,
        )
        for turn in range(turns):
            answer = f"{bits(64):016x}"
            content = Content(
                system=system,
                tools=job.tools,
                root=root,
                prefix=system,
                script=job.script,
                harness=job.harness,
                answers=said,
                size=job.length(self.rng),
            )
            call = Signals(
                at_ms=at + turn * 42_000,
                client=job.client,
                network=place,
                content=content,
                asked=asked,
            )
            fails = self.is_retrying and turn == 0
            for again in range(3 if fails else 0):
                late = Signals(
                    at_ms=at + again * 2_000,
                    client=job.client,
                    network=place,
                    content=content,
                    asked=asked,
                )
                today.calls.append(Spoken(late, is_error=True))
            today.calls.append(Spoken(call, answer))
            said = (answer, *said)

    def _add_extra(self, day: int, today: Day) -> None:
        for at, (job, content) in enumerate(self.extra):
            call = Signals(
                at_ms=day * DAY_MS + 17 * HOUR_MS + at * 1_000,
                client=job.client,
                network=self.users[0].away or self.users[0].places[0],
                content=content,
                asked=Asked(
                    model=job.model,
                    level=LEVELS.get(job.model),
                    is_declared=self.declares_models,
                    route=job.route,
                    output_limit=job.output_limit,
                ),
            )
            today.calls.append(Spoken(call))
        self.extra = []


def _at(spoken: Spoken) -> int:
    return spoken.call.at_ms
