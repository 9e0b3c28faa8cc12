"""Who may run beside whom, and who is dead."""

import asyncio
from functools import partial

import pytest

from postgres_world import Town, until
from tokenward.kernel.errors import StoreError
from tokenward.store.postgres.database import Database
from tokenward.store.postgres.gateways import DEAD_S, Gateway, leave, register

AGE = f"UPDATE gateways SET seen = seen - interval '{DEAD_S} seconds'"


@pytest.fixture
async def database(town: Town) -> Database:
    """The database of a town where nobody lives."""
    store = await town.gateway()
    await store.feed.stop()
    return store.database


async def come(database: Database, name: str, host: str, *, is_alone: bool) -> None:
    me = Gateway(id=name, host=host, version="1", is_alone=is_alone)
    await database.change(partial(register, me))


async def go(database: Database, name: str) -> None:
    await database.write(partial(leave, gateway_id=name))


async def test_without_shared_hot_state_a_gateway_on_another_host_is_not_let_in(
    town: Town, database: Database
) -> None:
    await come(database, "a", "one", is_alone=True)
    await come(database, "b", "one", is_alone=True)
    for is_alone in (True, False):
        with pytest.raises(StoreError, match="a gateway on one uses the same database"):
            await come(database, "c", "two", is_alone=is_alone)
    await go(database, "a")
    with pytest.raises(StoreError, match="a gateway on one"):
        await come(database, "c", "two", is_alone=False)
    town.ask(AGE)
    await come(database, "c", "two", is_alone=False)
    with pytest.raises(StoreError, match="share no Valkey"):
        await come(database, "d", "one", is_alone=True)
    await come(database, "d", "one", is_alone=False)
    for name in "bcd":
        await go(database, name)


async def test_of_two_that_come_at_once_one_is_let_in(database: Database) -> None:
    came = await asyncio.gather(
        *(come(database, host, host, is_alone=True) for host in ("one", "two", "three")),
        return_exceptions=True,
    )
    assert sorted(type(one).__name__ for one in came) == ["NoneType", "StoreError", "StoreError"]
    for host in ("one", "two", "three"):
        await go(database, host)


async def test_one_that_was_asleep_stays_out_where_another_took_its_place(town: Town) -> None:
    asleep = await town.gateway()
    town.ask("DELETE FROM gateways")
    town.ask("INSERT INTO gateways (id, host, version, alone) VALUES ('new', 'two', '1', true)")
    await until(lambda: asleep.feed.trouble != "")
    town.clock.at_ms += 800
    assert not asleep.view.is_fresh()
    assert "a gateway on two" in asleep.why_not_ready
    town.ask("DELETE FROM gateways")
    await until(asleep.view.is_fresh)
    await until(lambda: asleep.why_not_ready == "")


async def test_what_must_be_alone_is_refused_while_a_gateway_runs(town: Town) -> None:
    """`tokenward restore` freezes keys, and puts this machine's mark alone."""
    running = await town.gateway()
    with pytest.raises(StoreError, match="uses these records, and none may meanwhile"):
        await town.gateway(serves=False, is_alone=True)
    await (await town.gateway(serves=False)).close()
    await running.close()
    await (await town.gateway(serves=False, is_alone=True)).close()
