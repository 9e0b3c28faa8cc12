"""Pasts of keys beside the books: a disk that fails costs a lesson and nothing else."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from ledger_world import MovingClock, key_record, open_sqlite
from tokenward.kernel.errors import StoreBusyError, StoreError
from tokenward.store.sqlite import SqliteStore
from tokenward.store.sqlite.committer import Tell


class Disk:
    """Commits, refuses, or does neither, as a test says."""

    mode = "commits"

    def __init__(self, connection: sqlite3.Connection, loop: asyncio.AbstractEventLoop) -> None:
        self.is_waiting = False
        self._connection = connection
        self._loop = loop

    def commit(self, tell: Tell) -> None:
        if self.mode == "commits":
            self._connection.execute("COMMIT")
            tell(None)
        elif self.mode == "refuses":
            tell(sqlite3.OperationalError("database or disk is full"))

    def stop(self) -> None:
        """There is no thread."""


async def opened(folder: Path, clock: MovingClock) -> tuple[SqliteStore, Disk]:
    disks: list[Disk] = []

    def make(connection: sqlite3.Connection, loop: asyncio.AbstractEventLoop) -> Disk:
        disks.append(Disk(connection, loop))
        return disks[0]

    store = await SqliteStore.open(folder, clock=clock, make_committer=make)
    return store, disks[0]


async def test_a_disk_that_refuses_pasts_is_told_and_the_next_fold_goes_through(
    tmp_path: Path, clock: MovingClock
) -> None:
    store, disk = await opened(tmp_path, clock)
    disk.mode = "refuses"
    with pytest.raises(StoreError, match="could not be written"):
        await store.pasts.fold({"k1": b"x"})
    disk.mode = "commits"
    assert await store.pasts.find("k1") is None
    assert await store.pasts.fold({"k1": b"y"}) == {"k1": b"y"}
    assert await store.pasts.find("k1") == b"y"
    await store.close()


async def test_nobody_waits_for_ever_for_a_past(
    tmp_path: Path, clock: MovingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokenward.store.sqlite.pasts.WAIT_S", 0.2)
    store, disk = await opened(tmp_path, clock)
    disk.mode = "sleeps"
    with pytest.raises(StoreBusyError, match="pasts"):
        await store.pasts.fold({"k1": b"x"})
    assert store.pasts.waiting == 1, "what is on its way to the disk"
    store.database.connection.close()


async def test_a_commit_that_a_hold_waits_for_takes_few_pasts_along(
    tmp_path: Path, clock: MovingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    boards: list[int] = []
    store = await open_sqlite(tmp_path, clock)
    board = store.pasts.board

    def counted(connection: sqlite3.Connection) -> None:
        before = store.pasts.waiting
        board(connection)
        if before:
            boards.append(len(store.pasts._boarded))

    monkeypatch.setattr(store.pasts, "board", counted)
    small = {f"k{number:03}": b"s" for number in range(150)}
    await store.pasts.fold(small)
    assert boards == [64, 64, 22]
    boards.clear()
    await store.pasts.fold({f"l{number}": bytes(60_000) for number in range(12)})
    assert boards == [5, 5, 2]
    await store.close()


async def test_a_batch_that_is_taken_back_leaves_no_fold_waiting(
    tmp_path: Path, clock: MovingClock
) -> None:
    store = await open_sqlite(tmp_path, clock)
    await store.keys.add(key_record())
    fold = asyncio.ensure_future(store.pasts.fold({"k1": b"x"}))
    while not store.pasts.waiting:
        await asyncio.sleep(0)
    store.database.ride()
    with pytest.raises(ValueError, match="a key with this id"):
        await store.keys.add(key_record())
    assert await fold == {"k1": b"x"}
    await store.close()


async def test_a_store_that_closes_writes_the_pasts_that_wait(
    tmp_path: Path, clock: MovingClock
) -> None:
    store = await open_sqlite(tmp_path, clock)
    mine = {f"k{number:03}": b"s" for number in range(200)}
    fold = asyncio.ensure_future(store.pasts.fold(mine))
    while not store.pasts.waiting:
        await asyncio.sleep(0)
    await store.close()
    assert await fold == mine
    again = await open_sqlite(tmp_path, clock)
    assert await again.pasts.find("k199") == b"s"
    await again.close()


async def test_a_sweep_goes_on_where_it_stopped(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokenward.store.sqlite.pasts.SWEEP_BATCH", 10)
    await store.keys.add(key_record("k20"))
    await store.pasts.fold({f"k{number:02}": b"s" for number in range(25)})
    count = "SELECT count(*) FROM pasts"
    left = []
    for _ in range(4):
        await store.pasts.sweep(0)
        left += store.database.connection.execute(count).fetchone()
    assert left == [15, 5, 1, 1]
