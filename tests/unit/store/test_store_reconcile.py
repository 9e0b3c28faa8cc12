"""Rebuilding counters shares a commit with operations that fail."""

import asyncio
from functools import partial

from ledger_world import NOON_MS, MovingClock, ask, cap, charge, key_record, standing, taken
from tokenward.store.sqlite import SqliteStore
from tokenward.store.sqlite.books import _recount


async def test_an_operation_that_is_done_over_counts_nothing_twice(
    store: SqliteStore, clock: MovingClock
) -> None:
    await store.keys.add(key_record())
    await store.ledger.set_cap(cap("key:k1", "0/day", limit=100))
    counted = await store.books._reader.read(_recount)
    hold = taken(await store.ledger.hold(ask(10)))
    await store.ledger.settle(hold, charge(7), NOON_MS)

    async def correct() -> object:
        return await store.database.submit(partial(store.books._correct, *counted, NOON_MS))

    twice = store.keys.add(key_record())
    results = await asyncio.gather(correct(), twice, return_exceptions=True)
    assert results[0] == 0
    assert isinstance(results[1], ValueError)
    assert (await standing(store, clock, "key:k1")).spent == 7
