from pathlib import Path

import pytest

from ledger_world import MovingClock, ask, open_sqlite, taken
from tokenward.kernel.errors import StoreError, StorePastError
from tokenward.store.high_water import HighWater, check_not_past
from tokenward.store.sqlite import SqliteStore


async def spend(store: SqliteStore, calls: int) -> None:
    for number in range(calls):
        hold = taken(await store.ledger.hold(ask(number + 1)))
        await store.ledger.void(hold, "not sent", 0)


async def test_what_was_seen_is_remembered_by_the_folder(
    tmp_path: Path, clock: MovingClock
) -> None:
    assert HighWater(tmp_path).read() is None
    store = await open_sqlite(tmp_path / "data", clock)
    await spend(store, 3)
    HighWater(tmp_path).keep(await store.books.head())
    seen = HighWater(tmp_path).read()
    await spend(store, 1)
    await check_not_past(store.books, seen)
    await store.close()


@pytest.mark.req("O-3")
async def test_records_that_lack_what_was_seen_are_not_served_from(
    tmp_path: Path, clock: MovingClock
) -> None:
    store, restored = [await open_sqlite(tmp_path / name, clock) for name in ("data", "backup")]
    await spend(store, 3)
    await spend(restored, 2)
    with pytest.raises(StorePastError, match="end at entry 4, and this guard has seen entry 6"):
        await check_not_past(restored.books, await store.books.head())
    await spend(restored, 2)
    with pytest.raises(StorePastError, match="Entry 4 of the records is not the one"):
        await check_not_past(restored.books, (await store.books.head())._replace(seq=4))
    await store.close()
    await restored.close()


async def test_an_empty_folder_has_seen_nothing(tmp_path: Path, clock: MovingClock) -> None:
    store = await open_sqlite(tmp_path / "data", clock)
    await check_not_past(store.books, None)
    HighWater(tmp_path).keep(await store.books.head())
    assert HighWater(tmp_path).read() is None
    await store.close()


def test_a_mark_that_says_nothing_is_a_fault_that_shows_the_way(tmp_path: Path) -> None:
    (tmp_path / "ledger.head").write_text("17:xyz\n")
    with pytest.raises(StoreError, match="tokenward restore"):
        HighWater(tmp_path).read()
