"""Are the records older than what this data folder has seen?

A backup that was put back, or a database server restored to an earlier moment, revives revoked keys
and forgets what was spent, and looks sound in itself: its chain is whole. So the newest entry that
a guard has seen stands in a small file beside the pepper, and records without that entry are not
served from until somebody said so (`tokenward restore`).
"""

import os
from pathlib import Path
from typing import Final

from tokenward.kernel.errors import StoreError, StorePastError
from tokenward.ledger.interfaces import Books
from tokenward.ledger.statement import Head, parse_head

NAME: Final = "ledger.head"
BYTES_MAX: Final = 256


class HighWater:
    """The mark in one data folder. Written every few seconds, so it trails by as much."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._new = folder / f"{NAME}.new"
        self._kept: Head | None = None

    def read(self) -> Head | None:
        """The newest entry seen; None where nothing was. Raises `StoreError` for a file that is
        there and says nothing."""
        try:
            text = self._path.read_bytes()[:BYTES_MAX].decode("ascii")
            self._kept = parse_head(text)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise StoreError(
                f"{self._path} cannot be read ({error}), so nobody can tell whether the records "
                "are whole. Look at them (tokenward doctor --audit), then: tokenward restore"
            ) from error
        return self._kept

    def keep(self, head: Head) -> None:
        """This entry was seen, in one atomic step. Raises `StoreError`."""
        if head.seq == 0 or head == self._kept:
            return
        try:
            # Always the same one: what a full disk or a kill leaves of it does not pile up.
            number = os.open(self._new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(number, "w", encoding="ascii") as file:
                file.write(f"{head}\n")
            self._new.replace(self._path)
        except OSError as error:
            raise StoreError(f"{self._path} cannot be written: {error}") from error
        self._kept = head

    def reset(self, head: Head) -> None:
        """This is the newest entry from now on, also where it is none. Raises `StoreError`."""
        if head.seq > 0:
            self.keep(head)
            return
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"{self._path} cannot be removed: {error}") from error
        self._kept = None


async def check_not_past(books: Books, seen: Head | None) -> None:
    """Raises `StorePastError` if the records lack the entry that was seen or have another there."""
    if seen is None:
        return
    head = await books.head()
    if head.seq < seen.seq:
        raise StorePastError(
            f"The records end at entry {head.seq}, and this guard has seen entry {seen.seq}: they "
            "are from the past. Keys revoked since then would work again and what was spent would "
            "be forgotten. If you restored them on purpose: tokenward restore"
        )
    if await books.hash_of(seen.seq) != seen.hash:
        raise StorePastError(
            f"Entry {seen.seq} of the records is not the one this guard has seen: they are other "
            "records, or were restored and went on differently. Look at store.records and "
            "server.data_dir; if it is on purpose: tokenward restore"
        )
