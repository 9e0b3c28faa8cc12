"""Many operations to a commit: in order, apart from each other, and honest about the disk."""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event as Gate

import pytest
import uvloop

from ledger_world import (
    NOON_MS,
    PATIENCE_S,
    MovingClock,
    ask,
    cap,
    charge,
    kept,
    key_record,
    open_sqlite,
    refused,
    standing,
    taken,
)
from tokenward.kernel.errors import StoreBusyError, StoreError
from tokenward.kernel.events import Record
from tokenward.store.sqlite import SqliteStore

LIMIT_S = 0.2


class SlowDisk:
    """Makes every COMMIT of the store wait until it is healed, as a stalled disk does. Only while
    it is slow the store is impatient: the real disk of a busy machine is no fault."""

    def __init__(self, store: SqliteStore, limit_s: float = LIMIT_S) -> None:
        self._healed = Gate()
        self._database = store.database
        self._database._commit_limit_s = limit_s
        self.stalled = 0
        store.database.connection.set_trace_callback(self._stall)

    def _stall(self, statement: str) -> None:
        if statement == "COMMIT" and not self._healed.is_set():
            self.stalled += 1
            self._healed.wait(60)

    async def has_stalled(self) -> None:
        """Wait until a commit waits."""
        async with asyncio.timeout(PATIENCE_S):
            while not self.stalled:
                await asyncio.sleep(0.001)

    async def heal(self) -> None:
        """Until the store has heard of it."""
        self._database._commit_limit_s = PATIENCE_S
        self._healed.set()
        async with asyncio.timeout(PATIENCE_S):
            while self._database.is_slow:
                await asyncio.sleep(0.001)


def count_commits(store: SqliteStore) -> Callable[[], int]:
    statements: list[str] = []
    store.database.connection.set_trace_callback(statements.append)
    return lambda: statements.count("COMMIT")


async def test_operations_take_effect_in_the_order_they_were_asked_for(store: SqliteStore) -> None:
    seen: list[int] = []
    await asyncio.gather(*(store.database.submit(partial(seen.append, n)) for n in range(500)))
    assert seen == list(range(500))


async def test_waiting_operations_share_a_commit(store: SqliteStore) -> None:
    commits = count_commits(store)
    await asyncio.gather(*(store.ledger.hold(ask(1)) for _ in range(100)))
    assert commits() == 1


async def test_a_settlement_shares_the_commit_of_the_hold_that_follows_it(
    store: SqliteStore,
) -> None:
    first = taken(await store.ledger.hold(ask(1)))
    commits = count_commits(store)
    settling = store.ledger.settle(first, charge(1), NOON_MS)
    second = taken(await store.ledger.hold(ask(1)))
    assert (await settling).state == "settled"
    assert commits() == 1
    await store.ledger.settle(second, charge(1), NOON_MS)
    assert commits() == 2, "alone it is written soon as well"


async def test_a_settlement_that_still_waits_for_company_is_written_at_a_stop(
    store: SqliteStore, clock: MovingClock
) -> None:
    hold = taken(await store.ledger.hold(ask(1)))
    settling = store.ledger.settle(hold, charge(1), NOON_MS)
    await store.close()
    assert (await settling).state == "settled"


def test_a_disk_that_was_in_time_is_not_blamed_for_a_loop_that_was_late(tmp_path: Path) -> None:
    """On uvloop, as in the guard: there a late timer runs before the end of the commit is heard."""

    async def hold() -> None:
        store = await open_sqlite(tmp_path, MovingClock())
        await store.books.create_account("a1", NOON_MS)
        store.database._commit_limit_s = LIMIT_S
        holding = asyncio.ensure_future(store.ledger.hold(ask(1)))
        while not (store.database._committer.is_waiting or holding.done()):
            await asyncio.sleep(0)
        began_s = time.monotonic()
        while store.database._committer.is_waiting or time.monotonic() < began_s + 2 * LIMIT_S:
            time.sleep(0.01)
        taken(await holding)
        await store.close()

    uvloop.run(hold())


async def test_one_operation_that_raises_harms_no_other_of_its_commit(
    store: SqliteStore, clock: MovingClock
) -> None:
    await store.ledger.set_cap(cap("key:k1", "0/day", limit=1_000))

    def bad() -> None:
        store.database.connection.execute("INSERT INTO events VALUES (1, 0, 'x', 'x', '{}')")
        raise LookupError("ours alone")

    def worse() -> None:
        store.database.connection.execute("INSERT INTO nowhere VALUES (1)")

    results = await asyncio.gather(
        *(store.ledger.hold(ask(7)) for _ in range(10)),
        store.database.submit(bad),
        *(store.ledger.hold(ask(7)) for _ in range(10)),
        store.database.submit(worse),
        return_exceptions=True,
    )
    errors = [result for result in results if isinstance(result, Exception)]
    assert [type(error) for error in errors] == [LookupError, StoreError]
    assert (await standing(store, clock, "key:k1")).held == 140
    assert await store.books.events(0, 10) == []
    assert await store.books.audit() == []


@pytest.mark.req("O-2")
async def test_a_disk_that_stalls_is_told_within_its_limit_and_then_at_once(
    store: SqliteStore, clock: MovingClock
) -> None:
    await store.ledger.set_cap(cap("key:k1", "0/day", limit=1_000))
    open_hold = taken(await store.ledger.hold(ask(100)))
    disk = SlowDisk(store)
    first = asyncio.create_task(store.ledger.hold(ask(7)))
    await disk.has_stalled()
    behind = asyncio.create_task(store.ledger.hold(ask(7)))
    results = await asyncio.gather(first, behind, return_exceptions=True)
    assert [type(result) for result in results] == [StoreBusyError] * 2
    with pytest.raises(StoreBusyError, match="has not kept a write"):
        await store.ledger.hold(ask(7))
    with pytest.raises(StoreBusyError):
        await store.ledger.settle(open_hold, charge(60), NOON_MS)
    assert disk.stalled == 1
    await disk.heal()
    # The settlement took effect; what nobody waited for any more is void or was never done.
    await store.ledger.sweep(NOON_MS)
    status = await standing(store, clock, "key:k1")
    assert (status.spent, status.held, status.running) == (60, 0, 0)
    taken(await store.ledger.hold(ask(940)))
    assert await store.books.audit() == []


async def test_the_event_loop_goes_on_while_the_disk_stalls(store: SqliteStore) -> None:
    disk = SlowDisk(store, limit_s=PATIENCE_S)
    waiting = asyncio.create_task(store.ledger.hold(ask(1)))
    await disk.has_stalled()
    turns = 0
    while turns < 1_000:
        await asyncio.sleep(0)
        turns += 1
    assert not waiting.done()
    await disk.heal()
    taken(await waiting)


async def test_a_full_queue_refuses_and_settlements_still_get_in(
    store: SqliteStore, clock: MovingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.ledger.set_cap(cap("key:k1", "0/day", limit=1_000))
    hold = taken(await store.ledger.hold(ask(10)))
    monkeypatch.setattr("tokenward.store.sqlite.database.WAITING_MAX", 8)
    results = asyncio.gather(
        *(store.ledger.hold(ask(1)) for _ in range(20)), return_exceptions=True
    )
    await asyncio.sleep(0)
    settled = store.ledger.settle(hold, charge(10), NOON_MS)
    answers = await results
    assert [type(answer) for answer in answers[8:]] == [StoreBusyError] * 12
    assert (await settled).state == "settled"
    status = await standing(store, clock, "key:k1")
    assert (status.spent, status.held) == (10, 8)


async def test_a_full_disk_fails_the_write_and_leaves_memory_and_file_agreeing(
    store: SqliteStore, clock: MovingClock
) -> None:
    """No new page can be had, as on a full disk; later there is room again."""
    await store.ledger.set_cap(cap("key:k1", "0/day", limit=100_000))
    await store.ledger.set_cap(cap("project:p1", "0/hour", limit=100_000))
    holds = [taken(await store.ledger.hold(ask(10))) for _ in range(5)]
    connection = store.database.connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    failed = 0
    for number in range(30):
        results = await asyncio.gather(
            *(store.ledger.hold(ask(10, model=f"m{number}" * 20)) for _ in range(20)),
            store.ledger.settle(holds[number % 5], charge(5), NOON_MS),
            return_exceptions=True,
        )
        store.records.write_record(Record(ts=NOON_MS, request_id=f"r{number}"))
        for result in results:
            if isinstance(result, BaseException):
                assert isinstance(result, StoreError)
                assert "full" in f"{result}"
                failed += 1
    assert failed > 100, "the fault must really have fired"
    connection.execute("PRAGMA max_page_count = 1073741823")
    (listed,) = {status.held for status in await store.ledger.caps(clock.now_ms())}
    refusal = refused(await store.ledger.hold(ask(200_000)))
    assert dict(refusal.facts)["held"] == listed
    assert await store.books.audit() == []
    for hold in holds:
        await store.ledger.settle(hold, charge(5), NOON_MS)
    await store.ledger.sweep(NOON_MS + 3_600_000)
    assert {s.held for s in await store.ledger.caps(clock.now_ms())} == {0}
    assert await store.books.audit() == []
    assert len(await kept(store, 30)) == 30, "records waited for room"


async def test_a_commit_that_fails_fails_all_of_its_batch_and_is_forgotten(
    store: SqliteStore, clock: MovingClock
) -> None:
    """A deferred constraint makes COMMIT itself fail, after every statement went well."""
    await store.ledger.set_cap(cap("key:k1", "0/day", limit=1_000))
    hold = taken(await store.ledger.hold(ask(100)))
    key = key_record()
    await store.keys.add(key)
    store.records.write_record(Record(ts=NOON_MS, request_id="r1"))
    store.keys.used("k1", NOON_MS)
    clock.at_ms += 10_000
    connection = store.database.connection

    def poison() -> None:
        connection.execute("PRAGMA defer_foreign_keys = ON")
        connection.execute("INSERT INTO holds VALUES (999999, 0)")

    async def settle() -> object:
        store.database.ride()
        return await store.ledger.settle(hold, charge(70), NOON_MS)

    async def poisoned() -> object:
        return await store.database.submit(poison)

    results = await asyncio.gather(
        store.ledger.hold(ask(50)),
        settle(),
        store.keys.replace(key, replace(key, state="frozen"), "key:frozen", ""),
        poisoned(),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [StoreError] * 4
    assert await store.keys.find("k1") == key, "nobody was told that it is frozen"
    status = await standing(store, clock, "key:k1")
    assert (status.spent, status.held, status.running) == (0, 100, 1)
    assert (await store.ledger.settle(hold, charge(70), NOON_MS)).state == "settled"
    refusal = refused(await store.ledger.hold(ask(931)))
    assert dict(refusal.facts)["spent"] == 70
    assert [record.request_id for record in await kept(store, 1)] == ["r1"]
    assert [record.last_used_ms for record in await store.keys.page()] == [NOON_MS]
    assert await store.books.audit() == []


async def test_another_writer_on_the_file_is_a_store_error_and_passes(
    store: SqliteStore,
) -> None:
    (_, _, path) = store.database.connection.execute("PRAGMA database_list").fetchone()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"):
        await store.ledger.hold(ask(1))
    other.execute("ROLLBACK")
    other.close()
    taken(await store.ledger.hold(ask(1)))


async def test_after_closing_nothing_is_taken_and_everything_was_written(
    store: SqliteStore,
) -> None:
    waiting = [asyncio.ensure_future(store.ledger.hold(ask(1))) for _ in range(300)]
    await asyncio.sleep(0)
    await store.close()
    for answer in await asyncio.gather(*waiting):
        taken(answer)
    with pytest.raises(StoreError, match="closed"):
        await store.ledger.hold(ask(1))
    with pytest.raises(StoreError, match="closed"):
        await store.keys.page()
    started_s = time.monotonic()
    await store.close()
    assert time.monotonic() >= started_s
