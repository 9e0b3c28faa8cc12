"""Servers that a file of tests may break."""

from collections.abc import Iterator

import pytest

from postgres_server import PostgresServer, running_postgres
from valkey_server import ValkeyServer


@pytest.fixture(scope="module")
def servers(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[PostgresServer, ValkeyServer]]:
    """Of this file alone: others run beside it."""
    valkey = ValkeyServer(tmp_path_factory.mktemp("valkey")).start()
    with running_postgres() as postgres:
        yield postgres, valkey
    valkey.stop()
