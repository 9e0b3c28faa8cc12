"""A key in memory is never older than what is known of it, however late an answer comes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from ledger_world import NOON_MS, MovingClock, ask, cap, key_record, refused, taken
from postgres_world import PATIENCE_S, Town, until
from tokenward.kernel.errors import StoreBusyError, StoreError
from tokenward.keys.lease import Always
from tokenward.keys.records import Caveats, KeyRecord
from tokenward.store.postgres.database import Database
from tokenward.store.postgres.keys import PostgresKeys
from tokenward.store.postgres.last_uses import LastUses
from tokenward.store.postgres.scribe import Scribe

LIVE = key_record()
FROZEN = replace(LIVE, state="frozen")
REVOKED = replace(LIVE, state="revoked")


@dataclass
class Listener:
    """Fulfils `Watcher`."""

    states: list[str] = field(default_factory=list)

    def key_changed(self, record: KeyRecord) -> None:
        self.states.append(record.state)

    def name_revoked(self, name: str) -> None:
        raise AssertionError(name)


class SlowDatabase(Database):
    """Answers of questions stay on the way until they are let through."""

    def hold_back(self) -> None:
        self.asked = 0
        self.may_arrive = asyncio.Event()

    async def fetch(self, question: Any, values: Sequence[Any] | None = None) -> Any:
        rows = await super().fetch(question, values)
        self.asked += 1
        await self.may_arrive.wait()
        return rows

    async def has_answered(self, times: int = 1) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while self.asked < times:
                await asyncio.sleep(0.001)


@dataclass
class Desk:
    """Keys without a feed: the test says what it heard. `elsewhere`: another gateway's."""

    database: SlowDatabase
    keys: PostgresKeys
    heard: Listener
    elsewhere: PostgresKeys


@pytest.fixture
async def desk(town: Town) -> AsyncIterator[Desk]:
    other = await town.gateway()
    await other.keys.add(LIVE)
    clock = MovingClock()
    url = town.server.url(town.database)
    database = await SlowDatabase.open(url, clock, commit_limit_s=PATIENCE_S)
    database.hold_back()
    keys = PostgresKeys(database, LastUses(Scribe(database), clock), clock, Always())
    keys.watcher = heard = Listener()
    yield Desk(database, keys, heard, other.keys)
    await database.close()


async def change(keys: PostgresKeys, old: KeyRecord, new: KeyRecord) -> None:
    assert await keys.replace(old, new, "key:changed", "")


@pytest.mark.req("K-1")
@pytest.mark.parametrize("here", [False, True], ids=["heard", "made here"])
async def test_a_late_answer_does_not_bring_back_what_a_change_replaced(
    desk: Desk, here: bool
) -> None:
    looking = asyncio.create_task(desk.keys.find("k1"))
    await desk.database.has_answered()
    if here:
        await change(desk.keys, LIVE, REVOKED)
    else:
        await change(desk.elsewhere, LIVE, REVOKED)
        desk.keys.hear(REVOKED, 1, as_of=1)
    desk.database.may_arrive.set()
    assert await looking == REVOKED
    assert desk.keys.cached("k1") == REVOKED
    assert desk.heard.states == ["revoked"]
    assert desk.database.asked == 2, "the first answer was from before"


@pytest.mark.req("K-1")
async def test_a_late_answer_from_before_a_fresh_start_is_asked_for_again(desk: Desk) -> None:
    """What changed in between is in nobody's news: the feed compared what was in memory."""
    looking = asyncio.create_task(desk.keys.find("k1"))
    await desk.database.has_answered()
    await change(desk.elsewhere, LIVE, REVOKED)
    assert desk.keys.begin_anew(1, is_past=False) == []
    desk.database.may_arrive.set()
    assert await looking == REVOKED


@pytest.mark.req("K-1")
async def test_news_that_is_older_than_what_is_known_changes_nothing(desk: Desk) -> None:
    desk.database.may_arrive.set()
    await change(desk.elsewhere, LIVE, FROZEN)
    await change(desk.elsewhere, FROZEN, LIVE)
    await change(desk.keys, LIVE, REVOKED)
    desk.keys.hear(FROZEN, 1, as_of=1)
    desk.keys.hear(LIVE, 2, as_of=2)
    assert desk.keys.cached("k1") == REVOKED
    assert set(desk.heard.states) == {"revoked"}, "and whoever runs on it hears what is so"


async def test_a_look_up_that_is_ahead_of_the_news_tells_who_runs_on_the_old_record(
    desk: Desk,
) -> None:
    desk.database.may_arrive.set()
    assert await desk.keys.find("k1") == LIVE
    await change(desk.elsewhere, LIVE, REVOKED)
    assert not await desk.keys.replace(LIVE, FROZEN, "key:frozen", "")
    assert desk.keys.cached("k1") == REVOKED
    assert desk.heard.states == ["revoked"]


async def test_news_of_a_key_that_is_not_in_memory_is_told_and_takes_none(desk: Desk) -> None:
    desk.keys.hear(REVOKED, 1, as_of=1)
    assert desk.heard.states == ["revoked"]
    assert desk.keys.cached("k1") is None


async def test_what_is_heard_is_bounded_and_what_may_be_missed_is_asked_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokenward.store.postgres.keys.HEARD_MAX", 2)
    looking = asyncio.create_task(desk.keys.find("k1"))
    await desk.database.has_answered()
    await change(desk.elsewhere, LIVE, REVOKED)
    for number, name in enumerate(("k1", "k2", "k3"), start=1):
        desk.keys.hear(key_record(name), number, as_of=number)
    desk.database.may_arrive.set()
    assert await looking == REVOKED
    assert desk.keys.begin_anew(9, is_past=False) == ["k1"]  # there are no changes up to 9
    desk.keys.compare("k1", None, 9)
    with pytest.raises(StoreBusyError, match="changes faster"):
        await desk.keys.find("k1")


async def test_a_store_that_was_put_back_wins_over_memory_and_so_do_its_new_changes(
    desk: Desk,
) -> None:
    desk.database.may_arrive.set()
    for old, new in ((LIVE, FROZEN), (FROZEN, LIVE)) * 5:
        await change(desk.keys, old, new)
    assert desk.keys.newest == 10
    assert desk.keys.begin_anew(3, is_past=True) == ["k1"]
    desk.keys.compare("k1", FROZEN, 3)
    assert desk.keys.cached("k1") == FROZEN
    desk.keys.hear(REVOKED, 4, as_of=4)
    assert desk.keys.cached("k1") == REVOKED
    desk.keys.compare("k1", None, 5)
    assert desk.keys.cached("k1") is None


@pytest.mark.parametrize("key_id", ["", "a\0b", "ключ", "k\ud800", "a\nb"])
async def test_what_is_no_id_is_nobodys_key_and_is_not_asked_for(desk: Desk, key_id: str) -> None:
    desk.database.may_arrive.set()
    assert await desk.keys.find(key_id) is None
    assert desk.database.asked <= (key_id == "")


@pytest.mark.req("K-2")
async def test_without_a_fresh_view_a_key_is_asked_of_the_store(town: Town) -> None:
    store = await town.gateway()
    await store.keys.add(LIVE)
    await store.feed.stop()
    town.ask("UPDATE keys SET name = 'another name'")
    found = await store.keys.find("k1")
    assert found is not None
    assert found.name == "another name"


@pytest.mark.req("O-7")
async def test_everything_about_a_key_changes_on_every_gateway_while_they_run(town: Town) -> None:
    here, there = await town.gateway(), await town.gateway()
    now = LIVE
    await here.keys.add(now)
    assert await there.keys.find("k1") == now
    for kind, changes in (
        ("key:limited", {"caveats": Caveats(rpm=3, models=("gpt-*",))}),
        ("key:rotated", {"digest": b"e" * 32}),
        ("key:enrolled", {"holder": "h" * 43}),
        ("key:renamed", {"name": "ci", "expires_ms": NOON_MS + 9, "caveats": Caveats(rpm=4)}),
        ("key:frozen", {"state": "frozen", "frozen_why": "odd"}),
        ("key:unfrozen", {"state": "live", "frozen_why": ""}),
        ("key:revoked", {"state": "revoked", "revoked_why": "leaked"}),
    ):
        now, old = replace(now, **changes), now  # type: ignore[arg-type]  # a record's own names
        assert await here.keys.replace(old, now, kind, "")
        async with asyncio.timeout(PATIENCE_S):
            while there.keys.cached("k1") != now:
                await asyncio.sleep(0.005)
        here, there = there, here
    await here.ledger.set_cap(cap("key:k1", "0/day", limit=9))
    taken(await there.ledger.hold(ask(5)))
    await there.ledger.set_cap(cap("key:k1", "0/day", limit=7))
    assert refused(await here.ledger.hold(ask(5))).code == "cap:held"


async def test_of_many_gateways_that_change_a_key_at_once_one_wins(town: Town) -> None:
    stores = [await town.gateway() for _ in range(3)]
    await stores[0].keys.add(LIVE)
    won = await asyncio.gather(
        *(
            store.keys.replace(LIVE, replace(LIVE, digest=bytes([n]) * 32), "key:rotated", "")
            for n, store in enumerate(stores)
        )
    )
    assert sorted(won) == [False, False, True]


async def test_people_hear_of_a_keys_end_once_whichever_gateway_tells(town: Town) -> None:
    stores = [await town.gateway() for _ in range(3)]
    await stores[0].keys.add(replace(LIVE, expires_ms=NOON_MS + 1_000))
    told = await asyncio.gather(*(store.keys.tell_ending(NOON_MS) for store in stores))
    assert sum(told) == 1


async def test_last_uses_wait_for_nobody_and_nobody_for_them(town: Town) -> None:
    store = await town.gateway()
    for name in ("k1", "k2"):
        await store.keys.add(key_record(name))

    async def use(at_ms: int, *names: str) -> None:
        def is_written() -> bool:
            town.clock.at_ms += 2_000  # they are not written all the time
            statement = f"SELECT last_used_ms FROM keys WHERE id = '{names[-1]}'"
            return town.ask(statement) == [(at_ms,)]

        for name in names:
            store.keys.used(name, at_ms)
        await until(is_written)

    async with await town.connect() as other, other.transaction():
        await other.execute("SELECT FROM keys WHERE id = 'k1' FOR UPDATE")  # somebody changes it
        await use(NOON_MS + 7, "k1", "k2")
    await use(NOON_MS + 6, "k1")
    await use(NOON_MS + 8, "k2", "k1")
    await use(NOON_MS + 9, "k1")
    assert town.ask("SELECT last_used_ms FROM keys WHERE id = 'k2'") == [(NOON_MS + 8,)]


async def test_a_flood_of_look_ups_is_a_few_questions(desk: Desk) -> None:
    looking = [asyncio.create_task(desk.keys.find("k1")) for _ in range(300)]
    looking += [asyncio.create_task(desk.keys.find(f"stranger{n}")) for n in range(1_200)]
    await desk.database.has_answered()
    leaving = asyncio.create_task(desk.keys.find("nobody"))
    await asyncio.sleep(0)
    leaving.cancel()
    desk.database.may_arrive.set()
    found = await asyncio.gather(*looking)
    assert found == [LIVE] * 300 + [None] * 1_200
    assert desk.database.asked <= 5


async def test_a_flood_of_look_ups_is_refused_when_the_database_goes(desk: Desk) -> None:
    looking = [asyncio.create_task(desk.keys.find(f"k{n}")) for n in range(20)]
    await desk.database.has_answered()
    more = asyncio.create_task(desk.keys.find("k1"))
    await asyncio.sleep(0)
    await desk.database.close()
    desk.database.may_arrive.set()
    assert (await asyncio.gather(*looking))[1] == LIVE
    with pytest.raises(StoreError):
        await more
