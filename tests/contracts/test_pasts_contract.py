"""Pasts of keys: folded by many at once, none lost, and forgotten with their keys."""

import asyncio

import pytest

from engines import AnyStore, Engine, Opener
from ledger_world import DAY_MS, NOON_MS, ask, key_record, taken
from tokenward.detectors.past import Origin, Past, pack, unpack
from tokenward.kernel.errors import StoreError
from tokenward.store.past_rows import FOLD_MAX, KEPT_MS, PAST_BYTES_MAX

TODAY = NOON_MS // DAY_MS


def past(*origins: str) -> bytes:
    """A key that was used today from these origins."""
    used = {name: Origin(first=TODAY, last=TODAY) for name in origins}
    return pack(Past(first=TODAY, last=TODAY, days=1, calls=len(origins), origins=used))


def origins(blob: bytes | None) -> set[str]:
    assert blob is not None
    known = unpack(blob)
    assert known is not None
    return set(known.origins)


async def test_a_past_comes_back_as_it_was_folded_also_after_a_restart(reopen: Opener) -> None:
    store = await reopen()
    assert await store.pasts.find("k1") is None
    assert await store.pasts.fold({"k1": past("office")}) == {"k1": past("office")}
    assert await store.pasts.find("k1") == past("office")
    store = await reopen()
    assert await store.pasts.find("k1") == past("office")
    assert await store.pasts.find("k2") is None
    assert await store.pasts.find("ключ") is None
    assert await store.pasts.fold({}) == {}


async def test_a_fold_gives_back_what_others_have_seen_and_loses_nothing(store: AnyStore) -> None:
    await store.pasts.fold({"k1": past("office"), "k2": past("home")})
    folded = await store.pasts.fold({"k1": past("train"), "k3": past("train")})
    assert origins(folded["k1"]) == {"office", "train"}
    assert folded["k3"] == past("train")
    assert folded.keys() == {"k1", "k3"}
    assert await store.pasts.find("k1") == folded["k1"]
    assert await store.pasts.fold({"k1": past("office")}) == {"k1": folded["k1"]}


async def test_of_many_folds_at_once_none_is_lost(store: AnyStore) -> None:
    names = [f"o{number}" for number in range(12)]
    keys = ("k1", "k2", "k3")
    await asyncio.gather(
        *(store.pasts.fold({key: past(name) for key in keys}) for name in names),
    )
    for key in keys:
        assert origins(await store.pasts.find(key)) == set(names)


async def test_many_keys_are_folded_at_once_and_too_many_are_our_bug(store: AnyStore) -> None:
    mine = {f"k{number}": past(f"o{number}") for number in range(FOLD_MAX)}
    assert await store.pasts.fold(mine) == mine
    found = await asyncio.gather(*(store.pasts.find(key) for key in mine))
    assert found == list(mine.values())
    with pytest.raises(ValueError, match="at most 256"):
        await store.pasts.fold({**mine, "one more": past("o")})


async def test_long_pasts_are_kept_and_longer_ones_are_our_bug(store: AnyStore) -> None:
    mine = {f"k{number}": bytes([number]) * PAST_BYTES_MAX for number in range(40)}
    assert await store.pasts.fold(mine) == mine
    assert await store.pasts.find("k39") == mine["k39"]
    with pytest.raises(ValueError, match="65,536"):
        await store.pasts.fold({"k1": bytes(PAST_BYTES_MAX + 1)})


async def test_what_cannot_be_read_gives_way(store: AnyStore) -> None:
    await store.pasts.fold({"k1": b"of a version to come"})
    assert await store.pasts.fold({"k1": past("office")}) == {"k1": past("office")}
    assert await store.pasts.find("k1") == past("office")


async def test_who_gives_up_waiting_harms_no_later_fold(store: AnyStore) -> None:
    for pause in range(6):
        fold = asyncio.ensure_future(store.pasts.fold({"k1": past(f"o{pause}")}))
        for _ in range(pause):
            await asyncio.sleep(0)
        fold.cancel()
        await asyncio.gather(fold, return_exceptions=True)
    folded = await store.pasts.fold({"k1": past("last")})
    assert "last" in origins(folded["k1"])
    assert "last" in origins(await store.pasts.find("k1"))


async def test_holds_are_taken_while_pasts_are_folded(store: AnyStore) -> None:
    await store.keys.add(key_record())
    mine = {f"k{number}": past(f"o{number}") for number in range(FOLD_MAX)}
    fold = asyncio.ensure_future(store.pasts.fold(mine))
    for number in range(5):
        taken(await store.ledger.hold(ask(1, request_id=f"r{number}")))
    assert await fold == mine


async def swept(store: AnyStore, now_ms: int) -> None:
    for _ in range(3):
        await store.chores(now_ms, 0)


async def test_pasts_go_when_their_key_is_unknown_or_ended_long_ago(
    store: AnyStore, engine: Engine
) -> None:
    await store.keys.add(key_record("live"))
    await store.keys.add(key_record("gone", state="revoked"))
    await store.keys.add(key_record("over", expires_ms=NOON_MS))
    await store.keys.add(key_record("on", expires_ms=NOON_MS + 2 * KEPT_MS))
    strangers = [f"stranger{number}" for number in range(FOLD_MAX - 4)]
    await store.pasts.fold({key: past("o") for key in ("live", "gone", "over", "on", *strangers)})
    await swept(store, NOON_MS + KEPT_MS)
    assert engine.ask("SELECT key FROM pasts ORDER BY key") == [
        ("gone",), ("live",), ("on",), ("over",),
    ]  # fmt: skip
    await swept(store, NOON_MS + KEPT_MS + 1)
    assert engine.ask("SELECT key FROM pasts ORDER BY key") == [("live",), ("on",)]


async def test_a_closed_store_cannot_know_a_past(reopen: Opener) -> None:
    store = await reopen()
    await store.close()
    for asked in (store.pasts.find("k1"), store.pasts.fold({"k1": past("o")})):
        with pytest.raises(StoreError):
            await asked


async def test_pasts_are_no_part_of_the_books(store: AnyStore) -> None:
    head = await store.books.head()
    await store.pasts.fold({"k1": past("office")})
    assert await store.books.head() == head
