"""Tables are made and brought forward by whoever comes first, beside gateways that run."""

import asyncio
from collections.abc import Iterator

import pytest

from ledger_world import NOON_MS, MovingClock, ask, charge, taken
from postgres_server import PostgresServer
from postgres_world import PATIENCE_S, Town
from tokenward.kernel.errors import StoreError
from tokenward.store.postgres.database import Database
from tokenward.store.postgres.layout import LAYOUT, Step, bring_forward, steps

ADDS = Step(
    LAYOUT + 1, 1, "-- needs: 1\nALTER TABLE holds ADD COLUMN colour text NOT NULL DEFAULT ''"
)
BREAKS = Step(LAYOUT + 1, LAYOUT + 1, "-- needs: later\nALTER TABLE holds ADD COLUMN shape text")


@pytest.fixture
def empty(postgres: PostgresServer) -> Iterator[str]:
    """A database without any table."""
    name = postgres.create()
    yield name
    postgres.drop(name)


async def test_gateways_that_start_at_once_make_the_tables_once(
    postgres: PostgresServer, empty: str
) -> None:
    url = postgres.url(empty)
    opened = await asyncio.gather(
        *(Database.open(url, MovingClock(), commit_limit_s=PATIENCE_S) for _ in range(6))
    )
    rows = await opened[0].fetch("SELECT number, needs FROM layout")
    assert rows == [(LAYOUT, steps()[-1].needs)]
    for database in opened:
        await database.close()


async def test_a_step_with_data_in_the_tables_leaves_the_version_before_at_work(
    town: Town,
) -> None:
    """A rolling upgrade: the new one migrates while the old one serves, and the old one may also
    start again."""
    old = await town.gateway()
    before = taken(await old.ledger.hold(ask(5)))
    await bring_forward(town.server.url(town.database), [*steps(), ADDS])
    await old.ledger.settle(before, charge(3), NOON_MS)
    taken(await old.ledger.hold(ask(5)))
    again = await town.gateway()
    taken(await again.ledger.hold(ask(5)))
    assert town.ask("SELECT number, needs FROM layout") == [(ADDS.number, 1)]


async def test_a_layout_that_this_version_cannot_work_with_stops_it_also_while_it_runs(
    town: Town,
) -> None:
    old = await town.gateway()
    taken(await old.ledger.hold(ask(5)))
    await bring_forward(town.server.url(town.database), [*steps(), BREAKS])
    with pytest.raises(StoreError, match="newer tokenward"):
        await old.ledger.hold(ask(5))
    with pytest.raises(StoreError, match="newer tokenward"):
        await town.gateway()
    town.ask(f"UPDATE layout SET needs = {LAYOUT}")  # so that the books can be looked at


async def test_a_step_that_fails_leaves_nothing_behind(
    postgres: PostgresServer, empty: str
) -> None:
    url = postgres.url(empty)
    bad = Step(LAYOUT + 1, 1, "CREATE TABLE half (id int); SELECT 1 / 0")
    with pytest.raises(StoreError, match="layout"):
        await bring_forward(url, [*steps(), bad])
    assert postgres.execute("SELECT number FROM layout", empty) == [(LAYOUT,)]
    assert postgres.execute("SELECT to_regclass('half')", empty) == [(None,)]
    await bring_forward(url)


async def test_a_database_that_is_not_there_is_said_without_its_password(
    postgres: PostgresServer,
) -> None:
    with pytest.raises(StoreError) as caught:
        await Database.open(postgres.url("nowhere"), MovingClock())
    assert "nowhere" in str(caught.value)
    assert postgres.password not in str(caught.value)


@pytest.mark.parametrize("statement", ["UPDATE entries SET nusd = 0", "TRUNCATE entries"])
async def test_entries_are_never_changed_not_even_all_at_once(town: Town, statement: str) -> None:
    """L7."""
    store = await town.gateway()
    await store.ledger.hold(ask(5))
    with pytest.raises(StoreError, match="a correction is a new entry"):
        await store.database.fetch(statement)  # type: ignore[arg-type]
