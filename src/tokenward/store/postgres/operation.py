"""One operation on money, and who waits for it."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from tokenward.ledger.keeping import Keeping
from tokenward.store.asked import Asked
from tokenward.store.postgres.batch_book import BatchBook
from tokenward.store.postgres.wants import Wants

T = TypeVar("T")
Want = Callable[[Wants], object]


class Operation(Asked[T]):
    """What it needs to know, what it does, who waits.

    `work` may be run again from the start. `takes`: it takes a hold, which only a gateway may that
    the others count as alive.
    """

    __slots__ = ("asked_s", "is_alone", "takes", "want", "work")

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
        super().__init__(loop.create_future(), must_run, abandoned)
        self.asked_s = loop.time()
        self.want = want
        self.work = work
        self.takes = takes
        self.is_alone = False
        """Its batch failed, and perhaps because of it: it has the next one for itself."""

    def run(self, keeping: Keeping, book: BatchBook) -> bool:
        """Do it; False if it raised, which is its own caller's."""
        self.error = None
        try:
            self.value = self.work(keeping, book)
        except Exception as error:  # noqa: BLE001 - its caller is told, the others go on
            self.error = error
            return False
        return True
