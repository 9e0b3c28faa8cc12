"""A thief is accused once, whatever happens to the line, and every worker acts on it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from ledger_world import NOON_MS, MovingClock, key_record
from tokenward.kernel.incidents import Incident
from tokenward.keys.records import Bar
from tokenward.store.past_rows import PAST_BYTES_MAX
from tokenward.store.sqlite import SqliteStore
from tokenward.store.workers import Keeper, RemoteStore
from tokenward.store.workers.pasts import MESSAGE_BYTES_MAX
from workers_world import Wire, running_crew

Crewed = tuple[SqliteStore, Keeper, list[tuple[RemoteStore, Wire]]]
OFFICE = "origin:4f2a@DE-64496"


@pytest.fixture
async def crew(tmp_path: Path) -> AsyncIterator[Crewed]:
    async with running_crew(tmp_path / "data", MovingClock(), grace_s=5.0) as running:
        yield running


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():
            await asyncio.sleep(0.005)


def theft(number: int = 1) -> Incident:
    return Incident(id=f"inc_{number}", subject="key:k1", opened_ms=NOON_MS, first_sign_ms=NOON_MS)


async def test_what_one_worker_accuses_the_other_one_knows_before_it_is_answered(
    crew: Crewed,
) -> None:
    _, _, ((one, _), (two, _)) = crew
    await one.keys.add(key_record())
    await two.keys.find("k1")
    assert await one.keys.accuse("k1", theft(), (OFFICE,), freeze=True)
    for worker in (one, two):
        await until(lambda worker=worker: worker.keys.cached("k1").state == "frozen")
        assert worker.keys.cached("k1").barred == (Bar(OFFICE, "inc_1"),)
    assert not await two.keys.accuse("k1", theft(2), (OFFICE,), freeze=True)
    assert (await two.keys.undo("inc_1", NOON_MS)).why_not == ""
    await until(lambda: one.keys.cached("k1").cleared == (OFFICE,))


@pytest.mark.parametrize("turns", range(0, 12, 2))
async def test_an_accusation_whose_answer_is_lost_is_kept_and_told_once(
    crew: Crewed, turns: int
) -> None:
    store, _, ((one, wire), _) = crew
    await one.keys.add(key_record())
    accusing = asyncio.ensure_future(one.keys.accuse("k1", theft(), (OFFICE,), freeze=True))
    for _ in range(turns):
        await asyncio.sleep(0)
    wire.link.cut()
    assert await accusing
    assert len(await store.incidents.recent(10)) == 1
    kept = await one.keys.read("k1")
    assert kept is not None
    assert kept.state == "frozen"


async def test_pasts_are_folded_in_messages_that_hold_up_nobody(crew: Crewed) -> None:
    _, _, ((one, wire), (two, _)) = crew
    mine = {f"k{number}": bytes([number]) * PAST_BYTES_MAX for number in range(40)}
    assert await one.pasts.fold(mine) == mine
    assert max(map(len, wire.link.seen)) < MESSAGE_BYTES_MAX + PAST_BYTES_MAX
    found = await asyncio.gather(*(two.pasts.find(key) for key in mine))
    assert found == list(mine.values())
