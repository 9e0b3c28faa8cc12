"""Every store passes the same suites; another engine joins by standing in `engines.ENGINES`.

A test of one engine only says so: `@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)`.
"""

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from engines import (
    ENGINES,
    AnyStore,
    Engine,
    Opener,
    PostgresEngine,
    SqliteEngine,
    WorkersEngine,
    give_back,
)
from hot_engines import GATEWAYS, OpenHot, open_gateways, running_engine
from ledger_world import MovingClock


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock()


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path: Path, clock: MovingClock) -> Iterator[Engine]:
    """Where the books of this test are kept."""
    if request.param != "postgres":
        on_disk = {"sqlite": SqliteEngine, "workers": WorkersEngine}[request.param]
        yield on_disk(tmp_path / "data", clock)
        return
    server = request.getfixturevalue("postgres")
    one = PostgresEngine(server, tmp_path / "data", clock)
    yield one
    if one.database:
        give_back(server, one.database)


@pytest.fixture
async def reopen(engine: Engine) -> AsyncIterator[Opener]:
    """Opens the store of this test; again after it was closed, with what it kept."""
    opened: list[AnyStore] = []

    async def opener() -> AnyStore:
        if opened:
            await opened.pop().close()
        opened.append(await engine.open())
        return opened[0]

    yield opener
    for store in opened:
        await store.close()


@pytest.fixture
async def store(reopen: Opener) -> AsyncIterator[AnyStore]:
    """A fresh store; whatever a test did to it, its books must be provably right at the end."""
    store = await reopen()
    yield store
    assert await store.books.audit() == []


@pytest.fixture(params=GATEWAYS, scope="module")
def gateways_at(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """What counts for the gateways of this module's tests."""
    with running_engine(request.param, tmp_path_factory.mktemp("engine")) as place:
        yield place


@pytest.fixture
async def opened_hot(
    gateways_at: str, clock: MovingClock, tmp_path: Path
) -> AsyncIterator[OpenHot]:
    """Opens another gateway; of one process they are the same."""
    async with open_gateways(gateways_at, tmp_path / "data", clock) as opener:
        yield opener


@pytest.fixture
def key() -> str:
    """A key that no other test limits."""
    return uuid.uuid4().hex[:12]
