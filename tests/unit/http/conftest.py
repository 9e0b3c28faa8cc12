"""Fixtures of the edge's tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ledger_world import PATIENCE_S
from tokenward.store.sqlite import SqliteStore
from unit.http.admin_world import MovingClock, World


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """An admin door over an empty store."""
    clock = MovingClock()
    store = await SqliteStore.open(tmp_path / "data", clock=clock, commit_limit_s=PATIENCE_S)
    yield World(store, clock)
    await store.close()
