"""The database is late, gone, or does not say how it ended: nothing hangs, nothing stays held."""

import asyncio
from contextlib import nullcontext
from pathlib import Path

import pytest

import postgres_world
from ledger_world import NOON_MS, ask, cap, charge, standing, taken
from postgres_server import PostgresServer, running_postgres
from postgres_world import PATIENCE_S, Town, Wire
from tokenward.kernel.errors import StoreBusyError, StoreError
from tokenward.ledger.records import Hold, Settlement
from tokenward.store.postgres.line import Line
from tokenward.store.postgres.store import PostgresStore
from tokenward.store.postgres.writing import LOCK

LIMIT_S = 2.0
"""Short enough to wait for, and longer than a busy disk takes as a rule."""
COMMIT = b"COMMIT"
HOLDS = "SELECT count(*) FROM holds"
KINDS = "SELECT string_agg(kind, ' ' ORDER BY seq) FROM entries WHERE hold > 0"


async def back_in_service(store: PostgresStore) -> None:
    """Wait until the database is trusted again."""
    async with asyncio.timeout(PATIENCE_S):
        while store.database.why_not_ready:
            await asyncio.sleep(0.01)


@pytest.mark.req("O-2")
async def test_a_database_that_does_not_answer_is_refused_and_then_not_asked(
    town: Town, wire: Wire
) -> None:
    store = await town.gateway(wire.port, commit_limit_s=LIMIT_S)
    taken(await store.ledger.hold(ask(5)))
    wire.is_hushed = True
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(StoreBusyError):
            await store.ledger.hold(ask(5))
        while not store.database.why_not_ready:
            await asyncio.sleep(0.001)  # who asked is told a moment before
        before = wire.connections
        for _ in range(100):
            with pytest.raises(StoreBusyError):
                await store.ledger.hold(ask(5))
            with pytest.raises(StoreBusyError):
                await store.books.last_event()
    assert wire.connections - before < 10, "only the probe and the feed knock"
    wire.heal()
    wire.cut()
    await back_in_service(store)
    taken(await store.ledger.hold(ask(5)))
    await town.until(HOLDS, 2)


async def test_a_read_that_is_stuck_ends(town: Town, wire: Wire) -> None:
    store = await town.gateway(wire.port, commit_limit_s=LIMIT_S)
    wire.is_hushed = True
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(StoreBusyError):
            await store.books.head()


async def test_a_hold_that_was_kept_and_not_heard_of_is_given_back(town: Town, wire: Wire) -> None:
    store = await town.gateway(wire.port, commit_limit_s=LIMIT_S)
    await store.ledger.set_cap(cap("key:k1", "0/day", limit=100))
    taken(await store.ledger.hold(ask(10)))
    wire.hush_at = COMMIT
    with pytest.raises(StoreBusyError):
        await store.ledger.hold(ask(60))
    assert wire.fired.is_set()
    wire.heal()
    await back_in_service(store)
    await town.until(KINDS, "hold hold void")
    status = await standing(store, town.clock, "key:k1")
    assert (status.spent, status.held, status.running) == (0, 10, 1)


async def test_a_hold_whose_connection_breaks_at_the_commit_is_refused_and_given_back(
    town: Town, wire: Wire
) -> None:
    """The gateway hears that it was kept by asking for the last entry."""
    store = await town.gateway(wire.port)
    taken(await store.ledger.hold(ask(10)))
    wire.hush_at = COMMIT
    asked = asyncio.create_task(store.ledger.hold(ask(60)))
    await wire.fired.wait()
    await town.until(HOLDS, 2)
    wire.heal()
    wire.cut()
    with pytest.raises(StoreBusyError):
        await asked
    await town.until(HOLDS, 1)
    await back_in_service(store)


async def test_a_settlement_that_was_kept_and_not_heard_of_is_posted_once(
    town: Town, wire: Wire
) -> None:
    store = await town.gateway(wire.port, commit_limit_s=LIMIT_S)
    await store.ledger.set_cap(cap("key:k1", "0/day", limit=100))
    hold = taken(await store.ledger.hold(ask(60)))
    wire.hush_at = COMMIT
    with pytest.raises(StoreBusyError):
        await store.ledger.settle(hold, charge(40), NOON_MS)
    wire.heal()
    await back_in_service(store)
    again = await store.ledger.settle(hold, charge(40), NOON_MS)
    assert again == Settlement(state="settled", cost_nusd=40, overrun_nusd=0)
    assert town.ask(KINDS) == [("hold settle",)]
    assert (await standing(store, town.clock, "key:k1")).spent == 40


async def test_what_never_arrived_is_no_hold_and_a_settlement_is_made_later(
    town: Town, wire: Wire
) -> None:
    store = await town.gateway(wire.port, commit_limit_s=LIMIT_S)
    hold = taken(await store.ledger.hold(ask(60)))
    wire.lose_at = COMMIT
    answers = await asyncio.gather(
        store.ledger.hold(ask(5)),
        store.ledger.settle(hold, charge(40), NOON_MS),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [StoreBusyError] * 2
    wire.heal()
    await town.until(KINDS, "hold settle")
    await back_in_service(store)
    assert (await store.ledger.settle(hold, charge(40), NOON_MS)).cost_nusd == 40
    assert town.ask(HOLDS) == [(0,)]


async def test_a_change_that_was_not_heard_of_is_no_silent_success(town: Town, wire: Wire) -> None:
    store = await town.gateway(wire.port, commit_limit_s=LIMIT_S)
    wire.hush_at = COMMIT
    with pytest.raises(StoreError, match="did not say whether"):
        await store.books.create_account("acme", NOON_MS)
    wire.heal()
    await back_in_service(store)
    await town.until("SELECT count(*) FROM accounts", 1)
    assert not await store.books.create_account("acme", NOON_MS), "asked again it is harmless"


@pytest.mark.parametrize("is_piped", [False, True], ids=["a word at a time", "in one go"])
async def test_a_gateway_that_stops_with_the_lock_holds_nobody_up_for_long(
    town: Town, is_piped: bool
) -> None:
    """Killed, or stopped, between taking the lock and the commit; the server has a clock that a
    pipeline turns off, and one that it does not."""
    store = await town.gateway()
    url = town.server.url(town.database)
    killed = await Line.open(url, "killed", PATIENCE_S)
    await killed.connection.execute("BEGIN")
    await killed.connection.execute(LOCK)
    asked = asyncio.create_task(store.ledger.hold(ask(5)))
    killed.cut()
    taken(await asked)
    stopped = await Line.open(url, "stopped", LIMIT_S)
    async with stopped.connection.pipeline() if is_piped else nullcontext():
        await stopped.connection.execute("BEGIN")
        await stopped.connection.execute(LOCK)
    taken(await store.ledger.hold(ask(5)))
    killed.close()
    stopped.close()


async def test_a_lost_connection_that_nobody_used_is_replaced_without_a_word(
    town: Town, wire: Wire
) -> None:
    store = await town.gateway(wire.port)
    taken(await store.ledger.hold(ask(5)))
    await store.books.last_event()
    wire.cut()
    await asyncio.sleep(0.05)
    await store.books.last_event()
    taken(await store.ledger.hold(ask(5)))


@pytest.mark.req("O-4")
@pytest.mark.req("K-2")
@pytest.mark.parametrize("is_killed", [False, True], ids=["restarted", "killed"])
async def test_the_database_is_restarted_under_load_and_all_go_on_by_themselves(
    tmp_path: Path, is_killed: bool
) -> None:
    with running_postgres() as server:
        async with postgres_world.town(server, tmp_path) as town:
            await _restart_under_load(server, town, is_killed)


async def _restart_under_load(server: PostgresServer, town: Town, is_killed: bool) -> None:
    stores = [await town.gateway(commit_limit_s=LIMIT_S) for _ in range(3)]
    await stores[0].ledger.set_cap(cap("key:k1", "0/day", limit=10**9))
    is_over = False
    refusals, bill = 0, 0

    async def caller(store: PostgresStore, number: int) -> None:
        nonlocal refusals, bill
        while not is_over:
            try:
                answer = await store.ledger.hold(ask(9, request_id=f"r{number}"))
            except StoreError:
                refusals += 1
                await asyncio.sleep(0.01)
                continue
            assert isinstance(answer, Hold)
            bill += 7  # the provider has been paid, whatever the database says
            asyncio.ensure_future(
                store.ledger.settle(answer, charge(7), NOON_MS)
            ).add_done_callback(lambda done: done.exception())
            await asyncio.sleep(0)

    callers = [
        asyncio.create_task(caller(store, number)) for store in stores for number in range(12)
    ]
    await asyncio.sleep(0.3)
    for _ in range(1 if is_killed else 2):
        await asyncio.to_thread(server.kill if is_killed else server.stop)
        await asyncio.to_thread(server.start)
        for store in stores:
            await back_in_service(store)
            taken(await _first(store))
    backends = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
    assert town.ask(backends)[0][0] <= 3 * 8 + 1
    is_over = True
    await asyncio.gather(*callers)
    assert refusals > 0, "it was really gone"
    await town.until("SELECT count(*) FROM holds WHERE request_id <> 'first'", 0)
    status = await standing(stores[0], town.clock, "key:k1")
    assert status.spent >= bill


async def _first(store: PostgresStore) -> Hold:
    while True:
        try:
            return taken(await store.ledger.hold(ask(9, request_id="first")))
        except StoreError:
            await asyncio.sleep(0.01)
