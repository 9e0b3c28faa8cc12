"""Every store passes the same suites; another engine joins by standing in `engines.ENGINES`.

A test of one engine only says so: `@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)`.
"""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from engines import ENGINES, AnyStore, Engine, Opener, PostgresEngine, SqliteEngine, give_back
from ledger_world import MovingClock


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock()


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path: Path, clock: MovingClock) -> Iterator[Engine]:
    """Where the books of this test are kept."""
    if request.param == "sqlite":
        yield SqliteEngine(tmp_path / "data", clock)
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
    if not store.database.is_closed:
        assert await store.books.audit() == []
