"""The disk under the one file: when a commit takes place, whether it does, and who dies of it."""

import asyncio
import sqlite3
from collections.abc import Callable
from random import Random
from typing import Literal

from sim.history import History
from tokenward.store.sqlite.committer import Tell

CrashAt = Literal["", "before", "after"]


class SimDisk:
    """Faults that chaos switches on and off; commits ask it how they fare."""

    def __init__(self, rng: Random, history: History) -> None:
        self.history = history
        self.slow_s = 0.0
        self.is_full = False
        self.crash_at: CrashAt = ""
        self.crash: Callable[[], None] = _nobody
        """Kills whoever has the file."""
        self._rng = rng

    def open(
        self, connection: sqlite3.Connection, loop: asyncio.AbstractEventLoop
    ) -> "SimCommitter":
        """As `store.sqlite.committer.MakeCommitter`."""
        return SimCommitter(self, connection, loop)

    def commit_s(self) -> float:
        """How long the next commit takes."""
        if self.slow_s:
            self.history.fire("slow_disk")
        return self.slow_s + self._rng.uniform(0.0002, 0.004)


class SimCommitter:
    """Fulfils `store.sqlite.committer.Commits` without a thread. Between a commit and the word of
    it some time passes: what happens in it is the hardest to get right."""

    def __init__(
        self, disk: SimDisk, connection: sqlite3.Connection, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.is_waiting = False
        self._disk = disk
        self._connection = connection
        self._loop = loop

    def commit(self, tell: Tell) -> None:
        """Commit after a while; then `tell`."""
        self.is_waiting = True
        self._loop.call_later(self._disk.commit_s(), self._commit, tell)

    def stop(self) -> None:
        """There is no thread."""
        assert not self.is_waiting, "who stops has waited"

    def _commit(self, tell: Tell) -> None:
        disk, self.is_waiting = self._disk, False
        crash_at, disk.crash_at = disk.crash_at, ""
        if crash_at == "before":
            disk.history.fire("crash_in_commit")
            disk.crash()
            return
        error: BaseException | None = None
        if disk.is_full:
            disk.history.fire("full_disk")
            error = sqlite3.OperationalError("database or disk is full")
        else:
            self._connection.execute("COMMIT")
        if crash_at == "after":
            disk.history.fire("crash_in_commit")
            disk.crash()
            return
        self._loop.call_later(0.0003, tell, error)


def _nobody() -> None:
    raise AssertionError("nobody has the file")
