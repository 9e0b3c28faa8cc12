"""Key records: a change is seen no later than it is acknowledged, and never undone by a look-up."""

import asyncio
from dataclasses import replace

import pytest

from engines import AnyStore, Engine, Opener
from ledger_world import DAY_MS, HOUR_MS, NOON_MS, MovingClock, key_record
from tokenward.keys.records import Caveats, Enrolment, OldSecret

FULL = key_record(
    "full",
    name="ci",
    caveats=Caveats(models=("gpt-*",), cidrs=("10.0.0.0/8",), max_call_nusd=5, rpm=3, bind="dpop"),
    expires_ms=NOON_MS + 5,
    old_secrets=(OldSecret(b"\x00\xff" * 16, NOON_MS + 9),),
    holder="0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I",
    enrolment=Enrolment(digest=b"\x00\xff" * 16, until_ms=NOON_MS + 7, sealed=b"\xff\x00"),
)


async def test_a_key_comes_back_as_it_was_kept_also_after_a_restart(reopen: Opener) -> None:
    store = await reopen()
    await store.keys.add(FULL)
    assert store.keys.cached("full") == FULL
    store = await reopen()
    assert store.keys.cached("full") is None
    assert await store.keys.find("full") == FULL
    assert store.keys.cached("full") == FULL
    assert await store.keys.find("nobody") is None
    assert await store.keys.find("ключ\ud800") is None


async def test_accounts_and_projects_come_into_being_with_their_first_key(
    store: AnyStore,
) -> None:
    await store.keys.add(key_record("k1", account="a1", project="p1"))
    await store.keys.add(key_record("k2", account="a1", project="p1"))
    with pytest.raises(ValueError, match="belongs to the account a1"):
        await store.keys.add(key_record("k3", account="a2", project="p1"))
    with pytest.raises(ValueError, match="a key with this id"):
        await store.keys.add(key_record("k1"))
    assert await store.keys.find("k3") is None
    assert [account.name for account in await store.books.accounts()] == ["a1"]
    assert [record.id for record in await store.keys.page()] == ["k1", "k2"]


async def test_one_bad_key_among_many_at_once_harms_no_other(store: AnyStore) -> None:
    await store.keys.add(key_record("k0"))
    results = await asyncio.gather(
        *(store.keys.add(key_record(f"k{n}")) for n in range(5)),
        store.keys.add(key_record("bad", account="a2")),
        *(store.keys.add(key_record(f"k{n}")) for n in range(5, 9)),
        return_exceptions=True,
    )
    assert [type(result) for result in results if result is not None] == [ValueError] * 2
    assert [record.id for record in await store.keys.page()] == [f"k{n}" for n in range(9)]


async def test_of_two_changes_at_once_one_wins_and_the_other_is_told(store: AnyStore) -> None:
    old = key_record()
    await store.keys.add(old)
    frozen = replace(old, state="frozen", frozen_why="a")
    revoked = replace(old, state="revoked", revoked_why="b")
    won = await asyncio.gather(
        store.keys.replace(old, frozen, "key:frozen", "a"),
        store.keys.replace(old, revoked, "key:revoked", "b"),
    )
    assert won == [True, False]
    assert store.keys.cached("k1") == frozen
    assert await store.keys.replace(frozen, replace(frozen, state="live"), "key:unfrozen", "")
    assert not await store.keys.replace(key_record("no"), key_record("no"), "key:frozen", "")
    kinds = [event.kind for _, event in await store.books.events(0, 10)]
    assert kinds == ["key:created", "key:frozen", "key:unfrozen"]


@pytest.mark.req("K-1")
async def test_no_look_up_brings_back_what_a_revocation_replaced(reopen: Opener) -> None:
    old = key_record()
    await (await reopen()).keys.add(old)
    store = await reopen()  # which has nothing in memory
    looks = [asyncio.ensure_future(store.keys.find("k1")) for _ in range(3)]
    change = asyncio.ensure_future(
        store.keys.replace(old, replace(old, state="revoked"), "key:revoked", "leaked")
    )
    looks += [asyncio.ensure_future(store.keys.find("k1")) for _ in range(3)]
    assert await change
    acknowledged = store.keys.cached("k1")
    assert acknowledged is not None
    assert acknowledged.state == "revoked"
    await asyncio.gather(*looks)
    kept = store.keys.cached("k1")
    assert kept is not None
    assert kept.state == "revoked"


async def test_of_two_rotations_at_once_one_wins(store: AnyStore) -> None:
    old = key_record()
    await store.keys.add(old)
    won = await asyncio.gather(
        *(
            store.keys.replace(old, replace(old, digest=bytes([n]) * 32), "key:rotated", "")
            for n in range(3)
        )
    )
    assert won == [True, False, False]
    kept = await store.keys.find("k1")
    assert kept is not None
    assert kept.digest == b"\x00" * 32


async def test_revoked_stays_revoked(store: AnyStore) -> None:
    old = key_record(state="revoked")
    await store.keys.add(old)
    with pytest.raises(AssertionError, match="R4"):
        await store.keys.replace(old, replace(old, state="live"), "key:unfrozen", "")
    assert (await store.keys.find("k1")) == old


async def until_last_used(store: AnyStore, at_ms: int) -> None:
    for _ in range(500):
        if at_ms in [record.last_used_ms for record in await store.keys.page()]:
            return
        await asyncio.sleep(0.01)
    pytest.fail("the last use was not written")


async def test_last_uses_are_written_now_and_then_and_at_the_end(
    reopen: Opener, clock: MovingClock
) -> None:
    store = await reopen()
    await store.keys.add(key_record())
    store.keys.used("k1", NOON_MS + 7)
    await store.keys.add(key_record("k2"))
    clock.at_ms += 5_000
    store.keys.used("k2", NOON_MS + 8)
    await store.keys.add(key_record("k3"))
    await until_last_used(store, NOON_MS + 8)
    assert [record.last_used_ms for record in await store.keys.page()] == [
        NOON_MS + 7, NOON_MS + 8, None,
    ]  # fmt: skip
    store.keys.used("k3", NOON_MS + 9)
    store = await reopen()
    assert [record.last_used_ms for record in await store.keys.page()][2] == NOON_MS + 9


async def test_memory_for_keys_is_bounded(
    store: AnyStore, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"tokenward.store.{engine.name}.keys.CACHED_MAX", 3)
    for number in range(5):
        await store.keys.add(key_record(f"k{number}"))
    cached = [n for n in range(5) if store.keys.cached(f"k{n}") is not None]
    assert cached == [2, 3, 4]
    assert await store.keys.find("k0") is not None
    for number in range(100):
        assert await store.keys.find(f"stranger{number}") is None
    assert store.keys.cached("k0") is not None


async def endings_told(store: AnyStore, clock: MovingClock, at_ms: int) -> list[object]:
    """Of how many days people have heard, once the chores of that moment are done."""
    clock.at_ms = at_ms
    await store.chores(at_ms, 0)
    events = await store.books.events(0, 100)
    return [event.facts["days"] for _, event in events if event.kind == "key:ending"]


async def test_people_hear_of_a_key_that_ends_within_a_week_and_again_within_a_day(
    store: AnyStore, clock: MovingClock
) -> None:
    end_ms = NOON_MS + 30 * DAY_MS
    await store.keys.add(key_record("soon", expires_ms=end_ms))
    await store.keys.add(key_record("never"))
    stopped = key_record("stopped", expires_ms=end_ms)
    await store.keys.add(stopped)
    assert await store.keys.replace(stopped, replace(stopped, state="revoked"), "key:revoked", "")

    for before_ms, told in (
        (8 * DAY_MS, []),
        (7 * DAY_MS, [7]),
        (6 * DAY_MS, [7]),
        (DAY_MS, [7, 1]),
        (1, [7, 1]),
        (0, [7, 1]),
    ):
        assert await endings_told(store, clock, end_ms - before_ms) == told


async def test_a_key_that_ends_within_a_day_is_told_of_once(
    store: AnyStore, clock: MovingClock
) -> None:
    await store.keys.add(key_record("brief", expires_ms=NOON_MS + 3 * HOUR_MS))
    for hours in range(3):
        assert await endings_told(store, clock, NOON_MS + hours * HOUR_MS) == [1]
