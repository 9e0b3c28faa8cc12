"""What is too old goes as fast as it comes, in pieces, and nothing waits for all of it."""

import asyncio

import pytest

from ledger_world import NOON_MS, kept
from postgres_world import Town
from tokenward.kernel.events import Record
from tokenward.ledger.repeats import REPEAT_WINDOW_MS

OLD_MS = NOON_MS - REPEAT_WINDOW_MS
COUNT = "SELECT count(*) FROM idempotency"


def remember(town: Town, count: int, at_ms: int = OLD_MS) -> None:
    town.ask(
        "INSERT INTO idempotency (key, digest, hold, at_ms) "
        f"SELECT 'k1', '{at_ms}-' || number, 1, {at_ms} FROM generate_series(1, {count}) number "
        "RETURNING 1"
    )


async def test_one_sweep_forgets_more_repeats_than_fit_one_piece(town: Town) -> None:
    store = await town.gateway()
    remember(town, 3_500)
    remember(town, 7, OLD_MS + 1)
    await store.ledger.sweep(NOON_MS)
    assert town.ask(COUNT) == [(7,)]


async def test_one_sweep_forgets_only_so_many_repeats(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokenward.store.postgres.ledger.FORGET_BATCH", 10)
    monkeypatch.setattr("tokenward.store.postgres.ledger.FORGET_MAX", 30)
    store = await town.gateway()
    remember(town, 75)
    for left in (45, 15, 0):
        await store.ledger.sweep(NOON_MS)
        assert town.ask(COUNT) == [(left,)]


async def test_a_repeat_that_a_call_uses_anew_at_this_moment_is_not_forgotten(town: Town) -> None:
    store = await town.gateway()
    remember(town, 3)
    caller = await town.connect()
    await caller.execute("BEGIN")
    await caller.execute(
        "UPDATE idempotency SET at_ms = %s WHERE digest = %s", (NOON_MS, f"{OLD_MS}-2")
    )
    sweeping = asyncio.create_task(store.ledger.sweep(NOON_MS))
    await town.until(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
        "AND query LIKE 'DELETE FROM idempotency%'",
        1,
    )
    await caller.execute("COMMIT")
    await caller.close()
    await sweeping
    assert town.ask("SELECT digest FROM idempotency") == [(f"{OLD_MS}-2",)]


async def test_one_sweep_deletes_only_so_many_records_and_events(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokenward.store.postgres.records.SWEEP_BATCH", 10)
    monkeypatch.setattr("tokenward.store.postgres.records.SWEEP_MAX", 30)
    store = await town.gateway()
    for number in range(75):
        store.records.write_record(Record(ts=number, request_id=f"req_{number}", key="k1"))
    await kept(store, 75)
    town.ask(
        "INSERT INTO events (ts, kind, subject, facts) "
        "SELECT number, 'test:old', 'x', '{}' FROM generate_series(1, 45) number RETURNING 1"
    )
    swept = [await store.records.sweep(NOON_MS) for _ in range(4)]
    assert swept == [60, 45, 15, 0]
