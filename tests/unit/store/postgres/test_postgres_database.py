"""Changes are whole, in turn and numbered; what nobody waits for is made all the same."""

import asyncio
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection, errors

from ledger_world import NOON_MS, MovingClock
from postgres_server import PostgresServer
from postgres_world import PATIENCE_S, Town
from tokenward.kernel.errors import StoreBusyError, StoreError
from tokenward.kernel.events import Event
from tokenward.store.postgres.database import Database
from tokenward.store.postgres.faults import as_fault, is_lost
from tokenward.store.postgres.transaction import Transaction

CHANGES = "SELECT number, what, name FROM changes ORDER BY number"


def renaming(name: str) -> Any:
    async def rename(transaction: Transaction) -> range:
        transaction.journal.note("test", NOON_MS, account=name)
        transaction.changed("key", name)
        transaction.changed("name", f"jti:{name}")
        return transaction.numbers

    return rename


async def test_changes_of_all_gateways_have_numbers_without_gaps(town: Town) -> None:
    stores = [await town.gateway() for _ in range(3)]

    async def fail(transaction: Transaction) -> None:
        await renaming("never")(transaction)
        raise ValueError("no")

    for turn in range(10):
        await asyncio.gather(*(store.database.change(renaming(f"{turn}")) for store in stores))
        with pytest.raises(ValueError, match="no"):
            await stores[turn % 3].database.change(fail)
    rows = town.ask(CHANGES)
    assert [row[0] for row in rows] == list(range(1, 61))
    assert {row[1] for row in rows} == {"key", "name"}
    assert town.ask("SELECT seq, change FROM book") == [(30, 60)]


async def test_a_change_is_carried_on_when_its_caller_goes_away(town: Town) -> None:
    store = await town.gateway()
    is_begun = asyncio.Event()

    async def slowly(transaction: Transaction) -> None:
        is_begun.set()
        await transaction.connection.execute("SELECT pg_sleep(0.05)")
        transaction.changed("key", "k1")

    asked = asyncio.create_task(store.database.change(slowly))
    await is_begun.wait()
    asked.cancel()
    await town.until("SELECT count(*) FROM changes", 1)


async def test_what_loses_a_race_is_done_over(town: Town) -> None:
    store = await town.gateway()
    tries = 0

    async def twice(transaction: Transaction) -> int:
        nonlocal tries
        tries += 1
        transaction.changed("key", "k1")
        if tries == 1:
            raise errors.DeadlockDetected("as the server says it")
        return tries

    assert await store.database.change(twice) == 2
    assert town.ask(CHANGES) == [(1, "key", "k1")]

    async def never(transaction: Transaction) -> None:
        raise errors.SerializationFailure("as the server says it")

    with pytest.raises(StoreBusyError):
        await store.database.change(never)


async def test_a_failure_that_was_swallowed_is_never_taken_for_kept(town: Town) -> None:
    store = await town.gateway()

    async def swallow(transaction: Transaction) -> None:
        with pytest.raises(psycopg.Error):
            await transaction.connection.execute("SELECT 1 / 0")

    with pytest.raises((AssertionError, StoreError)):
        await store.database.change(swallow)
    await store.database.change(renaming("after"))


async def test_reads_see_one_moment_and_cannot_write(town: Town) -> None:
    store = await town.gateway()

    async def look(connection: AsyncConnection[Any]) -> tuple[object, object]:
        first = await (await connection.execute("SELECT seq FROM book")).fetchone()
        await store.database.change(renaming("meanwhile"))
        return first, await (await connection.execute("SELECT seq FROM book")).fetchone()

    assert await store.database.read(look) == ((0,), (0,))

    async def write(connection: AsyncConnection[Any]) -> None:
        await connection.execute("UPDATE book SET seq = 5")

    with pytest.raises(StoreError, match="read-only"):
        await store.database.read(write)
    assert town.ask("SELECT seq FROM book") == [(1,)]


async def test_events_that_nobody_waits_for_are_kept_in_order_also_when_it_stops(
    town: Town,
) -> None:
    store = await town.gateway()
    for number in range(150):
        store.tell(Event(ts=number, kind="test:told", subject="x", facts={}))
    await store.close()
    assert town.ask("SELECT array_agg(ts ORDER BY number) FROM events") == [(list(range(150)),)]
    store.tell(Event(ts=1, kind="test:late", subject="x", facts={}))
    assert store.database.dropped == 1


async def test_connections_are_bounded_and_who_waits_too_long_is_told(
    postgres: PostgresServer, town: Town
) -> None:
    database = await Database.open(
        postgres.url(town.database), MovingClock(), commit_limit_s=PATIENCE_S, lines=2
    )
    count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tokenward books'"

    async def slowly(connection: AsyncConnection[Any]) -> int:
        cursor = await connection.execute(f"SELECT pg_sleep(0.01), ({count})")
        return int((await cursor.fetchone() or (0, 0))[1])

    seen = await asyncio.gather(*(database.write(slowly) for _ in range(20)))
    assert max(seen) <= 2
    many = [asyncio.ensure_future(database.write(slowly)) for _ in range(300)]
    answers = await asyncio.gather(*many, return_exceptions=True)
    assert any(isinstance(answer, StoreBusyError) for answer in answers)
    await database.close()
    with pytest.raises(StoreError, match="stopping"):
        await database.write(slowly)


def test_faults_tell_lost_connections_from_refusals() -> None:
    assert is_lost(errors.AdminShutdown("terminating"))
    assert is_lost(psycopg.OperationalError("server closed the connection unexpectedly"))
    assert is_lost(errors.IdleInTransactionSessionTimeout("idle"))
    assert is_lost(ConnectionResetError())
    assert not is_lost(errors.DiskFull("no space"))
    assert not is_lost(errors.UniqueViolation("twice"))
    assert isinstance(as_fault(errors.LockNotAvailable("late"), "be read"), StoreBusyError)
    told = as_fault(errors.DiskFull("no space left\nmore"), "keep a change")
    assert str(told) == "the database cannot keep a change: no space left"
