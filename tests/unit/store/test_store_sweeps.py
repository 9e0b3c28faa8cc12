"""What is too old goes as fast as it comes, in pieces, and nothing waits for all of it."""

import asyncio

import pytest

from ledger_world import NOON_MS, MovingClock, ask, kept, taken
from tokenward.kernel.events import Record
from tokenward.ledger.repeats import REPEAT_WINDOW_MS
from tokenward.store.sqlite import SqliteStore

OLD_MS = NOON_MS - REPEAT_WINDOW_MS


def remember(store: SqliteStore, count: int, at_ms: int = OLD_MS) -> None:
    store.database.connection.executemany(
        "INSERT INTO idempotency (key, digest, hold, at_ms) VALUES ('k1', ?, 1, ?)",
        [(f"{at_ms}-{number}", at_ms) for number in range(count)],
    )


def remembered(store: SqliteStore) -> int:
    (count,) = store.database.connection.execute("SELECT count(*) FROM idempotency").fetchone()
    return int(count)


async def test_one_sweep_forgets_more_repeats_than_fit_one_piece(store: SqliteStore) -> None:
    remember(store, 3_500)
    remember(store, 7, OLD_MS + 1)
    await store.ledger.sweep(NOON_MS)
    assert remembered(store) == 7


async def test_one_sweep_forgets_only_so_many_repeats(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokenward.store.sqlite.ledger.FORGET_BATCH", 10)
    monkeypatch.setattr("tokenward.store.sqlite.ledger.FORGET_MAX", 30)
    remember(store, 75)
    for left in (45, 15, 0):
        await store.ledger.sweep(NOON_MS)
        assert remembered(store) == left


async def test_calls_pass_between_the_pieces_of_a_sweep(
    store: SqliteStore, clock: MovingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokenward.store.sqlite.ledger.FORGET_BATCH", 10)
    remember(store, 5_000)
    sweeping = asyncio.create_task(store.ledger.sweep(NOON_MS))
    before = 5_000
    while remembered(store) == before:
        await asyncio.sleep(0)
    taken(await store.ledger.hold(ask(1)))
    assert not sweeping.done()
    assert remembered(store) > 4_000
    await sweeping
    assert remembered(store) == 0


async def test_one_sweep_deletes_only_so_many_records_and_events(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokenward.store.sqlite.records.SWEEP_BATCH", 10)
    monkeypatch.setattr("tokenward.store.sqlite.records.SWEEP_MAX", 30)
    for number in range(75):
        store.records.write_record(Record(ts=number, request_id=f"req_{number}", key="k1"))
    await kept(store, 75)
    store.database.connection.executemany(
        "INSERT INTO events (ts, kind, subject, facts) VALUES (?, 'test:old', 'x', '{}')",
        [(number,) for number in range(45)],
    )
    swept = [await store.records.sweep(NOON_MS) for _ in range(4)]
    assert swept == [60, 45, 15, 0]
