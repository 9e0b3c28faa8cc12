"""One connection that writes, and many operations to a commit.

The SQL of waiting operations runs on the event loop, a few microseconds each, inside one
transaction; only COMMIT, which waits for the disk, runs in a thread. While it runs new operations
queue. When it ends every operation of the batch gets its answer and the next batch starts. So
operations take effect in the order they were asked for, and an answer means: it is on the disk.

What other parts of the store keep in memory is a copy of the file. When a transaction is rolled
back they forget it and read it anew (`StateCache`), so memory and file cannot drift apart.
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar

from tokenward.kernel.errors import StoreBusyError, StoreError
from tokenward.store.asked import Asked
from tokenward.store.sqlite.committer import Committer, MakeCommitter
from tokenward.store.sqlite.folder import Place

BATCH_MAX: Final = 128
WAITING_MAX: Final = 4_096
MUST_RUN_MAX: Final = 65_536
COMMIT_LIMIT_S: Final = 0.75
"""A disk slower than this counts as dead: who waits is told so, within a second of asking."""
RIDE_DELAY_S: Final = 0.05
SHARE_DELAY_S: Final = 0.002
"""How long what nobody's answer waits for lets others join its commit."""

T = TypeVar("T")


class StateCache(Protocol):
    """Memory that mirrors the file."""

    def flush(self) -> None:
        """Write what changed in memory; called before the transaction ends."""
        ...

    def forget(self) -> None:
        """The transaction was rolled back: drop everything and read it anew when needed."""
        ...


class Rider(Protocol):
    """Rows that nobody waits for; they join a commit from time to time."""

    @property
    def waiting(self) -> int:
        """Rows that are not on the disk yet."""
        ...

    def board(self, connection: sqlite3.Connection) -> None:
        """Write a bounded number of waiting rows."""
        ...

    def arrive(self) -> None:
        """What boarded is on the disk."""
        ...

    def miss(self) -> None:
        """What boarded was rolled back and waits again."""
        ...


class _Op(Asked[T]):
    """An operation, which may be run twice, and who waits for it. `reads`: rows that operations
    before it wrote, and not only what the caches hold."""

    __slots__ = ("reads", "work")

    def __init__(
        self,
        work: Callable[[], T],
        future: "asyncio.Future[T]",
        must_run: bool,
        reads: bool,
        abandoned: Callable[[T], None] | None,
    ) -> None:
        super().__init__(future, must_run, abandoned)
        self.reads = reads
        self.work = work


class Database:
    """The queue of operations in front of the writing connection. Lives on one event loop."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        commit_limit_s: float = COMMIT_LIMIT_S,
        place: Place | None = None,
        make_committer: MakeCommitter = Committer,
    ) -> None:
        self.connection = connection
        self._place = place
        self.caches: list[StateCache] = []
        self.riders: list[Rider] = []
        self.after_commit: list[Callable[[], None]] = []
        self._commit_limit_s = commit_limit_s
        self._loop = asyncio.get_running_loop()
        self._committer = make_committer(connection, self._loop)
        self._waiting: deque[_Op[Any]] = deque()
        self._batch: list[_Op[Any]] = []
        self._is_running = False
        self._idle = asyncio.Event()
        self._is_slow = False
        self._is_closed = False
        self._slow_timer: asyncio.TimerHandle | None = None
        self._ride_timer: asyncio.TimerHandle | None = None
        self._is_ride_due = False
        self._share_timer: asyncio.TimerHandle | None = None

    @property
    def is_closed(self) -> bool:
        """Nothing new is taken; what waits is still written."""
        return self._is_closed

    @property
    def is_slow(self) -> bool:
        """A commit takes longer than its limit: operations are refused until it ends."""
        return self._is_slow

    @property
    def waiting(self) -> int:
        """Operations that wait for their batch."""
        return len(self._waiting)

    def submit(
        self,
        work: Callable[[], T],
        *,
        must_run: bool = False,
        may_share: bool = False,
        reads: bool = True,
        abandoned: Callable[[T], None] | None = None,
    ) -> "asyncio.Future[T]":
        """Run `work` inside the next transaction, in turn; the answer comes when it is durable.

        `work` may be run twice (the first run is then undone), so it changes nothing but the file
        and what the caches mirror. An exception it raises goes to its caller and to nobody else.
        `StoreError` if the commit failed, `StoreBusyError` if the queue is full or the disk slow.
        With `must_run` it runs also after its caller gave up; without, `abandoned` is called with
        a result that nobody took, so that it can be undone. With `may_share` it waits a little for
        others: alone it would have the next caller wait until its commit is over. `reads` False: it
        looks only at what the caches hold, so what they have not written yet may wait for the end.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        op = _Op(work, future, must_run, reads, abandoned)
        if self._is_closed:
            op.fail(StoreError("the records are closed: this guard is stopping"))
            return future
        if len(self._waiting) >= (MUST_RUN_MAX if must_run else WAITING_MAX):
            op.fail(StoreBusyError("too many writes wait for the disk"))
            return future
        if self._is_slow:
            op.fail(self._slow_error())
            if not must_run:
                return future
        self._waiting.append(op)
        if not may_share:
            self._start()
        elif not self._is_running and self._share_timer is None:
            self._share_timer = self._loop.call_later(SHARE_DELAY_S, self._start)
        return future

    def push(self, work: Callable[[], object]) -> None:
        """Like `submit` with `must_run`, for what nobody waits for."""
        pushed = self.submit(work, must_run=True)
        assert not pushed.cancelled(), "nobody holds it, so nobody cancels it"

    def expect_rider(self) -> None:
        """A rider has rows: a commit soon takes them along. Not the next one: a hold waits for
        that, and would wait for their pages too."""
        if self._ride_timer is None and not self._is_closed:
            self._ride_timer = self._loop.call_later(RIDE_DELAY_S, self.ride)

    def ride(self) -> None:
        """Take the riders along with the next commit, which starts now if none runs."""
        if self._ride_timer is not None:
            self._ride_timer.cancel()
        self._ride_timer = None
        self._is_ride_due = True
        self._start()

    async def close(self) -> None:
        """Write what waits, then stop. Later operations fail."""
        self._is_closed = True
        if self._ride_timer is not None:
            self._ride_timer.cancel()
        before, left = -1, 0
        while before != left:  # until everything is written, or the disk takes nothing more
            before = left
            self.ride()
            await self._idle.wait()
            left = sum(rider.waiting for rider in self.riders)
        self._committer.stop()
        self.connection.close()

    def _start(self) -> None:
        if not self._is_running:
            self._is_running = True
            self._idle.clear()
            self._loop.call_soon(self._run_batch)

    def _run_batch(self) -> None:
        if self._share_timer is not None:
            self._share_timer.cancel()
            self._share_timer = None
        waiting = self._waiting
        ops = self._batch = []
        while waiting and len(ops) < BATCH_MAX:
            op = waiting.popleft()
            if op.is_wanted:
                ops.append(op)
        connection = self.connection
        before = connection.total_changes
        try:
            if self._place is not None:
                self._place.check()
            self._apply(ops)
            if connection.total_changes == before:
                connection.execute("COMMIT")  # nothing to keep: no need to wait for the disk
        except Exception as error:  # noqa: BLE001 - who waits is told, and the queue goes on
            self._fail_batch(error)
            return
        if connection.in_transaction:
            self._slow_timer = self._loop.call_later(self._commit_limit_s, self._turn_slow)
            self._committer.commit(self._end_batch)
        else:
            self._end_batch(None)

    def _apply(self, ops: list[_Op[Any]]) -> None:
        """Run the operations in one transaction; apart from each other if one of them raises."""
        self._begin()
        try:
            for op in ops:
                if op.reads:
                    self._flush()
                op.value = op.work()
            self._flush()
            self._board()
        except Exception:  # noqa: BLE001 - whatever it was goes to its own caller, from _apply_apart
            self._roll_back()
            self._apply_apart(ops)

    def _apply_apart(self, ops: list[_Op[Any]]) -> None:
        """The same with a savepoint each, so that one that raises does not harm the others."""
        execute = self.connection.execute
        self._begin()
        for op in ops:
            execute("SAVEPOINT op")
            try:
                op.value = op.work()
                self._flush()
            except Exception as error:  # noqa: BLE001 - it goes to the operation's caller
                self._undo(op, error)
            execute("RELEASE op")
        self._board()

    def _undo(self, op: _Op[Any], error: Exception) -> None:
        """Take back what one operation did; if SQLite took back everything the batch fails."""
        if not self.connection.in_transaction:
            raise StoreError(f"the records cannot be written: {error}") from error
        self.connection.execute("ROLLBACK TO op")
        self._forget()
        op.error = _as_fault(error)

    def _begin(self) -> None:
        self.connection.execute("BEGIN IMMEDIATE")

    def _flush(self) -> None:
        for cache in self.caches:
            cache.flush()

    def _board(self) -> None:
        if self._is_ride_due:
            self._is_ride_due = False
            for rider in self.riders:
                rider.board(self.connection)

    def _forget(self) -> None:
        for cache in self.caches:
            cache.forget()

    def _roll_back(self) -> None:
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")
        self._forget()
        self._is_ride_due = False
        for rider in self.riders:
            rider.miss()  # and asks for the next ride

    def _end_batch(self, error: BaseException | None) -> None:
        if self._slow_timer is not None:
            self._slow_timer.cancel()
            self._slow_timer = None
        self._is_slow = False
        if error is not None:
            self._fail_batch(error)
            return
        for rider in self.riders:
            rider.arrive()
        for tell in self.after_commit:
            tell()
        for op in self._batch:
            op.answer()
        self._next_batch()

    def _fail_batch(self, error: BaseException) -> None:
        try:
            self._roll_back()
        except sqlite3.Error as second:
            error = second
        for op in self._batch:
            op.fail(op.error or _as_fault(error))
        self._next_batch()

    def _next_batch(self) -> None:
        self._batch = []
        if self._waiting or self._is_ride_due:
            self._loop.call_soon(self._run_batch)
        else:
            self._is_running = False
            self._idle.set()

    def _turn_slow(self) -> None:
        """The commit takes too long: refuse at once until it ends, whatever it then says."""
        if not self._committer.is_waiting:
            return  # the disk was in time; this loop was late, and hears of the end next
        self._is_slow = True
        for op in (*self._batch, *self._waiting):
            op.fail(self._slow_error())

    def _slow_error(self) -> StoreBusyError:
        return StoreBusyError(f"the disk has not kept a write within {self._commit_limit_s} s")


def _as_fault(error: BaseException) -> BaseException:
    if isinstance(error, sqlite3.Error):
        fault = StoreError(f"the records cannot be written: {error}")
        fault.__cause__ = error
        return fault
    return error
