"""PostgreSQL and Valkey for gateways that are measured: real servers on loopback, from wheels."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.postgres_server import PostgresServer, running_postgres
from tests.valkey_server import ValkeyServer, running_server

from benchmarks import processes
from benchmarks.rig import StoreUrls


@dataclass(frozen=True, kw_only=True)
class SharedStores:
    """One server of each kind. PostgreSQL writes to the disk before it answers, as by default."""

    postgres: PostgresServer
    valkey: ValkeyServer

    def urls(self) -> StoreUrls:
        """A database of its own, and the one Valkey: for guards with the same secrets."""
        records = self.postgres.url(self.postgres.create())
        return StoreUrls(records=records, hot=f"valkey://127.0.0.1:{self.valkey.port}")

    def family(self) -> list[int]:
        """All processes of both."""
        pid_file = self.postgres.folder / "data" / "postmaster.pid"
        postgres = int(pid_file.read_text("utf-8").splitlines()[0])
        return processes.families((postgres, self.valkey.pid))


@contextmanager
def running_stores() -> Iterator[SharedStores]:
    """Both, empty; gone when this ends."""
    with (
        TemporaryDirectory(prefix="tokenward-benchmark-") as folder,
        running_postgres() as postgres,
        running_server(Path(folder)) as valkey,
    ):
        yield SharedStores(postgres=postgres, valkey=valkey)
