"""What the accounting rules ask of whoever keeps the entries; each store fulfils it its own way."""

from typing import NamedTuple, Protocol

from tokenward.kernel.events import Event
from tokenward.ledger.chain import Entry
from tokenward.ledger.counter import Counter


class Ended(NamedTuple):
    """How a hold ended (`settle`, `void`, `expire`), what was posted then, and what was added
    since because a bill came in higher."""

    kind: str
    nusd: int
    tokens: int
    over_nusd: int
    over_tokens: int


class Book(Protocol):
    """The books inside one transaction: what is written is there for the next question, and none
    of it lasts if the transaction does not."""

    def legs(
        self, account: str, project: str, key: str, model: str, at_ms: int
    ) -> tuple[Counter, ...]:
        """Every counter that a call of this key to this model at this moment moves; always the
        same object for a cap and a window."""
        ...

    def touch(self, counter: Counter) -> None:
        """The counter was moved."""
        ...

    def next_seq(self) -> int:
        """The number that the next entry will have."""
        ...

    def write(self, entry: Entry) -> None:
        """Append an entry; its `seq` is `next_seq()`."""
        ...

    def open(
        self, entry: Entry, legs: tuple[Counter, ...], request_id: str, expires_ms: int
    ) -> None:
        """The hold of this entry is open."""
        ...

    def close(self, seq: int) -> tuple[Entry, tuple[Counter, ...]] | None:
        """The hold is no longer open: its entry and its counters. None if it is not open."""
        ...

    def is_open(self, seq: int) -> bool:
        """Has the hold not ended yet?"""
        ...

    def ended(self, seq: int) -> Ended:
        """How a hold that is not open ended."""
        ...

    def taken(self, seq: int) -> Entry:
        """The entry of a hold that is not open."""
        ...

    def remembered(self, key: str, digest: str, since_ms: int) -> int | None:
        """The hold that this idempotency key of `key` was last used for since then."""
        ...

    def remember(self, key: str, digest: str, seq: int, at_ms: int) -> None:
        """This idempotency key was used for that hold."""
        ...

    def tell(self, event: Event) -> None:
        """Keep an event for people and pagers."""
        ...
