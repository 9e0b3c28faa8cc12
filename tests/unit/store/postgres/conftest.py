"""A database of the test's own, gateways on it, and a wire to break."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import postgres_world
from postgres_server import PostgresServer
from postgres_world import Town, Wire


@pytest.fixture
async def town(postgres: PostgresServer, tmp_path: Path) -> AsyncIterator[Town]:
    """Gateways on one database."""
    async with postgres_world.town(postgres, tmp_path) as place:
        yield place


@pytest.fixture
async def wire(postgres: PostgresServer) -> AsyncIterator[Wire]:
    """A way to the server that breaks when a test says so."""
    async with postgres_world.wire(postgres) as one:
        yield one
