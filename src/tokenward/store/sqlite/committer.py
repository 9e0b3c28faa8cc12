"""The thread in which COMMIT waits for the disk, and nothing else."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Protocol

Tell = Callable[[BaseException | None], None]


class Commits(Protocol):
    """Who commits for a `Database`."""

    is_waiting: bool
    """For the disk; a loop that is late hears only later that it waits no more."""

    def commit(self, tell: Tell) -> None:
        """Commit what is in transaction; then `tell` is called on the loop: None, or the error."""
        ...

    def stop(self) -> None:
        """Wait for what was asked, then let go."""
        ...


MakeCommitter = Callable[[sqlite3.Connection, asyncio.AbstractEventLoop], Commits]


class Committer:
    """One commit after the other, of one connection. A pool of threads would do it too, but its
    futures and locks cost more than the hand-over itself, on the path of every call."""

    def __init__(self, connection: sqlite3.Connection, loop: asyncio.AbstractEventLoop) -> None:
        self.is_waiting = False
        self._connection = connection
        self._loop = loop
        self._asked: SimpleQueue[Tell | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name="tokenward-commit", daemon=True)
        self._thread.start()

    def commit(self, tell: Tell) -> None:
        """Commit what is in transaction; then `tell` is called on the loop: None, or the error."""
        self.is_waiting = True
        self._asked.put(tell)

    def stop(self) -> None:
        """Wait for what was asked, then end the thread."""
        self._asked.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (tell := self._asked.get()) is not None:
            error: BaseException | None = None
            try:
                self._connection.execute("COMMIT")
            except Exception as fault:  # noqa: BLE001 - who waits is told, and the thread lives on
                error = fault
            self.is_waiting = False
            with suppress(RuntimeError):  # the loop is closed: nobody is left to tell
                self._loop.call_soon_threadsafe(tell, error)
