"""What a commit still waits for is nobody's to rely on: the disk may yet refuse it."""

import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from ledger_world import NOON_MS, MovingClock, key_record
from tokenward.kernel.errors import StoreError
from tokenward.keys.families import Family, end
from tokenward.store.sqlite import SqliteStore
from tokenward.store.sqlite.committer import Tell

FAMILY = Family(
    id="f" * 12,
    key_id="k1",
    kind="dpop",
    thumbprint="t",
    got_by="holder",
    scope="",
    number=1,
    created_ms=NOON_MS,
    used_ms=NOON_MS,
    ends_ms=NOON_MS + 1_000_000,
)


class Disk:
    """Commits when a test says so, or refuses to."""

    def __init__(self, connection: sqlite3.Connection, loop: asyncio.AbstractEventLoop) -> None:
        self.is_waiting = False
        self.is_prompt = True
        self._connection = connection
        self._tell: Tell | None = None

    def commit(self, tell: Tell) -> None:
        self._tell = tell
        if self.is_prompt:
            self.end()

    def end(self) -> None:
        assert self._tell is not None
        self._connection.execute("COMMIT")
        self._tell(None)

    def refuse(self) -> None:
        assert self._tell is not None
        self._tell(sqlite3.OperationalError("database or disk is full"))

    def stop(self) -> None:
        """There is no thread."""


async def opened(folder: Path, clock: MovingClock) -> tuple[SqliteStore, Disk]:
    disks: list[Disk] = []

    def make(connection: sqlite3.Connection, loop: asyncio.AbstractEventLoop) -> Disk:
        disks.append(Disk(connection, loop))
        return disks[0]

    store = await SqliteStore.open(folder, clock=clock, make_committer=make)
    await store.keys.add(key_record("k1"))
    await store.grants.add(FAMILY)
    return store, disks[0]


@pytest.mark.req("K-1")
async def test_a_revocation_that_the_disk_refuses_was_never_found_by_anybody(
    tmp_path: Path, clock: MovingClock
) -> None:
    store, disk = await opened(tmp_path, clock)
    disk.is_prompt = False
    live = key_record("k1")
    dead = replace(live, state="revoked", revoked_why="leaked")
    change = asyncio.ensure_future(store.keys.replace(live, dead, "key:revoked", "leaked"))
    await asyncio.sleep(0.01)
    shown = store.keys.cached("k1")
    assert shown is not None
    assert shown.state == "revoked"  # refusing too early harms nobody
    found = asyncio.ensure_future(store.keys.find("k1"))
    await asyncio.sleep(0.01)
    assert not found.done()
    disk.refuse()
    with pytest.raises(StoreError):
        await change
    assert await found == live
    await store.close()


async def test_the_end_of_a_family_that_the_disk_refuses_was_never_found_by_anybody(
    tmp_path: Path, clock: MovingClock
) -> None:
    store, disk = await opened(tmp_path, clock)
    disk.is_prompt = False
    change = asyncio.ensure_future(store.grants.end(FAMILY, end(FAMILY, "theft", NOON_MS), None))
    await asyncio.sleep(0.01)
    found = asyncio.ensure_future(store.grants.find(FAMILY.id))
    await asyncio.sleep(0.01)
    assert not found.done()
    disk.refuse()
    with pytest.raises(StoreError):
        await change
    assert await found == FAMILY
    await store.close()
