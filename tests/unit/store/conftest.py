"""A store in a folder of the test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ledger_world import MovingClock, open_sqlite
from tokenward.store.sqlite import SqliteStore


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock()


@pytest.fixture
async def store(tmp_path: Path, clock: MovingClock) -> AsyncIterator[SqliteStore]:
    opened = await open_sqlite(tmp_path / "data", clock)
    yield opened
    await opened.close()
