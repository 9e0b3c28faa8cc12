"""Operations on money, many to a transaction, in the order they were asked for.

One batch is under way at a time: lock and look (one round trip), apply the rules in memory, write
and commit (another). Meanwhile the next ones queue.

How the commit ended may be unknown: it was asked for, and the connection broke. The next
transaction holds the same lock, so by then it is decided; whether the last entry of the batch is
there says how, for entries carry the hash of all before. If it is there everybody is answered, and
a hold whose caller is gone is voided. If not, what must run is run again.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

import psycopg

from tokenward.kernel.errors import StoreBusyError, StoreError
from tokenward.ledger.chain import Entry
from tokenward.ledger.keeping import Keeping
from tokenward.store.postgres.batch_book import BatchBook
from tokenward.store.postgres.database import Database
from tokenward.store.postgres.facts import Facts, Loader
from tokenward.store.postgres.faults import AGAIN, SLOW, as_fault, is_lost
from tokenward.store.postgres.known_caps import KnownCaps
from tokenward.store.postgres.line import BY_INDEX, Line
from tokenward.store.postgres.operation import Operation, Want
from tokenward.store.postgres.wants import Wants
from tokenward.store.postgres.writing import LOCK

BATCH_MAX: Final = 256
WAITING_MAX: Final = 4_096
MUST_RUN_MAX: Final = 65_536
REMEMBERED_MAX: Final = 65_536
SHARE_DELAY_S: Final = 0.002
"""How long what nobody's answer waits for lets others join its commit."""
UNREGISTERED: Final = StoreBusyError(
    "the other gateways took this one for dead; it takes no holds until it has registered anew"
)
_LAST: Final = "SELECT hash FROM entries WHERE seq = %s"

T = TypeVar("T")


class _Unknown:
    """A batch whose commit was asked for and not heard of."""

    def __init__(self, book: BatchBook, ops: list[Operation[Any]]) -> None:
        self.book = book
        self.ops = ops


class Batches:
    """The queue in front of the one connection that moves money."""

    def __init__(self, database: Database, gateway_id: str, thresholds: tuple[int, ...]) -> None:
        """`gateway_id`: as whom it takes holds. `thresholds` of alarms, in per mille."""
        self.after_freed: list[Callable[[], None]] = []
        """Called when a hold of this gateway's ended: there may be room for others."""
        self._database = database
        self._gateway_id = gateway_id
        self._thresholds = thresholds
        self._loop = asyncio.get_running_loop()
        self._caps = KnownCaps()
        self._entries: dict[int, Entry] = {}
        self._waiting: deque[Operation[Any]] = deque()
        self._batch: list[Operation[Any]] = []
        self._unknown: _Unknown | None = None
        self._line: Line | None = None
        self._is_fresh = False
        self._runner: asyncio.Task[None] | None = None
        self._share_timer: asyncio.TimerHandle | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._is_closed = False
        database.on_trouble.append(self._refuse_all)
        database.on_recovery.append(self._start)

    @property
    def waiting(self) -> int:
        """Operations that wait for their batch."""
        return len(self._waiting)

    @property
    def is_idle(self) -> bool:
        """Nothing waits and nothing is under way."""
        return not self._waiting and not self._batch and self._unknown is None

    def submit(
        self,
        want: Want,
        work: Callable[[Keeping, BatchBook], T],
        *,
        must_run: bool = False,
        takes: bool = False,
        may_share: bool = False,
        abandoned: Callable[[T], object] | None = None,
    ) -> "asyncio.Future[T]":
        """Do `work` in the next batch, in turn, with what it wants; the answer comes when it is
        durable.

        `StoreError` if it cannot be kept, `StoreBusyError` at once while the database is away or
        too slow. With `must_run` it is done all the same, later, and also if its caller gave up;
        without, `abandoned` is called with a result that nobody took. `takes`: only while the
        others count this gateway as alive. With `may_share` it waits a little for company.
        """
        op = Operation(self._loop, want, work, must_run=must_run, takes=takes, abandoned=abandoned)
        if self._is_closed:
            op.fail(StoreError("the records are closed: this guard is stopping"))
            return op.future
        if len(self._waiting) >= (MUST_RUN_MAX if op.must_run else WAITING_MAX):
            op.fail(StoreBusyError("too many writes wait for the database"))
            return op.future
        try:
            self._database.check()
        except StoreError as error:
            op.fail(error)
            if not op.must_run:
                return op.future
        self._waiting.append(op)
        if not op.must_run and self._patience is None:
            self._patience = self._loop.call_at(
                op.asked_s + self._database.commit_limit_s, self._lose_patience
            )
        if not may_share:
            self._start()
        elif self._share_timer is None and not self._is_running:
            self._share_timer = self._loop.call_later(SHARE_DELAY_S, self._start)
        return op.future

    async def settle_down(self) -> None:
        """Wait until everything that was asked for before is kept, or cannot be for now."""
        if not self.is_idle:
            with suppress(StoreError):
                await self.submit(lambda _: None, lambda *_: None)

    async def close(self) -> None:
        """Write what waits as far as the database takes it, then let go."""
        self._is_closed = True
        self._start()
        if self._runner is not None:
            await asyncio.wait([self._runner], timeout=2 * self._database.commit_limit_s)
            if self._line is not None:
                self._line.cut()
            await asyncio.wait([self._runner], timeout=self._database.commit_limit_s)
            self._runner.cancel()
        if self._patience is not None:
            self._patience.cancel()
        for op in self._waiting:
            op.fail(StoreError("the records are closed: this guard is stopping"))
        self._drop_line()

    # -- the queue ------------------------------------------------------------------------------

    @property
    def _is_running(self) -> bool:
        return self._runner is not None and not self._runner.done()

    def _start(self) -> None:
        if self._share_timer is not None:
            self._share_timer.cancel()
            self._share_timer = None
        if not self._is_running and not self._database.why_not_ready and not self.is_idle:
            self._runner = self._loop.create_task(self._run())

    async def _run(self) -> None:
        """Batch after batch, until nothing waits or the database is in trouble."""
        while not self.is_idle and not self._database.why_not_ready:
            try:
                line = await self._have_line()
            except StoreError as error:
                self._database.distrust(str(error))
                return
            if self._unknown is not None:
                await self._resolve(line, self._unknown)
            else:
                await self._run_batch(line, self._next_batch())

    async def _have_line(self) -> Line:
        if self._line is None or not self._line.is_fit:
            self._drop_line()
            self._line = await Line.open(
                self._database.url, "money", self._database.commit_limit_s, BY_INDEX
            )
            self._is_fresh = True
        return self._line

    def _drop_line(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None

    def _next_batch(self) -> list[Operation[Any]]:
        waiting = self._waiting
        ops: list[Operation[Any]] = []
        while waiting and len(ops) < BATCH_MAX and not (ops and waiting[0].is_alone):
            op = waiting.popleft()
            if op.is_wanted:
                ops.append(op)
                if op.is_alone:
                    break
        return ops

    def _put_back(self, ops: list[Operation[Any]]) -> None:
        self._waiting.extendleft(reversed([op for op in ops if op.is_wanted]))

    # -- a batch --------------------------------------------------------------------------------

    async def _run_batch(self, line: Line, ops: list[Operation[Any]]) -> None:
        if not ops:
            return
        self._batch = ops
        timer = self._loop.call_later(self._database.commit_limit_s, line.cut)
        book: BatchBook | None = None
        try:
            facts = await self._look(line, ops)
            applied = self._apply(facts, ops)
            if applied.has_changed:
                book = applied
                await book.write_all(line.connection, self._gateway_id)
            else:
                await line.connection.execute("ROLLBACK")
        except (psycopg.Error, OSError, StoreError) as error:
            self._batch = []
            await self._fail_batch(line, ops, book, error)
            return
        finally:
            timer.cancel()
        self._is_fresh = False
        self._batch = []
        self._kept(applied, ops)

    async def _look(self, line: Line, ops: list[Operation[Any]]) -> Facts:
        wants = Wants()
        for op in ops:
            op.want(wants)
        loader = Loader(line.connection, wants, self._caps, self._entries)
        return await loader.load(self._gateway_id)

    def _apply(self, facts: Facts, ops: list[Operation[Any]]) -> BatchBook:
        """Run all of them; where one raises, the others again without it."""
        left = ops
        if not facts.is_registered:
            for op in ops:
                op.error = UNREGISTERED if op.takes else None
            left = [op for op in ops if not op.takes]
        while True:
            book = BatchBook(facts)
            keeping = Keeping(book, self._thresholds)
            bad = next((op for op in left if not op.run(keeping, book)), None)
            if bad is None:
                return book
            left = [op for op in left if op is not bad]

    async def _fail_batch(
        self,
        line: Line,
        ops: list[Operation[Any]],
        book: BatchBook | None,
        error: psycopg.Error | OSError | StoreError,
    ) -> None:
        """Nothing was kept, unless the connection broke when the commit was asked for."""
        if line.is_cut or is_lost(error):
            was_late, was_fresh = line.is_cut, self._is_fresh
            self._drop_line()
            if book is not None and book.journal.entries:
                self._unknown = _Unknown(book, ops)
            else:
                self._put_back(ops)
            if was_late:
                self._database.distrust("the database does not answer in time")
            elif was_fresh or book is not None:
                self._database.distrust("the connection to the database was lost")
            return  # else it was lost while nothing happened: once more, on a new one
        with suppress(psycopg.Error, OSError):
            await line.connection.rollback()
        if isinstance(error, AGAIN):
            self._put_back(ops)
        elif isinstance(error, SLOW):
            self._put_back([op for op in ops if op.must_run])
            self._fail(ops, as_fault(error, "keep a write"))
        elif len(ops) == 1 or isinstance(error, StoreError):
            self._fail(ops, as_fault(error, "keep a write"))
        else:
            for op in ops:
                op.is_alone = True
            self._put_back(ops)

    def _kept(self, book: BatchBook, ops: list[Operation[Any]]) -> None:
        """It is on the disk: remember, and answer."""
        for seq, (entry, _, _) in book.opened.items():
            self._entries[seq] = entry
        for seq in book.closed:
            self._entries.pop(seq, None)
        while len(self._entries) > REMEMBERED_MAX:
            del self._entries[next(iter(self._entries))]
        for op in ops:
            op.answer()
        if book.closed:
            for tell in self.after_freed:
                tell()

    async def _resolve(self, line: Line, unknown: _Unknown) -> None:
        """How did that commit end? Under the lock, so after whatever the old connection did."""
        journal = unknown.book.journal
        timer = self._loop.call_later(self._database.commit_limit_s, line.cut)
        try:
            async with line.connection.pipeline():
                await line.connection.execute("BEGIN")
                await line.connection.execute(LOCK)
                cursor = await line.connection.execute(_LAST, (journal.seq,))
                await line.connection.execute("COMMIT")
            row = await cursor.fetchone()
        except (psycopg.Error, OSError) as error:
            self._drop_line()
            self._database.distrust(str(as_fault(error, "say what it kept")))
            return
        finally:
            timer.cancel()
        self._unknown = None
        if row is not None and row[0] == journal.hash:
            self._kept(unknown.book, unknown.ops)
        else:
            self._put_back(unknown.ops)

    # -- refusing -------------------------------------------------------------------------------

    def _refuse_all(self, why: str) -> None:
        """The database is in trouble: nobody waits for it."""
        ops = [*self._batch, *self._waiting, *(self._unknown.ops if self._unknown else ())]
        self._fail(ops, StoreBusyError(why))

    def _fail(self, ops: list[Operation[Any]], error: StoreError) -> None:
        for op in ops:
            op.fail(op.error or error)

    def _lose_patience(self) -> None:
        """Whoever has waited for longer than the limit is told so; it may be kept all the same."""
        self._patience = None
        limit_s = self._database.commit_limit_s
        now_s = self._loop.time()
        late = StoreBusyError(f"the database has not kept a write within {limit_s} s")
        for op in (*self._batch, *self._waiting):
            if op.must_run or op.future.done():
                continue
            if op.asked_s + limit_s > now_s:
                self._patience = self._loop.call_at(op.asked_s + limit_s, self._lose_patience)
                return
            op.fail(late)
