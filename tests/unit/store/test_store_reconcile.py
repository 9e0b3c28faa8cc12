"""Rebuilding counters shares a commit with operations that fail, and with changes of caps."""

import asyncio
from functools import partial

from ledger_world import NOON_MS, MovingClock, ask, cap, charge, key_record, standing, taken
from tokenward.ledger.recount import Miscount
from tokenward.store.sqlite import SqliteStore
from tokenward.store.sqlite.books import _count


async def _found_wrong(store: SqliteStore) -> Miscount:
    """A counter of `key:k1` says 3 too much."""
    await store.keys.add(key_record())
    await store.ledger.set_cap(cap("key:k1", "0/day", limit=100))
    hold = taken(await store.ledger.hold(ask(10)))
    await store.ledger.settle(hold, charge(5), NOON_MS)
    miscount = await store.books._reader.read(_count)
    assert miscount is None
    await store.database.submit(
        lambda: store.database.connection.execute("UPDATE counters SET spent = spent + 3")
    )
    store.books._counters.forget()
    miscount = await store.books._reader.read(_count)
    assert miscount is not None
    return miscount


async def test_an_operation_that_is_done_over_counts_nothing_twice(
    store: SqliteStore, clock: MovingClock
) -> None:
    miscount = await _found_wrong(store)
    hold = taken(await store.ledger.hold(ask(10)))
    await store.ledger.settle(hold, charge(7), NOON_MS)
    open_hold = taken(await store.ledger.hold(ask(11)))

    correct = partial(store.books._correct, miscount, miscount.names, NOON_MS)
    twice = store.keys.add(key_record())
    results = await asyncio.gather(store.database.submit(correct), twice, return_exceptions=True)
    assert results[0] == 1
    assert isinstance(results[1], ValueError)
    status = await standing(store, clock, "key:k1")
    assert (status.spent, status.held) == (12, open_hold.amount_nusd)
    assert await store.books.audit() == []


async def test_what_was_counted_for_a_cap_that_has_changed_since_is_counted_anew(
    store: SqliteStore, clock: MovingClock
) -> None:
    miscount = await _found_wrong(store)
    await store.ledger.set_cap(cap("key:k1", "0/day", limit=90))
    correct = partial(store.books._correct, miscount, miscount.names, NOON_MS)
    assert await store.database.submit(correct) is None
    assert (await standing(store, clock, "key:k1")).spent == 8
    assert await store.books.reconcile(NOON_MS) == 1
    assert (await standing(store, clock, "key:k1")).spent == 5
    assert await store.books.audit() == []
