"""A story against the real guard: the owners' days, the theft, and what can be undone of it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tokenward.lab.baselines import Cap, Let, compare
from tokenward.lab.catalogue import dice, maker_of, program
from tokenward.lab.changes import happen
from tokenward.lab.drill.calls import Ask, Said
from tokenward.lab.drill.programs import Programs, is_real
from tokenward.lab.drill.rendering import Renderer
from tokenward.lab.drill.world import DrillError, World
from tokenward.lab.owner import DAY_MS, HOUR_MS, Owner, Spoken
from tokenward.lab.population import draw_owner
from tokenward.lab.stories import Story
from tokenward.lab.thief import Theft, plan_theft

GIVES_UP_AFTER: Final = 5
"""Refusals in a row after which a thief leaves a key alone."""
PROBES_MAX: Final = 15
TAKEN_MAX: Final = 40
"""Of a long theft only the first calls are played; a thief that is not stopped ends here."""
KEYS_MAX: Final = 10
HISTORY_CALLS: Final = 14
HISTORY_DAYS: Final = 6
"""The owner's use before the theft: so many calls, in at most so many of the lab's days."""
START_DAY: Final = 20_000
UNDOS_MAX: Final = 3
"""Rounds: what was stopped for one reason may be asked about for another when it comes again."""
DEFAULT_MODELS: Final = ("small-2", "mid-1")


@dataclass(slots=True)
class Holder:
    """A key of the story with its owner. `days` of use before the theft are written into its past;
    `known` are the networks that its owner uses."""

    id: str
    key: str
    owner: Owner
    days: int
    known: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Drilled:
    """What came of a story. `calls` and `cost_nusd` are what the thief got, `costly` the calls
    after the trying out; `seconds` from the thief's first call to the refusal that ended it;
    `sent` all that the thief sent, `slowed` those of them that were refused as too fast for a
    suspect. `is_caught`: the thief was stopped; who is only slowed goes on a minute later.
    `owner_refused` of the `owner_calls` evidence refused. `owner_passes`: the owners' next calls
    after the theft were served, None where all keys were frozen. `is_undone`: after an undo of all
    incidents, in so many rounds as `undos` says, the call that was refused first passed, and the
    owner's next; None where nothing was stopped."""

    story: Story
    calls: int = 0
    costly: int = 0
    sent: int = 0
    cost_nusd: int = 0
    seconds: float = 0.0
    slowed: int = 0
    is_caught: bool = False
    has_probe: bool = False
    owner_calls: int = 0
    owner_refused: int = 0
    owner_held: int = 0
    """Of those that were refused: a dearer model was asked about at its first use."""
    owner_slowed: int = 0
    """Of those that were refused: too fast for a suspect."""
    owner_passes: bool | None = None
    is_undone: bool | None = None
    undos: int = 0
    incidents: list[dict[str, Any]] = field(default_factory=list)
    others: dict[str, int] = field(default_factory=dict)
    """The thief's other refusals and errors, by code."""
    baselines: dict[str, Let] = field(default_factory=dict)
    programs: set[str] = field(default_factory=set)


class Play:
    """One story in a running world. First `prepare`, then, after the guard was started again, one
    of `steal` and `change`; `told` is called after each call."""

    def __init__(self, story: Story, seed: int, told: Callable[[str], None]) -> None:
        self.story = story
        self.drilled = Drilled(story)
        self.holders: list[Holder] = []
        self._told = told
        self._rng = dice("drill", story.name, seed)
        self._renderer = Renderer()
        self._programs = Programs("")
        self._begun: set[str] = set()

    def prepare(self, world: World) -> None:
        """Make the keys, and let their owners use them."""
        key = self.story.key
        self._programs = Programs(world.guard_url)
        for number in range(min(key.keys, KEYS_MAX)):
            made = world.admin(
                "POST",
                "/keys",
                {"project": self.story.name, "name": f"{number}", "caps": [f"{key.cap_usd}/day"]},
            )
            owner = self._draw_owner()
            days = self._rng.randint(*key.days) if key.has_owner else 0
            holder = Holder(made["id"], made["key"], owner, days)
            self.holders.append(holder)
            if key.has_owner:
                self._live_before(world, holder)
        self._begun = {each["id"] for each in self._incidents(world)}
        self._close()

    def _draw_owner(self) -> Owner:
        """As the lab's, but always of a program and models that can be played here."""
        key = self.story.key
        models = key.models or DEFAULT_MODELS
        sdk = "anthropic-python" if "sonnet-5" in maker_of(models[0]) else "openai-python"
        owner = draw_owner(dice(self._rng.random()), key.kind, models, key.program or sdk)
        owner.declares_models = False
        for user in owner.users:
            user.share = 1.0
            for job in user.jobs:  # the first of a family's variants is the program itself
                if is_real(job.client.family):
                    job.client = program(self._rng, job.client.family, 0)
        return owner

    def _live_before(self, world: World, holder: Holder) -> None:
        calls = 0
        for day in range(HISTORY_DAYS):
            if calls >= HISTORY_CALLS:
                return
            for spoken in holder.owner.live(START_DAY + day, []).calls:
                holder.known.add(spoken.call.network.place)
                said = self._speak_up(world, holder, spoken)
                calls += 1
                if said.status != 200 and not said.is_slowed:
                    raise DrillError(
                        f"{self.story.name}: an honest call in the beginning came back with "
                        f"{said.status} {said.code}"
                    )

    def _speak_up(self, world: World, holder: Holder, spoken: Spoken) -> Said:
        """As `_speak`; an owner who is stopped says that it was meant, and calls again. Who is only
        slowed goes on: so all of a burst is counted that is refused."""
        said = self._speak(holder, spoken)
        if not said.is_stopped:
            return said
        opened = [each for each in self._incidents(world) if each["state"] == "open"]
        stops = [each["actions"] for each in opened if each["actions"] != ["throttle"]]
        self.drilled.owner_held += all(actions == ["hold"] for actions in stops)
        self._undo(world, opened)
        return self._send(holder, self._renderer.ask(spoken.call))

    def _speak(self, holder: Holder, spoken: Spoken) -> Said:
        """One of the owner's calls; the real answer is kept for the conversation's next turn."""
        said = self._send(holder, self._renderer.ask(spoken.call, fails=spoken.is_error))
        if said.status == 200 and spoken.answer and said.text:
            self._renderer.served[spoken.answer] = said.text
        self.drilled.owner_calls += 1
        self.drilled.owner_refused += said.is_held_back
        self.drilled.owner_slowed += said.is_slowed
        return said

    def _send(self, holder: Holder, ask: Ask) -> Said:
        self._told(self.story.name)
        return self._programs.send(holder.key, ask)

    def _close(self) -> None:
        self.drilled.programs |= self._programs.used
        self._programs.close()

    # -- the theft ------------------------------------------------------------------------------

    def steal(self, world: World) -> Drilled:
        """The theft, then what the owner and an undo find."""
        self._programs = Programs(world.guard_url)
        drilled, key = self.drilled, self.story.key
        owner = self.holders[0].owner
        plan = plan_theft(self.story, owner, self._rng, START_DAY * DAY_MS + 9 * HOUR_MS)
        self._compare(plan)
        drilled.has_probe = any(theft.is_probe for theft in plan)
        before_nusd = world.bill_nusd()
        first = self._take(played_part(plan, self.story))
        drilled.cost_nusd = world.bill_nusd() - before_nusd
        drilled.incidents = self._incidents(world)
        drilled.is_caught = drilled.is_caught and bool(drilled.incidents)
        if key.has_owner:
            self._go_on(world)
        if first is not None and (drilled.is_caught or drilled.slowed):
            drilled.is_undone = self._is_undone(world, *first)
        self._close()
        return drilled

    def _compare(self, plan: Sequence[Theft]) -> None:
        """What simpler rules would have let through of the whole theft, in virtual time."""
        key = self.story.key
        known = [self.holders[min(n, len(self.holders) - 1)].known for n in range(key.keys)]
        cap_nusd, owners_nusd = round(key.cap_usd * 1e9), round(key.usd_a_day * 1e9)
        self.drilled.baselines = compare(plan, known, Cap(cap_nusd, owners_nusd), cap_nusd)

    def _take(self, plan: Sequence[Theft]) -> tuple[Holder, Ask] | None:
        """The thief at work; the first call that evidence refused."""
        ready = [(theft, *self._made_ready(theft)) for theft in plan]
        drilled, began_s, in_a_row = self.drilled, time.monotonic(), 0
        patience = max(GIVES_UP_AFTER, 2 * len(self.holders))
        first: tuple[Holder, Ask] | None = None
        refused: dict[str, Said] = {}
        """By key the last refusal, if nothing passed since: some keys may only be slowed."""
        for theft, holder, ask in ready:
            said = self._send(holder, ask)
            drilled.sent += 1
            if said.is_held_back:
                if in_a_row == 0:
                    drilled.seconds = time.monotonic() - began_s
                in_a_row += 1
                drilled.slowed += said.is_slowed
                refused[holder.id] = said
                first = first or (holder, ask)
                if in_a_row >= patience:
                    break
            elif said.status == 200:
                drilled.calls += 1
                drilled.costly += not theft.is_probe
                in_a_row = 0
                refused = {}
            else:
                drilled.others[said.name] = drilled.others.get(said.name, 0) + 1
        drilled.is_caught = bool(refused) and all(each.is_stopped for each in refused.values())
        if not in_a_row:
            drilled.seconds = time.monotonic() - began_s
        return first

    def _made_ready(self, theft: Theft) -> tuple[Holder, Ask]:
        holder = self.holders[theft.key % len(self.holders)]
        ask = self._renderer.ask(theft.call, theft.cost_nusd, is_probe=theft.is_probe)
        self._programs.warm(holder.key, ask)
        return holder, ask

    def _incidents(self, world: World) -> list[dict[str, Any]]:
        """The incidents of the story's keys that its beginning did not bring, oldest first."""
        mine = {f"key:{holder.id}" for holder in self.holders}
        found = world.admin("GET", "/incidents?limit=1000")
        return [
            each
            for each in reversed(found)
            if each["subject"] in mine and each["id"] not in self._begun
        ]

    def _go_on(self, world: World) -> None:
        """The owners' next calls. A frozen key stops its owner too: that is told apart."""
        frozen = {each["subject"] for each in self.drilled.incidents if "freeze" in each["actions"]}
        passes = []
        for holder in self.holders:
            spoken = holder.owner.live(START_DAY + HISTORY_DAYS, []).calls[0]
            if f"key:{holder.id}" not in frozen:
                passes.append(self._speak(holder, spoken).status == 200)
        self.drilled.owner_passes = all(passes) if passes else None

    def _undo(self, world: World, incidents: Sequence[dict[str, Any]]) -> None:
        """What `tokenward incident undo` does, for each of those that are open."""
        for incident in incidents:
            if incident["state"] == "open":
                world.admin("POST", f"/incidents/{incident['id']}/undo", {})

    def _is_undone(self, world: World, holder: Holder, ask: Ask) -> bool:
        """Whether everything works again after an undo: what was stopped, and the owner's calls."""
        for _ in range(UNDOS_MAX):
            self._undo(world, self._incidents(world))
            self.drilled.undos += 1
            if not self._send(holder, ask).is_held_back:
                break
        else:
            return False
        if not self.story.key.has_owner:
            return True
        spoken = holder.owner.live(START_DAY + HISTORY_DAYS, []).calls[0]
        return self._speak(holder, spoken).status == 200

    # -- an honest change -----------------------------------------------------------------------

    def change(self, world: World) -> Drilled:
        """The days of a benign story. Where the owner is stopped, the owner says so and goes on."""
        self._programs = Programs(world.guard_url)
        holder = self.holders[0]
        began_s = time.monotonic()
        for offset in range(self.story.lasts_days):
            changes = [turn.change for turn in self.story.turns if turn.day == offset]
            for name in changes:
                happen(holder.owner, name, START_DAY + HISTORY_DAYS + offset)
            day = holder.owner.live(START_DAY + HISTORY_DAYS + offset, changes)
            for spoken in day.calls:
                self._speak_up(world, holder, spoken)
        self.drilled.seconds = time.monotonic() - began_s
        self.drilled.incidents = self._incidents(world)
        self._close()
        return self.drilled


def played_part(plan: Sequence[Theft], story: Story) -> list[Theft]:
    """The calls that are made: some of the trying out, and the first ones after it."""
    some = max(1, min(story.key.keys, KEYS_MAX))
    probes = [theft for theft in plan if theft.is_probe][: max(PROBES_MAX, some)]
    rest = [theft for theft in plan if not theft.is_probe][:TAKEN_MAX]
    return probes + rest
