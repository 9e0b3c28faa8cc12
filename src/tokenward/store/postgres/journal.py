"""The append-only ledger and the events, as one transaction adds to them."""

from tokenward.kernel.events import Event
from tokenward.ledger.chain import Entry, chain_hash
from tokenward.ledger.notes import Notebook


class Journal(Notebook):
    """Collects what a transaction will write: entries, each chained to the one before, and
    events. `seq` and `hash` are the head."""

    __slots__ = ("entries", "events", "hash", "seq")

    def __init__(self, seq: int, digest: bytes) -> None:
        self.seq = seq
        self.hash = digest
        self.entries: list[tuple[Entry, bytes]] = []
        self.events: list[Event] = []

    def next_seq(self) -> int:
        """The number that the next entry will have."""
        return self.seq + 1

    def write(self, entry: Entry) -> None:
        """Append an entry; its `seq` is `next_seq()`."""
        assert entry.seq == self.seq + 1, "entries are numbered without gaps"
        self.hash = chain_hash(self.hash, entry)
        self.seq = entry.seq
        self.entries.append((entry, self.hash))

    def tell(self, event: Event) -> None:
        """Keep an event for people and pagers."""
        self.events.append(event)
