"""What a worker and its keeper say to each other: MessagePack, one message a frame.

A worker says hello first; a keeper of another version of tokenward turns it away. Each thing asked
has a number, which its answer carries. Errors and refusals come back as values.
"""

from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import Raw, Struct

from tokenward.kernel.errors import StoreBusyError, StoreError
from tokenward.kernel.events import Event
from tokenward.kernel.incidents import Incident
from tokenward.kernel.pages import Seen
from tokenward.kernel.refusals import Refusal
from tokenward.keys.access_tokens import AccessToken
from tokenward.keys.accusation import Judged
from tokenward.keys.families import Family
from tokenward.keys.records import Census, KeyRecord
from tokenward.ledger.records import (
    Account,
    Cap,
    CapStatus,
    Charge,
    Finding,
    Hold,
    HoldAsk,
    Project,
    Settlement,
    UsageRow,
    Waitable,
)
from tokenward.ledger.statement import Head
from tokenward.limits.interfaces import KeyLimits

T = TypeVar("T")
encode: Final = msgspec.msgpack.Encoder().encode

# -- what can be asked --------------------------------------------------------------------------


class Call(Generic[T]):
    """One thing that can be asked: `name` is a part of the store and its method. `is_slow`: it may
    read for long. Lists come in parts."""

    def __init__(self, name: str, asks: Any, answers: Any, *, is_slow: bool = False) -> None:
        self.name = name
        self.is_slow = is_slow
        self.is_list = getattr(answers, "__origin__", None) is list
        self.read_ask = msgspec.msgpack.Decoder(asks).decode
        self.read_answer = msgspec.msgpack.Decoder(answers).decode


HOLD: Final = Call[Hold]("ledger.hold", tuple[HoldAsk], Hold)
SETTLE: Final = Call[Settlement]("ledger.settle", tuple[Hold, Charge, int], Settlement)
VOID: Final = Call[Settlement]("ledger.void", tuple[Hold, str, int], Settlement)
SET_CAP: Final = Call[Cap]("ledger.set_cap", tuple[Cap], Cap)
REMOVE_CAP: Final = Call[bool]("ledger.remove_cap", tuple[str, str, str, str], bool)
CAPS: Final = Call[list[CapStatus]](
    "ledger.caps", tuple[int, str, Seen, int], list[CapStatus], is_slow=True
)
SWEEP: Final = Call[int]("ledger.sweep", tuple[int], int, is_slow=True)
ADD_CREDIT: Final = Call[int]("ledger.add_credit", tuple[str, int, int, str], int)

READ_KEY: Final = Call[KeyRecord | None]("keys.read", tuple[str], KeyRecord | None)
FIND_KEY: Final = Call[KeyRecord | None]("keys.find", tuple[str], KeyRecord | None)
ADD_KEY: Final = Call[None]("keys.add", tuple[KeyRecord], None)
REPLACE_KEY: Final = Call[bool]("keys.replace", tuple[KeyRecord, KeyRecord, str, str], bool)
ACCUSE: Final = Call[bool]("keys.accuse", tuple[str, Incident, tuple[str, ...], bool], bool)
UNDO_INCIDENT: Final = Call[Judged]("keys.undo", tuple[str, int], Judged)
CONFIRM_INCIDENT: Final = Call[Judged]("keys.confirm", tuple[str, int], Judged)
PAGE_KEYS: Final = Call[list[KeyRecord]](
    "keys.page", tuple[Seen, int], list[KeyRecord], is_slow=True
)
COUNT_KEYS: Final = Call[Census]("keys.census", tuple[int, int, int], Census, is_slow=True)

READ_FAMILY: Final = Call[Family | None]("grants.read", tuple[str], Family | None)
FIND_FAMILY: Final = Call[Family | None]("grants.find", tuple[str], Family | None)
ADD_FAMILY: Final = Call[None]("grants.add", tuple[Family], None)
ROTATE_FAMILY: Final = Call[bool]("grants.rotate", tuple[Family, Family], bool)
END_FAMILY: Final = Call[bool]("grants.end", tuple[Family, Family, Incident | None], bool)
REVOKE_TOKEN: Final = Call[None]("grants.revoke", tuple[AccessToken, int], None)

ENTER: Final = Call[None]("limiter.enter", tuple[str, KeyLimits], None)
WRITE_RECORDS: Final = Call[None](
    "records.write", tuple[list[tuple[int, str, bytes]]], None, is_slow=True
)
RECENT_RECORDS: Final = Call[list[bytes]](
    "records.recent", tuple[str, int, int], list[bytes], is_slow=True
)
"""Written down, as JSON: a caller's number in a record can be longer than 64 bits."""
RECENT_INCIDENTS: Final = Call[list[Incident]](
    "incidents.recent", tuple[int, str, str], list[Incident], is_slow=True
)
FIND_INCIDENT: Final = Call[Incident | None](
    "incidents.find", tuple[str], Incident | None, is_slow=True
)
FIND_PAST: Final = Call[bytes | None]("pasts.find", tuple[str], bytes | None, is_slow=True)
FOLD_PASTS: Final = Call[dict[str, bytes]](
    "pasts.fold", tuple[dict[str, bytes]], dict[str, bytes], is_slow=True
)

CREATE_ACCOUNT: Final = Call[bool]("books.create_account", tuple[str, int], bool)
ACCOUNTS: Final = Call[list[Account]](
    "books.accounts", tuple[Seen, int], list[Account], is_slow=True
)
FIND_ACCOUNT: Final = Call[Account | None](
    "books.find_account", tuple[str], Account | None, is_slow=True
)
FIND_PROJECT: Final = Call[Project | None](
    "books.find_project", tuple[str], Project | None, is_slow=True
)
USAGE: Final = Call[list[UsageRow]](
    "books.usage", tuple[str, int, int, str | None, int], list[UsageRow], is_slow=True
)
SPENT: Final = Call[UsageRow]("books.spent", tuple[int, int], UsageRow, is_slow=True)
EVENTS: Final = Call[list[tuple[int, Event]]](
    "books.events", tuple[int, int], list[tuple[int, Event]], is_slow=True
)
LAST_EVENT: Final = Call[int]("books.last_event", tuple[()], int, is_slow=True)
HEAD: Final = Call[Head]("books.head", tuple[()], Head, is_slow=True)
HASH_OF: Final = Call[bytes | None]("books.hash_of", tuple[int], bytes | None, is_slow=True)
AUDIT: Final = Call[list[Finding]](
    "books.audit", tuple[tuple[Head, ...]], list[Finding], is_slow=True
)
RECONCILE: Final = Call[int]("books.reconcile", tuple[int], int, is_slow=True)
SHOWN: Final = Call[list[tuple[bool, bytes]]](
    "crew.shown", tuple[()], list[tuple[bool, bytes]], is_slow=True
)
"""Of every other worker whether it lives, and what it counts."""

CALLS: Final = {call.name: call for call in list(globals().values()) if isinstance(call, Call)}

# -- what a worker says -------------------------------------------------------------------------


class Hello(Struct, array_like=True, tag=0, frozen=True):
    """The first word. `undone` are numbers of things asked before whose answers nobody needs."""

    version: str
    instance: str
    undone: list[int]


class Ask(Struct, array_like=True, tag=1, frozen=True, gc=False):
    """`call` is a name in `CALLS`, `ask` what it takes."""

    number: int
    call: str
    ask: Raw


def ask_frame(number: int, call: Call[Any], values: tuple[object, ...]) -> bytes:
    """An `Ask`, encoded in one go."""
    return encode((1, number, call.name, values))


class Undo(Struct, array_like=True, tag=2, frozen=True, gc=False):
    """Nobody needs what was asked under this number: a hold is voided, a place is left."""

    number: int


class Ping(Struct, array_like=True, tag=3, frozen=True, gc=False):
    """Say what there is."""

    number: int


class Used(Struct, array_like=True, tag=4, frozen=True, gc=False):
    """Last uses of keys, Unix ms."""

    at_ms: dict[str, int]


class UsedTokens(Struct, array_like=True, tag=5, frozen=True, gc=False):
    """A key used so many."""

    key_id: str
    tokens: int


class Tell(Struct, array_like=True, tag=6, frozen=True, gc=False):
    """An event to keep."""

    event: Event


class WantRoom(Struct, array_like=True, tag=7, frozen=True, gc=False):
    """Tell of room freed after the one counted as `since`; -1: from now on."""

    since: int


class Ready(Struct, array_like=True, tag=8, frozen=True, gc=False):
    """This worker takes calls."""


class Failed(Struct, array_like=True, tag=9, frozen=True, gc=False):
    """This worker cannot start, and says why."""

    why: str


class Shown(Struct, array_like=True, tag=10, frozen=True, gc=False):
    """What this worker shows, as was wanted."""

    what: bytes


Said = Hello | Ask | Undo | Ping | Used | UsedTokens | Tell | WantRoom | Ready | Failed | Shown
read_said: Final = msgspec.msgpack.Decoder(Said).decode

# -- what a keeper says -------------------------------------------------------------------------


class Welcome(Struct, array_like=True, tag=0, frozen=True, gc=False):
    """Everything that was revoked has been told; ask."""


class Unwelcome(Struct, array_like=True, tag=1, frozen=True, gc=False):
    """Turned away for good."""

    why: str


class Answer(Struct, array_like=True, tag=2, frozen=True, gc=False):
    """The answer, or with `goes_on` the next part of a list."""

    number: int
    answer: Raw
    goes_on: bool = False


def answer_frame(number: int, answer: object, goes_on: bool = False) -> bytes:
    """An `Answer`, encoded in one go."""
    return encode((2, number, answer, goes_on))


class Fault(Struct, array_like=True, tag=3, frozen=True, gc=False):
    """It could not be done. `kind` is a name in `FAULTS`."""

    number: int
    kind: str
    why: str


class Refused(Struct, array_like=True, tag=4, frozen=True, gc=False):
    """A refusal is the answer. `room` counts what was freed when it was asked for."""

    number: int
    code: str
    status: int
    message: str
    public_code: str
    should_retry: bool
    retry_after_s: int | None
    facts: tuple[tuple[str, str | int | None], ...]
    challenge: str
    is_waitable: bool
    resets_ms: int | None
    room: int

    def refusal(self) -> Refusal:
        """As it was given."""
        given: dict[str, Any] = {
            "code": self.code, "status": self.status, "message": self.message,
            "public_code": self.public_code, "should_retry": self.should_retry,
            "retry_after_s": self.retry_after_s, "facts": self.facts, "challenge": self.challenge,
        }  # fmt: skip
        return Waitable(**given, resets_ms=self.resets_ms) if self.is_waitable else Refusal(**given)


def refused(number: int, refusal: Refusal, room: int) -> Refused:
    """The refusal as a message."""
    is_waitable = isinstance(refusal, Waitable)
    return Refused(
        number, refusal.code, refusal.status, refusal.message, refusal.public_code,
        refusal.should_retry, refusal.retry_after_s, refusal.facts, refusal.challenge,
        is_waitable, refusal.resets_ms if isinstance(refusal, Waitable) else None, room,
    )  # fmt: skip


class Pong(Struct, array_like=True, tag=5, frozen=True, gc=False):
    """Everything that was changed before has been told. `why_not_ready` is the keeper's; with
    `is_blind` what it told is not to be acted on."""

    number: int
    why_not_ready: str
    is_blind: bool


class Changed(Struct, array_like=True, tag=6, frozen=True, gc=False):
    """A key is now so."""

    record: KeyRecord


class Revoked(Struct, array_like=True, tag=7, frozen=True, gc=False):
    """Names of access tokens and families that open nothing more."""

    names: list[str]


class Room(Struct, array_like=True, tag=8, frozen=True, gc=False):
    """Some money was freed; it is told once to each that wanted to know."""


class Show(Struct, array_like=True, tag=9, frozen=True, gc=False):
    """Show what you count."""


class Stop(Struct, array_like=True, tag=10, frozen=True, gc=False):
    """Take no more calls and end when the running ones have; said again: end now."""


Heard = (
    Welcome | Unwelcome | Answer | Fault | Refused | Pong | Changed | Revoked | Room | Show | Stop
)
read_heard: Final = msgspec.msgpack.Decoder(Heard).decode

FAULTS: Final[dict[str, type[Exception]]] = {
    "busy": StoreBusyError,
    "store": StoreError,
    "value": ValueError,
    "bug": AssertionError,
}


def fault(number: int, error: BaseException) -> Fault:
    """What went wrong, as a value. Anything unexpected is our own bug, there as here."""
    kinds = [kind for kind, fault in FAULTS.items() if isinstance(error, fault)]
    kind = kinds[0] if kinds else "bug"
    return Fault(number, kind, f"{type(error).__name__}: {error}" if kind == "bug" else f"{error}")
