"""PostgreSQL as every part of the store uses it.

`change` is for whatever must be true for all gateways at once: it holds the lock of the books, so
changes are one after the other and deadlock is impossible. `write` is for what concerns nobody
else, `read` for what must be seen at one moment, `fetch` for one quick question.

Slow counts as dead: nothing waits longer than its limit. Whatever is late, or loses its
connection, closes the door: everything is refused at once (`why_not_ready`) until a probe, tried
again and again with growing pauses, is answered in time.

What people ask for may take long (`LONG_S`). It never has all connections, and that it took too
long is told to who asked: it says nothing about the database.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, LiteralString, Self, TypeVar

import psycopg
from psycopg import AsyncConnection

from tokenward.kernel.clock import Clock
from tokenward.kernel.errors import StoreBusyError, StoreError
from tokenward.store.postgres.faults import AGAIN, as_fault, is_lost
from tokenward.store.postgres.layout import bring_forward
from tokenward.store.postgres.line import Line
from tokenward.store.postgres.pool import LINES_MAX, LONG_WAIT_S, Pool, long_turns
from tokenward.store.postgres.transaction import Transaction, begin
from tokenward.store.postgres.writing import commit

COMMIT_LIMIT_S: Final = 0.75
LONG_S: Final = 600.0
"""For what people ask for that reads all entries. In total and not a statement: as long as it
reads, the database keeps every row version since, and rows that each call changes get slow."""
STOPPING: Final = "the records are closed: this guard is stopping"
TRIES_MAX: Final = 4
PUSHED_MAX: Final = 4_096
PUSHED_AT_ONCE: Final = 64
PAUSE_S_MIN: Final = 0.02
PAUSE_S_MAX: Final = 1.0
_SNAPSHOT: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_PATIENT: Final = (
    "SELECT set_config('statement_timeout', %(ms)s, true), "
    "set_config('idle_in_transaction_session_timeout', %(ms)s, true)"
)
"""A long read may think between two questions; it holds no lock that others wait for."""

T = TypeVar("T")
Change = Callable[[Transaction], Awaitable[T]]
Work = Callable[[AsyncConnection[Any]], Awaitable[T]]


class _AgainError(Exception):
    """The same work, once more: nothing of it was kept."""


class Database:
    """Lives on one event loop. Made by `open`."""

    def __init__(self, url: str, clock: Clock, commit_limit_s: float, lines: int) -> None:
        self.url: Final = url
        self.clock: Final = clock
        self.commit_limit_s: Final = commit_limit_s
        self.on_trouble: list[Callable[[str], None]] = []
        """Called with the reason when the database does not answer any more."""
        self.on_recovery: list[Callable[[], None]] = []
        """Called when the database answers again."""
        self._pool = Pool(url, "books", commit_limit_s, lines)
        self._long_turns = long_turns(lines)
        self._loop = asyncio.get_running_loop()
        self._trouble = ""
        self._is_closed = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._probe: asyncio.Task[None] | None = None
        self._pushed: deque[Change[object]] = deque()
        self._pusher: asyncio.Task[None] | None = None
        self.dropped = 0
        """What was pushed and is lost, because too much waited."""

    @classmethod
    async def open(
        cls,
        url: str,
        clock: Clock,
        *,
        commit_limit_s: float = COMMIT_LIMIT_S,
        lines: int = LINES_MAX,
    ) -> Self:
        """Connect, and bring the layout forward. Raises `StoreError`."""
        await bring_forward(url)
        return cls(url, clock, commit_limit_s, lines)

    # -- what others use ------------------------------------------------------------------------

    async def change(self, work: Change[T]) -> T:
        """`work(transaction)` under the lock of the books, then the commit.

        An exception of `work` takes everything back and goes to the caller. `work` may be run
        again from the start, so it changes nothing but the database. It is carried on to its end
        when the caller goes away. A `StoreError` that says so leaves open whether it was kept.
        """
        return await self._start(partial(self._change, work), "keep a change")

    async def write(self, work: Work[T]) -> T:
        """`work(connection)` in a transaction of its own, without the lock of the books."""
        return await self._start(partial(self._write, work), "keep rows")

    async def read(self, work: Work[T], *, limit_s: float | None = None) -> T:
        """`work(connection)` on everything as it is at one moment; it cannot write.

        With a limit of its own it may take long: then it waits for its turn, at most two run at
        once, and passing the limit is a `StoreBusyError` for this caller alone.
        """
        reading = partial(self._read, work, limit_s)
        if limit_s is None:
            return await self._start(reading, "be read")
        self.check()
        await self._long_turns.take(LONG_WAIT_S)
        return await self._start(reading, "be read", limit_s, self._long_turns.give)

    async def fetch(
        self, question: LiteralString, values: Sequence[Any] | None = None
    ) -> list[tuple[Any, ...]]:
        """All rows that answer one question, in one round trip."""

        async def ask(line: Line) -> list[tuple[Any, ...]]:
            return await (await line.connection.execute(question, values)).fetchall()

        return await self._start(ask, "be read")

    async def fetch_long(
        self, question: LiteralString, values: Sequence[Any] | Mapping[str, Any] | None = None
    ) -> list[tuple[Any, ...]]:
        """The same for what people ask for: it may take long, and the database is not to blame."""

        async def ask(connection: AsyncConnection[Any]) -> list[tuple[Any, ...]]:
            return await (await connection.execute(question, values)).fetchall()

        return await self.read(ask, limit_s=LONG_S)

    def push(self, work: Change[object]) -> None:
        """A change that nobody waits for; made as soon as the database takes it, together with
        others. Of more than 4,096 the excess is dropped, and counted."""
        if self._is_closed or len(self._pushed) >= PUSHED_MAX:
            self.dropped += 1
            return
        self._pushed.append(work)
        if self._pusher is None or self._pusher.done():
            self._pusher = self._task(self._make_pushed())

    @property
    def waiting(self) -> int:
        """Who waits for a connection, and what was pushed and not made yet."""
        return self._pool.waiting + len(self._pushed)

    @property
    def is_closed(self) -> bool:
        """Nothing new is taken."""
        return self._is_closed

    @property
    def why_not_ready(self) -> str:
        """Why everything is refused at once; "" while the database answers in time."""
        return self._trouble

    def check(self) -> None:
        """Raises what every caller is told now: `StoreBusyError` while the door is closed."""
        if self._is_closed:
            raise StoreError(STOPPING)
        if self._trouble:
            raise StoreBusyError(self._trouble)

    def distrust(self, why: str) -> None:
        """The database was late, or a connection was lost: refuse until a probe is answered."""
        self._pool.drop_idle()
        if not self._trouble and not self._is_closed:
            self._trouble = why
            for tell in self.on_trouble:
                tell(why)
            self._probe = self._task(self._prove())

    async def close(self) -> None:
        """Make what was pushed, wait for what runs, let go. A second time does nothing."""
        if self._is_closed:
            return
        if self._pusher is not None and not self._trouble:
            await asyncio.wait([self._pusher], timeout=self.commit_limit_s)
        self._is_closed = True
        if self._probe is not None:
            self._probe.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self.commit_limit_s)
        self._pool.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- inside ---------------------------------------------------------------------------------

    async def _start(
        self,
        work: Callable[[Line], Awaitable[T]],
        doing: str,
        long_s: float | None = None,
        ended: Callable[[], None] | None = None,
    ) -> T:
        """Run it as a task of its own: who goes away leaves no connection in the middle of it.
        `long_s`: what may take so long. `ended` is called once, also where it was not begun."""
        try:
            self.check()
        except StoreError:
            if ended is not None:
                ended()
            raise
        task = self._task(self._persist(work, doing, long_s))
        task.add_done_callback(_seen)
        if ended is not None:
            task.add_done_callback(lambda _: ended())
        return await asyncio.shield(task)

    async def _persist(
        self, work: Callable[[Line], Awaitable[T]], doing: str, long_s: float | None
    ) -> T:
        for _ in range(TRIES_MAX):
            with suppress(_AgainError):
                return await self._once(work, doing, long_s)
        raise StoreBusyError(f"the database could not {doing} beside others; try again")

    async def _once(
        self, work: Callable[[Line], Awaitable[T]], doing: str, long_s: float | None
    ) -> T:
        line, was_used = await self._take()
        timer = self._loop.call_later(long_s or self.commit_limit_s, line.cut)
        try:
            self.check()
            return await work(line)
        except AGAIN as error:
            raise _AgainError from error
        except (psycopg.Error, OSError) as error:
            if line.is_cut:
                raise self._late(doing, long_s) from error
            if is_lost(error):
                if was_used:  # it may have been lost long ago; all that are idle may have been
                    self._pool.drop_idle()
                    raise _AgainError from error
                self.distrust("the connection to the database was lost")
            raise as_fault(error, doing) from error
        finally:
            timer.cancel()
            self._pool.give(line)

    def _late(self, doing: str, long_s: float | None) -> StoreError:
        """Its time was over, or everything ends."""
        if self._is_closed:
            return StoreError(STOPPING)
        if long_s is None:
            self.distrust("the database does not answer in time")
            return StoreBusyError(f"the database takes too long to {doing}")
        return StoreBusyError(
            f"what was asked of the database took longer than {long_s:g} s and was given up; "
            "ask for less of it, or at a quieter time"
        )

    async def _take(self) -> tuple[Line, bool]:
        try:
            return await self._pool.take(self.commit_limit_s)
        except StoreBusyError:
            raise
        except StoreError as error:
            self.distrust(str(error))
            raise

    async def _change(self, work: Change[T], line: Line) -> T:
        transaction = await begin(line.connection)
        try:
            result = await work(transaction)
            await transaction.commit()
        except (psycopg.Error, OSError) as error:
            await _roll_back(line)
            if transaction.has_asked and (line.is_cut or is_lost(error)):
                self.distrust("the connection to the database was lost")
                raise StoreError(
                    "the database was asked to keep a change and did not say whether it did; "
                    "ask again"
                ) from error
            raise
        except BaseException:
            await _roll_back(line)
            raise
        return result

    async def _write(self, work: Work[T], line: Line) -> T:
        connection = line.connection
        await connection.execute("BEGIN")
        try:
            result = await work(connection)
            (await commit(connection)).check()
        except BaseException:
            await _roll_back(line)
            raise
        return result

    async def _read(self, work: Work[T], limit_s: float | None, line: Line) -> T:
        connection = line.connection
        await connection.execute(_SNAPSHOT)
        try:
            if limit_s is not None:
                await connection.execute(_PATIENT, {"ms": f"{round(limit_s * 1000)}"})
            return await work(connection)
        finally:
            await _roll_back(line)

    async def _make_pushed(self) -> None:
        while self._pushed and not self._is_closed:
            works = [self._pushed.popleft() for _ in range(min(len(self._pushed), PUSHED_AT_ONCE))]

            async def make(transaction: Transaction, works: list[Change[object]] = works) -> None:
                for work in works:
                    await work(transaction)

            try:
                await self.change(make)
            except StoreError:
                self._pushed.extendleft(reversed(works))
                await asyncio.sleep(PAUSE_S_MAX)

    async def _prove(self) -> None:
        """Ask until the database answers: well within the limit, for a write takes several
        round trips."""
        pause_s = 0.0
        while True:
            await asyncio.sleep(pause_s)
            pause_s = min(PAUSE_S_MAX, max(PAUSE_S_MIN, pause_s * 2))
            with suppress(StoreError, psycopg.Error, OSError):
                line = await self._pool.open()
                timer = self._loop.call_later(self.commit_limit_s / 3, line.cut)
                try:
                    await line.connection.execute("SELECT seq FROM book")
                    break
                finally:
                    timer.cancel()
                    line.close()
        self._trouble = ""
        for tell in self.on_recovery:
            tell()

    def _task(self, work: Any) -> asyncio.Task[Any]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _roll_back(line: Line) -> None:
    """Leave nothing open; a connection on which even that fails is not used again."""
    with suppress(psycopg.Error, OSError):
        await line.connection.rollback()


def _seen(task: asyncio.Task[Any]) -> None:
    """Who asked may be gone: an error that nobody takes is then no warning."""
    if not task.cancelled():
        task.exception()
