"""What does an incident do to its key, and what does undoing it give back? As pure steps.

An incident bars things of the key (`records.Bar`), freezes it, or both. Undone as a false alarm it
takes its bars with it, and what they stood for is cleared: never barred again.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from tokenward.kernel.incidents import FREEZE, PACE, Incident, State
from tokenward.keys import life
from tokenward.keys.records import BARRED_MAX, CLEARED_MAX, Bar, KeyRecord

THINGS_MAX: Final = 32
THING_CHARS_MAX: Final = 256
_KINDS: Final = ("origin:", "model:", PACE)
_LASTING: Final = "revoked"
"""How the name of an action ends that nothing can undo (R4)."""


@dataclass(frozen=True, slots=True)
class Accused:
    """The key as it is from now on, and the incident with what was really done."""

    record: KeyRecord
    incident: Incident

    @property
    def has_frozen(self) -> bool:
        """Whether this incident is what stopped the key."""
        return FREEZE in self.incident.actions


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of an incident that somebody judged. `incident` is as it is now, None where
    there is none; `why_not` says in plain words why it was left as it was, "" if it was not."""

    incident: Incident | None
    why_not: str = ""


def key_of(incident: Incident) -> str:
    """The id of the key that it is about, "" if it is about none."""
    kind, _, name = incident.subject.partition(":")
    return name if kind == "key" else ""


def check_things(things: tuple[str, ...]) -> None:
    """ValueError if they are not what a policy makes: our own bug."""
    if len(things) > THINGS_MAX:
        raise ValueError(f"an incident is about at most {THINGS_MAX} things")
    for thing in things:
        is_short = len(thing) <= THING_CHARS_MAX and thing.isprintable()
        if not (is_short and thing.startswith(_KINDS)):
            raise ValueError(
                "a thing is origin:…, model:… or pace:…, at most "
                f"{THING_CHARS_MAX} printable characters"
            )


def accuse(
    record: KeyRecord, incident: Incident, things: tuple[str, ...], *, freeze: bool
) -> Accused | None:
    """Bar what is not barred or cleared yet, and with `freeze` stop the key; None if there is
    nothing new to do, so that of many who see the same thief one opens an incident.

    A key that has no room for another bar is frozen instead, but never for a pace. The incident is
    given back with the `things` that were new, and with the action `freeze` just if it was this one
    that froze.
    """
    check_things(things)
    assert key_of(incident) == record.id, "an incident accuses its own subject"
    if record.state == "revoked":
        return None
    known = {*record.cleared, *(bar.thing for bar in record.barred)}
    fresh = tuple(thing for thing in dict.fromkeys(things) if thing not in known)
    room = BARRED_MAX - len(record.barred)
    stopped = tuple(thing for thing in _to_bar(things, record.cleared) if thing in fresh)
    bars = tuple(Bar(thing, incident.id) for thing in stopped)[:room]
    is_out_of_room = len(bars) < len(stopped) and PACE not in stopped
    stops = record.state == "live" and (freeze or is_out_of_room)
    if not (bars or stops):
        return None
    actions = incident.actions
    if stops != (FREEZE in actions):
        actions = (*(each for each in actions if each != FREEZE), *((FREEZE,) if stops else ()))
    told = msgspec.structs.replace(incident, actions=actions, things=fresh)
    new = replace(record, barred=record.barred + bars)
    if stops:
        frozen = life.freeze(new, why_frozen(incident))
        assert isinstance(frozen, KeyRecord), "a live key can be frozen"
        new = frozen
    return Accused(new, told)


def _to_bar(things: tuple[str, ...], cleared: tuple[str, ...]) -> tuple[str, ...]:
    """Who stops an origin stops all its models; a model that comes with it is only named, so that
    the key's owner is asked about it apart, and undoing clears both at once. Likewise an origin
    that is only slowed."""
    if PACE in things:
        return (PACE,)
    asked = tuple(thing for thing in dict.fromkeys(things) if thing not in cleared)
    origins = tuple(thing for thing in asked if thing.startswith("origin:"))
    return origins or asked


def why_frozen(incident: Incident) -> str:
    """What stands on a key that the incident froze."""
    first = incident.evidence[0].reason if incident.evidence else ""
    return f"{_mark(incident)} {first}"


def undo(record: KeyRecord, incident: Incident) -> KeyRecord:
    """The key without what this incident did to it. What another one barred stays barred, and who
    froze the key for another reason still has it frozen."""
    barred = tuple(bar for bar in record.barred if bar.incident != incident.id)
    still = {bar.thing for bar in barred}
    own = (*incident.things, *(bar.thing for bar in record.barred if bar.incident == incident.id))
    freed = [thing for thing in dict.fromkeys(own) if thing not in still and thing != PACE]
    cleared = (*(thing for thing in record.cleared if thing not in freed), *freed)
    new = replace(record, barred=barred, cleared=cleared[-CLEARED_MAX:])
    if not is_frozen_by(record, incident):
        return new
    unfrozen = life.unfreeze(new)
    assert isinstance(unfrozen, KeyRecord), "a frozen key can be unfrozen"
    return unfrozen


def is_frozen_by(record: KeyRecord, incident: Incident) -> bool:
    """Whether it was this incident that stopped the key."""
    is_its_mark = record.frozen_why.startswith(_mark(incident))
    return record.state == "frozen" and FREEZE in incident.actions and is_its_mark


def judge(incident: Incident, state: State) -> Judged:
    """The incident in the state `false_alarm` or `confirmed`, or why it cannot get there. One that
    is there already is given back as it is."""
    if incident.state == state:
        return Judged(incident)
    why_not = _why_not_undone(incident) if state == "false_alarm" else _why_not_confirmed(incident)
    if why_not:
        return Judged(incident, why_not)
    return Judged(msgspec.structs.replace(incident, state=state))


def lasting(actions: Iterable[str]) -> list[str]:
    """Those of an incident's actions that nothing can undo."""
    return [action for action in actions if action.endswith(_LASTING)]


def _why_not_undone(incident: Incident) -> str:
    if incident.state == "closed":
        return f"Incident {incident.id} is closed, and nothing of it can be undone."
    done = lasting(incident.actions)
    if done:
        return (
            f"Incident {incident.id} cannot be undone: {', '.join(done)}, and what is revoked "
            "stays so. If it was a mistake, its owner asks for a new token or a new key."
        )
    return ""


def _why_not_confirmed(incident: Incident) -> str:
    if incident.state == "false_alarm":
        return (
            f"Incident {incident.id} was undone as a false alarm, and what it had stopped works "
            f"again. To stop the key: tokenward key freeze {key_of(incident) or 'ID'}"
        )
    return f"Incident {incident.id} is closed." if incident.state == "closed" else ""


def _mark(incident: Incident) -> str:
    return f"incident {incident.id}:"
