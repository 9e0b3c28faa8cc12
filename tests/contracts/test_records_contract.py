"""Records: written beside the calls, served newest first, swept by age."""

import pytest

from engines import AnyStore, Engine, Opener
from ledger_world import DAY_MS, NOON_MS, kept, key_record
from tokenward.kernel.events import Record


def record(number: int, **changes: object) -> Record:
    values: dict[str, object] = {"ts": NOON_MS + number, "request_id": f"req_{number}", "key": "k1"}
    return Record(**{**values, **changes})  # type: ignore[arg-type]  # Record's own names


async def test_records_come_back_as_written_newest_first(reopen: Opener) -> None:
    store = await reopen()
    for number in range(600):
        store.records.write_record(record(number, key=f"k{number % 2}", cost_nusd=number))
    store = await reopen()
    found = await store.records.recent("", NOON_MS, 10_000)
    assert [one.request_id for one in found] == [f"req_{n}" for n in reversed(range(600))]
    found = await store.records.recent("k1", NOON_MS + 590, 3)
    assert [one.cost_nusd for one in found] == [599, 597, 595]
    assert store.records.dropped == 0


async def test_a_record_of_what_is_not_text_is_kept_all_the_same(store: AnyStore) -> None:
    store.records.write_record(
        record(1, user_agent="a\ud800b\x00", max_tokens=10**40, key="k\udfff")
    )
    store.records.write_record(record(2, doubts=("\ud800",)))
    second, first = await kept(store, 2)
    assert (first.user_agent, first.key, first.max_tokens) == ("a?b\x00", "k?", 10**40)
    assert second.doubts == ("?",)


async def test_too_many_waiting_records_are_dropped_and_counted(
    store: AnyStore, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"tokenward.store.{engine.name}.records.WAITING_MAX", 10)
    for number in range(13):
        store.records.write_record(record(number))
    assert store.records.dropped == 3
    assert len(await kept(store, 10)) == 10


async def test_old_records_and_events_are_swept_and_the_ledger_stays(store: AnyStore) -> None:
    for number in range(700):
        store.records.write_record(record(number, ts=NOON_MS - 3 * DAY_MS + number))
    store.records.write_record(record(1))
    await kept(store, 701)
    for number in range(3):
        await store.keys.add(key_record(f"k{number}", created_ms=NOON_MS - 3 * DAY_MS))
    await store.keys.add(key_record("new"))
    await store.chores(NOON_MS, NOON_MS - DAY_MS)
    assert len(await store.records.recent("", 0, 100)) == 1
    assert [number for number, _ in await store.books.events(0, 100)] == [4]
    assert (await store.books.head()).seq == 6
