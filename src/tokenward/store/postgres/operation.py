"""One operation on money, and who waits for it."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from tokenward.ledger.keeping import Keeping
from tokenward.store.postgres.batch_book import BatchBook
from tokenward.store.postgres.wants import Wants

T = TypeVar("T")
Want = Callable[[Wants], object]


class Operation(Generic[T]):
    """What it needs to know, what it does, who waits.

    `work` may be run again from the start. `must_run`: also when nobody waits any more. `takes`:
    it takes a hold, which only a gateway may that the others count as alive.
    """

    __slots__ = (
        "_abandoned", "asked_s", "error", "future", "is_alone", "must_run", "takes", "value",
        "want", "work",
    )  # fmt: skip

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        want: Want,
        work: Callable[[Keeping, BatchBook], T],
        *,
        must_run: bool,
        takes: bool,
        abandoned: Callable[[T], object] | None,
    ) -> None:
        self.future: asyncio.Future[T] = loop.create_future()
        self.asked_s = loop.time()
        self.want = want
        self.work = work
        self.must_run = must_run
        self.takes = takes
        self.is_alone = False
        """Its batch failed, and perhaps because of it: it has the next one for itself."""
        self.value: T
        self.error: BaseException | None = None
        self._abandoned = abandoned

    @property
    def is_wanted(self) -> bool:
        """Does it still have to be done?"""
        return self.must_run or not self.future.done()

    def run(self, keeping: Keeping, book: BatchBook) -> bool:
        """Do it; False if it raised, which is its own caller's."""
        self.error = None
        try:
            self.value = self.work(keeping, book)
        except Exception as error:  # noqa: BLE001 - its caller is told, the others go on
            self.error = error
            return False
        return True

    def fail(self, error: BaseException) -> None:
        """Tell who waits; nobody waiting is fine."""
        if not self.future.done():
            self.future.set_exception(error)
            self.future.exception()  # seen: a caller that does not wait is not a warning

    def answer(self) -> None:
        """It is kept: give the result, or undo it where the caller gave up waiting for it."""
        if self.error is not None:
            self.fail(self.error)
        elif not self.future.done():
            self.future.set_result(self.value)
        elif self._abandoned is not None and not self.must_run:
            self._abandoned(self.value)
