"""A server for the tests of a module; what one test leaves there another must not trip over."""

from collections.abc import AsyncIterator, Iterator

import pytest

from hot_engines import open_hot
from tokenward.store.valkey import HotState
from valkey_server import ValkeyServer, running_server


@pytest.fixture(scope="module")
def server_of_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    with running_server(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def server(server_of_module: ValkeyServer) -> ValkeyServer:
    """Empty, with none of our functions."""
    server_of_module.ask("FLUSHALL")
    server_of_module.ask("FUNCTION", "FLUSH")
    return server_of_module


@pytest.fixture
async def hot(server: ValkeyServer) -> AsyncIterator[HotState]:
    """A gateway's hot state on it."""
    async with open_hot(server.url.reveal()) as opened:
        yield opened
