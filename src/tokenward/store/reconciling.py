"""Counters rebuilt beside the calls (F-3), the same for every engine."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from tokenward.kernel.errors import StoreBusyError
from tokenward.ledger.recount import CAUGHT_UP, CounterName, Miscount

TRIES_MAX: Final = 5
ROUNDS_MAX: Final = 20


async def reconcile(
    find: Callable[[], Awaitable[Miscount | None]],
    catch_up: Callable[[Miscount], Awaitable[None]],
    correct: Callable[[Miscount, Sequence[CounterName]], Awaitable[int | None]],
) -> int:
    """How many counters were wrong. `find` looks in a snapshot; `correct` puts some right under
    the lock, and answers None if their caps were changed meanwhile. Raises `StoreBusyError`."""
    corrected = 0
    for _ in range(TRIES_MAX):
        miscount = await find()
        if miscount is None:
            return corrected
        for names in miscount.pieces():
            await catch_up(miscount)
            count = await correct(miscount, names)
            if count is None:
                break
            corrected += count
        else:
            return corrected
    raise StoreBusyError("caps were changed while they were counted; try again")


async def catch_up(count_on: Callable[[], Awaitable[int]]) -> None:
    """Have what was written since counted (`count_on` says how many entries that were) until
    little is left for the lock. Raises `StoreBusyError` if more comes than is counted."""
    for _ in range(ROUNDS_MAX):
        if await count_on() <= CAUGHT_UP:
            return
    raise StoreBusyError("entries are written faster than they are counted; try again")
