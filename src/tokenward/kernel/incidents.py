"""A chain of evidence and actions on one subject, told as a story a person can check."""

from typing import Final, Literal

import msgspec

EvidenceClass = Literal["E1", "E2", "E3", "E4"]
State = Literal["open", "confirmed", "false_alarm", "closed"]
INCIDENT_CHARS: Final = 12
"""An incident's id is `inc_` and so many base62 characters."""
PACE: Final = "pace:suspects"
"""How fast a key's suspects may call, among the things of a key that can be barred: one for all of
them, because who changes programs and networks is one suspect."""
FREEZE: Final = "freeze"
"""The action of an incident that froze its key; undoing it lets the key work again."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What a detector says: its class (E1 proof, E2 identity, E3 purpose, E4 use), why, and how
    strongly (`value`, None where it is certain). `request_id` is the call that showed it."""

    kind: EvidenceClass = msgspec.field(name="class")
    detector: str
    reason: str
    value: float | None = None
    at_ms: int
    request_id: str = ""


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """What was stopped, and why. Times are Unix ms; `cost_before_stop_nusd` is what is known to
    have been spent between the first sign and the stop.

    `things` are those of the key that it barred (`keys.records.Bar`). `against` is what speaks
    against a theft, `undo` what would undo what was done: both in plain words. So is `who`, which
    says who called: printable, and "" where nobody knows.
    """

    id: str
    subject: str
    state: State = "open"
    opened_ms: int
    first_sign_ms: int
    stopped_ms: int | None = None
    actions: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    cost_before_stop_nusd: int = 0
    calls_before_stop: int = 0
    things: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    undo: str = ""
    who: str = ""
