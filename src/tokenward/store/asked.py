"""What a caller asked of a writer that serves many at once, until it is answered."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Asked(Generic[T]):
    """Who waits, for what. `must_run`: also when nobody waits any more. `abandoned` undoes what was
    done for a caller who gave up waiting."""

    __slots__ = ("abandoned", "error", "future", "must_run", "value")

    def __init__(
        self,
        future: "asyncio.Future[T]",
        must_run: bool,
        abandoned: Callable[[T], object] | None,
    ) -> None:
        self.future = future
        self.must_run = must_run
        self.abandoned = abandoned
        self.value: T
        self.error: BaseException | None = None

    @property
    def is_wanted(self) -> bool:
        """Does it still have to be done?"""
        return self.must_run or not self.future.done()

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
        elif self.abandoned is not None and not self.must_run:
            self.abandoned(self.value)
