"""The file of used proofs. What it has in common with other engines: `tests/contracts/`."""

import asyncio
import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ledger_world import MovingClock
from racing import open_once, race
from tokenward.binding.nonces import Nonces
from tokenward.kernel.errors import StoreError
from tokenward.machine import RealClock
from tokenward.store.sqlite import proofs
from tokenward.store.sqlite.proofs import SqliteProofs

RACERS = 4
MINUTE_MS = 60_000
Open = Callable[[], SqliteProofs]


def named(number: int) -> bytes:
    return hashlib.sha256(number.to_bytes(8)).digest()


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock()


@pytest.fixture
def opened(tmp_path: Path, clock: MovingClock) -> Iterator[Open]:
    """Opens another store on the same file, as another process would."""
    stores: list[SqliteProofs] = []

    def open_one() -> SqliteProofs:
        stores.append(SqliteProofs(tmp_path, clock))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


async def use(store: SqliteProofs, name: bytes, until_ms: int) -> bool:
    return await store.claim(name, until_ms, store.epoch.since_ms)


def test_four_processes_that_open_a_new_folder_at_once_agree_on_the_secret(tmp_path: Path) -> None:
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()
        (met,) = race(RACERS, open_once, str(folder))
        assert len(set(met)) == 1


async def test_when_the_machine_was_started_anew_it_forgets_and_says_so(
    opened: Open, clock: MovingClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened()
    assert store.epoch.since_ms == clock.now_ms()
    before = Nonces(lambda: store.epoch).current(clock.now_ms())
    store.close()
    boot = tmp_path / "boot_id"
    boot.write_text("another start of the machine\n", "ascii")
    monkeypatch.setattr(proofs, "_BOOT", boot)
    clock.at_ms += 5_000
    again = opened()
    assert again.epoch.since_ms == clock.now_ms()
    assert not Nonces(lambda: again.epoch).is_fresh(before, clock.now_ms(), again.epoch)


def test_where_a_start_of_the_machine_cannot_be_told_each_opening_counts_as_one(
    opened: Open, clock: MovingClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proofs, "_BOOT", tmp_path / "there is none")
    first = opened().epoch
    assert opened().epoch != first


async def test_only_proofs_past_their_time_are_swept(opened: Open, clock: MovingClock) -> None:
    store = opened()
    now_ms = clock.now_ms()
    for number in range(10):
        assert await use(store, named(number), now_ms + number)
    assert await store.sweep(now_ms) == 0
    assert await store.sweep(now_ms + 5) == 5
    assert [await use(store, named(number), now_ms) for number in range(10)] == [True] * 5 + [
        False
    ] * 5


async def test_many_proofs_are_swept_in_steps_and_all_of_them(
    opened: Open, clock: MovingClock
) -> None:
    store, until_ms = opened(), clock.now_ms()
    await asyncio.gather(*(use(store, named(number), until_ms) for number in range(1_234)))
    assert await store.sweep(until_ms + 1) == 1_234
    assert await store.sweep(until_ms + 1) == 0


async def test_a_full_file_takes_no_proof_and_takes_some_again_after_a_sweep(
    opened: Open, clock: MovingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proofs, "_LAYOUT", proofs._LAYOUT.replace("16384", "16"))
    store = opened()
    now_ms = clock.now_ms()
    number = await fill(store, now_ms)
    assert 100 < number < 2_000
    with pytest.raises(StoreError, match="full"):
        await use(store, named(number), now_ms)
    assert not await use(store, named(0), now_ms), "what was used is still known"
    assert await store.sweep(now_ms + 1) == number
    assert await use(store, named(number), now_ms + 1)


async def fill(store: SqliteProofs, until_ms: int) -> int:
    """Use up proofs until no more go in; how many did."""
    for number in range(10_000):
        try:
            assert await use(store, named(number), until_ms)
        except StoreError:
            return number
    raise AssertionError("it is not bounded")


@pytest.mark.parametrize("what", ["deleted", "replaced"])
async def test_a_store_that_cannot_know_says_so(
    opened: Open, clock: MovingClock, tmp_path: Path, what: str
) -> None:
    store = opened()
    path = tmp_path / proofs.FILE_NAME
    path.unlink()
    if what == "replaced":
        opened()
    with pytest.raises(StoreError):
        await use(store, named(1), clock.now_ms() + MINUTE_MS)
    with pytest.raises(StoreError):
        await store.sweep(clock.now_ms())


async def test_a_file_that_another_process_keeps_locked_is_waited_for_and_then_a_fault(
    opened: Open, clock: MovingClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proofs, "WAIT_S", 0.01)
    store = opened()
    with closing(sqlite3.connect(tmp_path / proofs.FILE_NAME, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="locked"):
            await use(store, named(1), clock.now_ms() + MINUTE_MS)
        other.execute("ROLLBACK")
    assert await use(store, named(1), clock.now_ms() + MINUTE_MS)


@pytest.mark.parametrize(
    "content", [b"this is no database, and long enough to be read as one" * 99]
)
def test_a_file_that_is_no_database_is_a_fault_at_the_start(
    opened: Open, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / proofs.FILE_NAME).write_bytes(content)
    with pytest.raises(StoreError, match="cannot be opened"):
        opened()


def test_a_folder_that_is_not_there_is_a_fault_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        SqliteProofs(tmp_path / "nowhere", RealClock())


def test_only_the_owner_may_read_it(opened: Open, tmp_path: Path) -> None:
    opened()
    files = list(tmp_path.glob(proofs.FILE_NAME + "*"))
    assert len(files) == 3
    assert all(path.stat().st_mode & 0o077 == 0 for path in files)
