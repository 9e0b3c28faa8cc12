"""What takes minutes leaves connections to what is quick, and is to blame alone when it is late."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from psycopg import AsyncConnection

from ledger_world import NOON_MS, key_record
from postgres_world import Town, until
from tokenward.kernel.errors import StoreBusyError, StoreError
from tokenward.store.postgres.database import LONG_S, Database

LIMIT_S = 0.3


class Readers:
    """Long reads that end when the test says so."""

    def __init__(self, database: Database) -> None:
        self.running = 0
        self.is_over = asyncio.Event()
        self._database = database

    def start(self) -> asyncio.Task[None]:
        return asyncio.create_task(self._database.read(self._read, limit_s=LONG_S))

    async def _read(self, connection: AsyncConnection[Any]) -> None:
        await connection.execute("SELECT 1")
        self.running += 1
        await self.is_over.wait()
        self.running -= 1

    @asynccontextmanager
    async def two(self) -> AsyncIterator[None]:
        """Both turns are taken."""
        self.is_over.clear()
        tasks = [self.start(), self.start()]
        await until(lambda: self.running == 2)
        yield
        self.is_over.set()
        await asyncio.gather(*tasks)


async def test_look_ups_and_changes_find_a_connection_beside_any_number_of_audits(
    town: Town,
) -> None:
    store = await town.gateway()
    await store.books.create_account("a1", NOON_MS)
    record = key_record()
    await store.keys.add(record)
    readers = Readers(store.database)
    tasks = [readers.start() for _ in range(6)]
    await until(lambda: readers.running == 2)
    assert await store.keys.find("k1") is not None
    frozen = replace(record, state="frozen", frozen_why="leaked")
    assert await store.keys.replace(record, frozen, "key:frozen", "leaked")
    assert await store.books.create_account("a2", NOON_MS)
    assert await store.database.read(lambda _: asyncio.sleep(0, "short")) == "short"
    assert readers.running == 2, "the others wait for their turn"
    assert store.why_not_ready == ""
    readers.is_over.set()
    await asyncio.gather(*tasks)


async def test_only_so_many_wait_for_a_turn_to_read_much(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokenward.store.postgres.pool.LONG_WAITING_MAX", 1)
    store = await town.gateway()
    readers = Readers(store.database)
    async with readers.two():
        gone = readers.start()
        await asyncio.sleep(0)
        with pytest.raises(StoreBusyError, match="too many wait for long readings"):
            await store.books.accounts()
        gone.cancel()
        await asyncio.wait([gone])
        behind = asyncio.create_task(store.books.accounts())
    assert await behind == [], "who went away left his place"


async def test_who_waits_too_long_for_a_turn_is_told_of_the_others(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokenward.store.postgres.database.LONG_WAIT_S", 0.05)
    store = await town.gateway()
    async with Readers(store.database).two():
        with pytest.raises(StoreBusyError, match="others that read much"):
            await store.books.accounts()
    assert store.why_not_ready == ""


async def for_ever(connection: AsyncConnection[Any]) -> None:
    while True:
        await connection.execute("SELECT 1")


async def test_a_long_read_past_its_limit_is_refused_alone(town: Town) -> None:
    store = await town.gateway()
    told: list[str] = []
    store.database.on_trouble.append(told.append)

    for _ in range(3):  # more than there are turns
        with pytest.raises(StoreBusyError, match=f"took longer than {LIMIT_S:g} s"):
            await store.database.read(for_ever, limit_s=LIMIT_S)
    assert (told, store.why_not_ready) == ([], "")
    assert await store.books.create_account("a1", NOON_MS)


async def test_a_short_read_past_the_limit_still_closes_the_door(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await town.gateway()
    told: list[str] = []
    store.database.on_trouble.append(told.append)

    monkeypatch.setattr(store.database, "commit_limit_s", LIMIT_S)  # only this read is in a hurry
    reading = asyncio.create_task(store.database.read(for_ever))
    await asyncio.wait([reading])
    assert isinstance(reading.exception(), StoreBusyError)
    assert told == ["the database does not answer in time"]


async def test_turns_come_back_where_the_door_was_closed_meanwhile(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await town.gateway()
    readers = Readers(store.database)
    async with readers.two():
        waiting = [readers.start() for _ in range(3)]
        await asyncio.sleep(0)
        store.database.distrust("a test says so")
        monkeypatch.setattr(store.database, "check", _refuse)  # a probe may be answered at once
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(answer) for answer in answers] == [StoreBusyError] * 3
    monkeypatch.undo()
    await until(lambda: store.why_not_ready == "")
    async with readers.two():
        pass


async def test_a_store_that_closes_cuts_long_reads_and_does_not_call_them_late(
    town: Town,
) -> None:
    store = await town.gateway(commit_limit_s=2.0)
    readers = Readers(store.database)
    asleep = asyncio.create_task(store.database.fetch_long("SELECT pg_sleep(30)"))
    idle = readers.start()
    await until(lambda: readers.running == 1)
    await town.until("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'", 1)
    async with asyncio.timeout(20):
        await store.close()
    for answer in await asyncio.gather(asleep, idle, return_exceptions=True):
        assert isinstance(answer, StoreError | asyncio.CancelledError)
        assert "longer" not in str(answer)


def _refuse() -> None:
    raise StoreBusyError("the door is closed")
