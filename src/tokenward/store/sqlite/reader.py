"""Long reads, on a connection of their own that cannot write and a thread of their own."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from tokenward.kernel.errors import StoreBusyError, StoreError
from tokenward.store.sqlite.folder import open_reader

WAITING_MAX: Final = 64

T = TypeVar("T")


class Reader:
    """Reads what is committed, each read on one consistent view of the file."""

    def __init__(self, folder: Path) -> None:
        self._connection = open_reader(folder)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tokenward-read")
        self._waiting = 0
        self._is_closed = False

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """`work(connection)` in the reading thread; `StoreError` if the file cannot be read,
        `StoreBusyError` if too many reads wait."""
        if self._is_closed:
            raise StoreError("the records are closed: this guard is stopping")
        if self._waiting >= WAITING_MAX:
            raise StoreBusyError("too many reads wait for their turn")
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, snapshot, self._connection, work)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Wait for the read that runs, then stop."""
        self._is_closed = True
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._connection.close()


def snapshot(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    """`work(connection)` on one consistent view of the file. Raises `StoreError`."""
    try:
        connection.execute("BEGIN")
        try:
            return work(connection)
        finally:
            connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise StoreError(f"the records cannot be read: {error}") from error
