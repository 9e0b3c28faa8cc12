"""Pasts of keys that several gateways fold, and one of them stops in the middle of it."""

import asyncio

import pytest

from ledger_world import DAY_MS, NOON_MS, ask, taken
from postgres_world import Town
from tokenward.detectors.past import Origin, Past, pack, unpack
from tokenward.kernel.errors import StoreBusyError

TODAY = NOON_MS // DAY_MS


def past(origin: str) -> bytes:
    used = {origin: Origin(first=TODAY, last=TODAY)}
    return pack(Past(first=TODAY, last=TODAY, days=1, calls=1, origins=used))


async def test_gateways_that_fold_the_same_keys_at_once_lose_nothing(town: Town) -> None:
    stores = [await town.gateway() for _ in range(3)]
    keys = [f"k{number}" for number in range(40)]
    await asyncio.gather(
        *(
            store.pasts.fold({key: past(f"o{number}") for key in order})
            for number, (store, order) in enumerate(
                (store, order) for store in stores for order in (keys, keys[::-1], keys[10:30])
            )
        )
    )
    for store in stores:
        found = await asyncio.gather(*(store.pasts.find(key) for key in keys))
        counts = [len(unpack(blob).origins) for blob in found]  # type: ignore[union-attr, arg-type]  # folded above
        assert counts == [6] * 10 + [9] * 20 + [6] * 10


@pytest.mark.parametrize("is_new", [True, False])
async def test_a_gateway_that_stops_in_a_fold_makes_others_wait_a_moment_and_not_distrust(
    town: Town, is_new: bool
) -> None:
    store = await town.gateway(commit_limit_s=2.0)
    if not is_new:
        await store.pasts.fold({"k1": past("before")})
    stuck = await town.connect()
    await stuck.execute("BEGIN")
    await stuck.execute(
        "INSERT INTO pasts (key, changed_ms, blob) VALUES ('k1', 1, '') "
        "ON CONFLICT (key) DO UPDATE SET changed_ms = 1"
    )
    with pytest.raises(StoreBusyError):
        await store.pasts.fold({"k1": past("office")})
    assert store.why_not_ready == ""
    taken(await store.ledger.hold(ask(1)))
    await stuck.execute("ROLLBACK")
    await stuck.close()
    folded = await store.pasts.fold({"k1": past("office")})
    known = unpack(folded["k1"])
    assert known is not None
    assert known.origins.keys() == ({"office"} if is_new else {"before", "office"})


async def test_a_sweep_waits_for_no_fold(town: Town) -> None:
    store = await town.gateway()
    await store.pasts.fold({"k1": past("o"), "k2": past("o")})
    folding = await town.connect()
    await folding.execute("BEGIN")
    await folding.execute("SELECT * FROM pasts WHERE key = 'k1' FOR UPDATE")
    await store.pasts.sweep(NOON_MS)
    assert town.ask("SELECT key FROM pasts") == [("k1",)]
    await folding.execute("COMMIT")
    await folding.close()


async def test_many_who_look_for_pasts_ask_together(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await town.gateway()
    await store.pasts.fold({f"k{number}": past("o") for number in range(100)})
    asked: list[int] = []
    fetch = store.database.fetch

    async def counted(question: str, values: tuple[list[str]]) -> list[tuple[object, ...]]:
        asked.append(len(values[0]))
        return await fetch(question, values)  # type: ignore[arg-type]  # it is the question's own text

    monkeypatch.setattr(store.database, "fetch", counted)
    found = await asyncio.gather(*(store.pasts.find(f"k{number % 120}") for number in range(240)))
    assert sum(blob is not None for blob in found) == 200
    assert asked == [64, 56]


async def test_too_many_who_look_for_pasts_are_told(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokenward.store.postgres.pasts.FINDING_MAX", 3)
    store = await town.gateway()
    found = await asyncio.gather(
        *(store.pasts.find(f"k{number}") for number in range(4)), return_exceptions=True
    )
    assert [type(each) for each in found].count(StoreBusyError) == 1
