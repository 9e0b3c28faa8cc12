"""What one gateway accuses a key of, every other one acts on, and none accuses it of again."""

import asyncio
import time

import pytest

from ledger_world import NOON_MS, key_record
from postgres_world import Town, until
from tokenward.kernel.incidents import Evidence, Incident
from tokenward.keys.records import Bar, KeyRecord
from tokenward.machine import RealClock
from tokenward.store.postgres.store import PostgresStore

OFFICE = "origin:4f2a@DE-64496"


class Listener:
    """Fulfils `Watcher`."""

    def __init__(self) -> None:
        self.keys: list[KeyRecord] = []

    def key_changed(self, record: KeyRecord) -> None:
        self.keys.append(record)

    def name_revoked(self, name: str) -> None:
        raise AssertionError("no token is revoked here")


def theft(number: int = 1) -> Incident:
    evidence = Evidence(kind="E2", detector="novelty", reason="a new network", at_ms=NOON_MS)
    return Incident(
        id=f"inc_{number}", subject="key:k1", opened_ms=NOON_MS, first_sign_ms=NOON_MS,
        evidence=(evidence,),
    )  # fmt: skip


@pytest.mark.req("K-1")
async def test_a_second_after_an_accusation_or_its_undoing_no_gateway_acts_on_the_old_record(
    town: Town,
) -> None:
    first = await town.gateway()
    second = await town.gateway(clock=RealClock())
    await first.keys.add(key_record())
    assert await second.keys.find("k1") == key_record()
    listener = Listener()
    second.watch(listener)
    assert await first.keys.accuse("k1", theft(), (OFFICE,), freeze=True)
    await known_within_a_second(second, ("frozen", (Bar(OFFICE, "inc_1"),), ()))
    await until(lambda: [record.state for record in listener.keys][-1:] == ["frozen"])
    assert (await first.keys.undo("inc_1", NOON_MS)).why_not == ""
    await known_within_a_second(second, ("live", (), (OFFICE,)))
    assert not await second.keys.accuse("k1", theft(2), (OFFICE,), freeze=False)


async def known_within_a_second(store: PostgresStore, expected: tuple[object, ...]) -> None:
    """However slow the machine: either it is known, or the view is not fresh."""
    acknowledged_s = time.monotonic()
    while True:
        now_s = time.monotonic()
        kept = store.keys.cached("k1")
        assert kept is not None
        if (kept.state, kept.barred, kept.cleared) == expected:
            return
        is_fresh = store.view.is_fresh()
        assert now_s - acknowledged_s < 1.0 or not is_fresh
        assert now_s - acknowledged_s < 20.0
        await asyncio.sleep(0.005)


async def test_four_gateways_that_see_the_same_thief_open_one_incident(town: Town) -> None:
    stores = [await town.gateway() for _ in range(4)]
    await stores[0].keys.add(key_record())
    for store in stores:
        await store.keys.find("k1")
    opened = await asyncio.gather(
        *(
            store.keys.accuse("k1", theft(number), (OFFICE,), freeze=True)
            for number, store in enumerate(stores)
        )
    )
    assert sorted(opened) == [False, False, False, True]
    assert len(await stores[0].incidents.recent(10)) == 1


async def test_who_comes_second_knows_at_once_what_the_first_one_did(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokenward.store.postgres.changes.REFRESH_EVERY_S", 1_000.0)
    first, second = await town.gateway(), await town.gateway()
    await first.keys.add(key_record())
    await second.keys.find("k1")
    assert await first.keys.accuse("k1", theft(1), (OFFICE,), freeze=False)
    assert not await second.keys.accuse("k1", theft(2), (OFFICE,), freeze=False)
    known = second.keys.cached("k1")
    assert known is not None
    assert known.barred == (Bar(OFFICE, "inc_1"),)
