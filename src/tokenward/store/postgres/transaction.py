"""One change of the books: everything in it is kept together, or nothing of it."""

from typing import Any, Final, Literal

from psycopg import AsyncConnection

from tokenward.store.postgres.journal import Journal
from tokenward.store.postgres.writing import LOCK, commit, execute, integers, write_journal

_BOOK: Final = "SELECT seq, hash, change FROM book"
_CHANGES: Final = (
    "INSERT INTO changes (number, what, name) "
    "SELECT * FROM unnest(%s::bigint[], %s::text[], %s::text[])"
)
_CHANGED: Final = "UPDATE book SET change = %s"
_CAPS_CHANGED: Final = "UPDATE book SET caps = caps + 1"


class Transaction:
    """What a piece of work may use while it holds the lock of the books.

    `connection` reads and writes at once; what `journal` and `changed` collect is written right
    before the commit. `has_asked`: the commit was sent, so only the database knows how it ended.
    """

    def __init__(
        self, connection: AsyncConnection[Any], seq: int, digest: bytes, change: int
    ) -> None:
        self.connection: Final = connection
        self.journal: Final = Journal(seq, digest)
        self.has_asked = False
        self._change = change
        self._changes: list[tuple[Literal["key", "name"], str]] = []
        self._has_new_caps = False

    def changed(self, what: Literal["key", "name"], name: str) -> None:
        """Every gateway must hear of it: a key, by its id, or the name of what was revoked."""
        self._changes.append((what, name))

    def changed_caps(self) -> None:
        """Every gateway must read the caps anew before its next hold."""
        self._has_new_caps = True

    @property
    def numbers(self) -> range:
        """The numbers of the changes it makes, as other gateways read them."""
        return range(self._change + 1, self._change + 1 + len(self._changes))

    async def commit(self) -> None:
        """Write what was collected, and commit; one round trip."""
        connection = self.connection
        self.has_asked = True
        async with connection.pipeline():
            await write_journal(connection, self.journal)
            if self._changes:
                numbers = self.numbers
                kinds, names = zip(*self._changes, strict=True)
                await execute(connection, _CHANGES, (integers(numbers), list(kinds), list(names)))
                await execute(connection, _CHANGED, (numbers[-1],))
            if self._has_new_caps:
                await connection.execute(_CAPS_CHANGED)
            committing = await commit(connection)
        committing.check()


async def begin(connection: AsyncConnection[Any]) -> Transaction:
    """Take the lock of the books and see where they stand; one round trip."""
    async with connection.pipeline():
        await connection.execute("BEGIN")
        await connection.execute(LOCK)
        cursor = await connection.execute(_BOOK)
    row = await cursor.fetchone()
    assert row is not None, "the book has one row"
    return Transaction(connection, *row)
