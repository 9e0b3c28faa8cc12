"""A guard with a token service."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from unit.http.oauth.token_world import MovingClock, TokenWorld


@pytest.fixture
async def world(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[TokenWorld]:
    """Over an empty store; a test may give more settings of `[oauth]` as the parameter."""
    world = TokenWorld(MovingClock())
    await world.open(tmp_path, getattr(request, "param", ""))
    yield world
    await world.close()
