"""Every store passes the same suites; another engine joins by standing in `ENGINES`."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ledger_world import MovingClock, Opener, open_sqlite
from tokenward.store.sqlite import SqliteStore

ENGINES = {"sqlite": open_sqlite}


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock()


@pytest.fixture(params=sorted(ENGINES))
async def reopen(
    request: pytest.FixtureRequest, tmp_path: Path, clock: MovingClock
) -> AsyncIterator[Opener]:
    """Opens the store of this test; again after it was closed, with what it kept."""
    opened: list[SqliteStore] = []

    async def opener() -> SqliteStore:
        if opened:
            await opened.pop().close()
        opened.append(await ENGINES[request.param](tmp_path / "data", clock))
        return opened[0]

    yield opener
    for store in opened:
        await store.close()


@pytest.fixture
async def store(reopen: Opener) -> AsyncIterator[SqliteStore]:
    """A fresh store; whatever a test did to it, its books must be provably right at the end."""
    store = await reopen()
    yield store
    if not store.database.is_closed:
        assert await store.books.audit() == []
