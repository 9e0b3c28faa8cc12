"""Entries about no call, and what their details say: caps as they were set, keys as they became."""

from typing import Any, Final, Protocol

import msgspec

from tokenward.kernel.events import Event
from tokenward.ledger.chain import Entry
from tokenward.ledger.records import Cap, Unit, Window

to_json: Final = msgspec.json.Encoder().encode


class Notebook(Protocol):
    """The end of the ledger inside one transaction; each store has its own way to write it."""

    __slots__ = ()

    def next_seq(self) -> int:
        """The number that the next entry will have."""
        ...

    def write(self, entry: Entry) -> None:
        """Append an entry; its `seq` is `next_seq()`."""
        ...

    def tell(self, event: Event) -> None:
        """Keep an event for people and pagers."""
        ...

    def note(
        self,
        kind: str,
        at_ms: int,
        *,
        account: str = "",
        project: str = "",
        key: str = "",
        nusd: int = 0,
        detail: Any = None,
    ) -> None:
        """Append an entry that is about no call: a cap, a credit, a key, an account."""
        seq, text = self.next_seq(), to_json({} if detail is None else detail).decode("utf-8")
        self.write(
            Entry(
                seq, at_ms, kind, 0, at_ms, account, project, key, "", nusd, 0, 0, 0, 0, 0, 0, text
            )
        )


class CapNote(msgspec.Struct, frozen=True, kw_only=True):
    """The detail of a `cap_set`, `cap_removed` or `credit` entry: the cap as it stands from then
    on. `since_ms`: start of the first window it counts; `why` is said of credit."""

    cap: str
    subject: str
    model: str
    window: Window
    unit: Unit
    limit: int
    zone: str
    throttles: bool
    since_ms: int
    why: str = ""


def note_cap(cap: Cap, since_ms: int, why: str = "") -> CapNote:
    """The note an entry keeps of a cap."""
    return CapNote(
        cap=cap.id,
        subject=cap.subject,
        model=cap.model,
        window=cap.window,
        unit=cap.unit,
        limit=cap.limit,
        zone=cap.zone,
        throttles=cap.throttles,
        since_ms=since_ms,
        why=why,
    )


class KeyNote(msgspec.Struct, frozen=True, kw_only=True):
    """The detail of a `key_…` entry: the key's state from then on, and why."""

    state: str
    why: str = ""
