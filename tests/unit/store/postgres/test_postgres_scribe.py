"""Records while the database is away: kept when it is back, and beyond a bound counted."""

import asyncio

import pytest

from ledger_world import NOON_MS, kept
from postgres_world import Town, Wire
from tokenward.kernel.events import Record

COUNT = "SELECT count(*) FROM records"


def record(number: int) -> Record:
    return Record(ts=NOON_MS + number, request_id=f"req_{number}", key="k1")


async def test_records_wait_for_a_database_that_is_away_in_their_order(
    town: Town, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokenward.store.postgres.records.BOARD_MAX", 3)
    monkeypatch.setattr("tokenward.store.postgres.records.WAITING_MAX", 10)
    store = await town.gateway(wire.port, commit_limit_s=2.0)
    wire.is_hushed = True
    for number in range(12):
        store.records.write_record(record(number))
        await asyncio.sleep(0.01)
    assert store.records.dropped == 2
    wire.heal()
    wire.cut()
    await town.until(COUNT, 10)
    names = town.ask("SELECT convert_from(document, 'UTF8')::json ->> 'request_id' FROM records "
                     "ORDER BY id")  # fmt: skip
    assert names == [(f"req_{number}",) for number in range(10)]


async def test_a_store_that_closes_writes_what_waits(town: Town) -> None:
    store = await town.gateway()
    await store.keys.page()
    for number in range(2_000):
        store.records.write_record(record(number))
    await store.close()
    assert town.ask(COUNT) == [(2_000,)]


async def test_a_store_closes_also_where_nothing_can_be_written(town: Town, wire: Wire) -> None:
    store = await town.gateway(wire.port, commit_limit_s=2.0)
    store.records.write_record(record(1))
    wire.is_hushed = True
    async with asyncio.timeout(20):
        await store.close()


async def test_gateways_that_sweep_at_once_leave_each_others_work_alone(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokenward.store.postgres.records.SWEEP_BATCH", 7)
    stores = [await town.gateway() for _ in range(3)]
    for number in range(300):
        stores[0].records.write_record(record(number))
    await kept(stores[1], 300)
    swept = await asyncio.gather(*(store.records.sweep(NOON_MS + 200) for store in stores))
    await stores[0].records.sweep(NOON_MS + 200)
    assert sum(swept) <= 200
    assert town.ask(COUNT) == [(100,)]
