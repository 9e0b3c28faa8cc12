"""Who is taken for dead: not who was silent because the database was away."""

import asyncio
import math
from functools import partial

import pytest

from ledger_world import NOON_MS, ask, cap, charge, key_record, standing, taken
from postgres_world import PATIENCE_S, Town, Wire, until
from tokenward.machine import RealClock
from tokenward.store.postgres import changes, gateways
from tokenward.store.postgres.changes import ChangeFeed
from tokenward.store.postgres.database import Database
from tokenward.store.postgres.gateways import DEAD_S, DeathWatch, Gateway, leave, register, say_here
from tokenward.store.postgres.store import PostgresStore

AGE = f"UPDATE gateways SET seen = seen - interval '{DEAD_S} seconds'"
HOLDS = "SELECT count(*) FROM holds"
DROP_FEEDS = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
    "WHERE application_name = 'tokenward feed' AND datname = current_database()"
)


class Ear:
    """Since when who judges hears all; how often it was asked for."""

    def __init__(self) -> None:
        self.since_s = NOON_MS / 1000
        self.looks = 0

    def __call__(self) -> float:
        self.looks += 1
        return self.since_s


@pytest.fixture
async def database(town: Town) -> Database:
    """The database of a town where nobody lives."""
    store = await town.gateway()
    await store.feed.stop()
    return store.database


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second of silence is enough."""
    monkeypatch.setattr(gateways, "WATCHED_S", 0.5)


async def come(database: Database, *names: str) -> None:
    for name in names:
        me = Gateway(id=name, host="one", version="1", is_alone=False)
        await database.change(partial(register, me))


async def chores_until(judge: PostgresStore, town: Town, holds: int) -> None:
    """Do the chores again and again until so many holds are left."""
    async with asyncio.timeout(PATIENCE_S):
        while town.ask(HOLDS) != [(holds,)]:
            await judge.chores(NOON_MS, 0)
            await asyncio.sleep(0.02)


async def test_who_is_unseen_for_fifteen_seconds_and_silent_for_the_last_five_is_dead(
    town: Town, database: Database
) -> None:
    await come(database, "gone", "here")
    watch = DeathWatch(town.clock, Ear())
    assert await watch.bury(database) == []
    town.clock.at_ms += 5_000
    assert await watch.bury(database) == [], "seen just now, by the database's clock"
    town.ask(AGE)
    assert await watch.bury(database) == [], "after an outage all are"
    town.clock.at_ms += 4_999
    await database.write(partial(say_here, gateway_id="here"))
    assert await watch.bury(database) == []
    town.clock.at_ms += 1
    assert await watch.bury(database) == ["gone"]
    assert town.ask("SELECT id FROM gateways") == [("here",)]
    town.clock.at_ms += 60_000
    assert await watch.bury(database) == []
    await database.write(partial(leave, gateway_id="here"))


async def test_who_did_not_hear_all_the_time_judges_nobody(town: Town, database: Database) -> None:
    await come(database, "gone")
    town.ask(AGE)
    ear = Ear()
    watch = DeathWatch(town.clock, ear)
    assert await watch.bury(database) == []
    town.clock.at_ms += 6_000
    ear.since_s = math.inf
    assert await watch.bury(database) == [], "it does not hear"
    town.clock.at_ms += 6_000
    ear.since_s = town.clock.monotonic_s() - 1
    assert await watch.bury(database) == [], "it hears again since a second ago"
    town.clock.at_ms += 4_999
    assert await watch.bury(database) == []
    town.clock.at_ms += 1
    assert await watch.bury(database) == ["gone"]


@pytest.mark.parametrize("what", ["said", "not heard"])
async def test_what_happens_between_the_look_and_the_burial_counts(
    town: Town, database: Database, what: str
) -> None:
    await come(database, "late")
    town.ask(AGE)

    class LastMoment(Ear):
        def __call__(self) -> float:
            if super().__call__() and self.looks == 2:
                if what == "not heard":
                    return math.inf
                town.ask("UPDATE gateways SET seen = clock_timestamp()")
            return self.since_s

    ear = LastMoment()
    watch = DeathWatch(town.clock, ear)
    assert await watch.bury(database) == []
    town.clock.at_ms += 5_000
    assert await watch.bury(database) == []
    assert ear.looks == 2, "at the look, and again under the lock"
    assert town.ask("SELECT id FROM gateways") == [("late",)]
    await database.write(partial(leave, gateway_id="late"))


@pytest.mark.usefixtures("soon")
async def test_after_an_outage_holds_of_gateways_that_come_back_later_stay_open(
    town: Town, wire: Wire
) -> None:
    judge, living = await town.gateway(clock=RealClock()), await town.gateway(wire.port)
    assert await judge.is_leader()
    await living.ledger.set_cap(cap("key:k1", "0/day", limit=1_000))
    hold = taken(await living.ledger.hold(ask(60)))
    wire.is_hushed = True
    await until(lambda: living.feed.trouble != "")
    town.ask(AGE)
    await judge.chores(NOON_MS, 0)
    assert town.ask(HOLDS) == [(1,)], "the judge is back first"
    newcomer = await town.gateway()
    assert newcomer.orphans == 0
    assert town.ask(HOLDS) == [(1,)], "nor does one judge that was just started"
    wire.heal()
    wire.cut()
    await until(living.view.is_fresh)
    for _ in range(3):
        await asyncio.sleep(0.3)
        await judge.chores(NOON_MS, 0)
    await until(lambda: not living.why_not_ready)
    settled = await living.ledger.settle(hold, charge(10), NOON_MS)
    assert (settled.state, settled.cost_nusd) == ("settled", 10)
    status = await standing(judge, town.clock, "key:k1")
    assert (status.spent, status.held) == (10, 0)


@pytest.mark.usefixtures("soon")
async def test_holds_of_a_gateway_that_stays_silent_are_closed_at_full_price(
    town: Town, wire: Wire
) -> None:
    judge, dead = await town.gateway(clock=RealClock()), await town.gateway(wire.port)
    assert await judge.is_leader()
    await dead.ledger.set_cap(cap("key:k1", "0/day", limit=1_000))
    taken(await dead.ledger.hold(ask(60)))
    wire.is_hushed = True
    await until(lambda: dead.feed.trouble != "")
    town.ask(AGE)
    await chores_until(judge, town, 0)
    status = await standing(judge, town.clock, "key:k1")
    assert (status.spent, status.held) == (60, 0)


@pytest.mark.parametrize("what", ["a lapse", "a new connection"])
async def test_a_feed_says_since_when_it_hears_without_a_break(
    town: Town, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(changes, "REFRESH_EVERY_S", 1_000.0)
    monkeypatch.setattr(changes, "ANSWER_LIMIT_S", PATIENCE_S)
    store = await town.gateway()
    start_s = town.clock.monotonic_s()
    assert store.feed.heard_since_s == start_s
    town.clock.at_ms += 500
    store.feed.poke()
    await until(lambda: store.view._until_s > start_s + 0.8)
    assert store.feed.heard_since_s == start_s, "refreshed in time"
    if what == "a lapse":
        town.clock.at_ms += 800
        assert store.feed.heard_since_s == math.inf
    else:
        town.clock.at_ms += 100
        town.ask(DROP_FEEDS)
    store.feed.poke()
    now_s = town.clock.monotonic_s()
    await until(lambda: store.feed.heard_since_s == now_s)
    await store.feed.stop()
    assert store.feed.heard_since_s == math.inf


async def test_who_comes_back_says_so_before_it_compares_what_it_knows(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To compare many keys with a database that was just started takes long."""
    store = await town.gateway()
    await store.keys.add(key_record())
    may_compare = asyncio.Event()
    start_anew = ChangeFeed._start_anew

    async def slowly(feed: ChangeFeed, connection: object) -> None:
        await may_compare.wait()
        await start_anew(feed, connection)

    monkeypatch.setattr(ChangeFeed, "_start_anew", slowly)
    town.ask(DROP_FEEDS)
    await until(lambda: store.feed.trouble != "")
    town.ask(AGE)
    try:
        await town.until(
            f"SELECT seen > now() - interval '{DEAD_S} s' FROM gateways", expected=True
        )
    finally:
        may_compare.set()
    await until(lambda: store.feed.trouble == "")
