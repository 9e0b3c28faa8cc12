"""The books in the file, as the accounting rules see them inside a transaction."""

from typing import Final

from tokenward.ledger.book import Ended
from tokenward.ledger.chain import Entry
from tokenward.store.entry_rows import ENTRY_ROWS, read_entry
from tokenward.store.sqlite.counters import Counters
from tokenward.store.sqlite.database import Database
from tokenward.store.sqlite.journal import Journal
from tokenward.store.sqlite.open_holds import OpenHolds

_END: Final = (
    "SELECT kind, nusd, tokens FROM entries WHERE hold = ? AND kind IN ('settle', 'void', 'expire')"
)
_OVERRUNS: Final = (
    "SELECT coalesce(sum(nusd), 0), coalesce(sum(tokens), 0) FROM entries "
    "WHERE hold = ? AND kind = 'overrun'"
)
_ENTRY: Final = ENTRY_ROWS + "WHERE seq = ?"
_REPEAT: Final = "SELECT hold FROM idempotency WHERE key = ? AND digest = ? AND at_ms > ?"
_REMEMBER: Final = (
    "INSERT OR REPLACE INTO idempotency (key, digest, hold, at_ms) VALUES (?, ?, ?, ?)"
)


class SqliteBook:
    """Fulfils `ledger.book.Book`: its parts do the work, looked up once and not for every call."""

    def __init__(
        self, database: Database, journal: Journal, counters: Counters, holds: OpenHolds
    ) -> None:
        self._connection = database.connection
        self._flush = journal.flush
        self.legs = counters.legs
        self.touch = counters.touch
        self.next_seq = journal.next_seq
        self.write = journal.write
        self.tell = journal.tell
        self.open = holds.open
        self.close = holds.close
        self.is_open = holds.is_open

    def ended(self, seq: int) -> Ended:
        """How a hold that is not open ended."""
        self._flush()  # it may have ended in this transaction
        end = self._connection.execute(_END, (seq,)).fetchone()
        assert end is not None, "a hold that is not open has ended"
        return Ended(*end, *self._connection.execute(_OVERRUNS, (seq,)).fetchone())

    def taken(self, seq: int) -> Entry:
        """The entry of a hold."""
        self._flush()
        return read_entry(self._connection.execute(_ENTRY, (seq,)).fetchone())

    def remembered(self, key: str, digest: str, since_ms: int) -> int | None:
        """The hold that this idempotency key was last used for since then."""
        row = self._connection.execute(_REPEAT, (key, digest, since_ms)).fetchone()
        return None if row is None else int(row[0])

    def remember(self, key: str, digest: str, seq: int, at_ms: int) -> None:
        """This idempotency key was used for that hold."""
        self._connection.execute(_REMEMBER, (key, digest, seq, at_ms))
