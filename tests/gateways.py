"""Several guards on one PostgreSQL and one Valkey: real processes and servers, on loopback."""

import shutil
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg

from books import Booked, read_booked
from guard import START_LIMIT_S, GuardProcess, provider_settings
from postgres_server import PostgresServer
from standin import StandinProcess
from valkey_server import ValkeyServer

SECRETS = ("pepper", "master.key", "admin.token")


class Gateways:
    """Guards that share records, hot state, secrets and settings; each has a folder of its own."""

    def __init__(
        self,
        folder: Path,
        standin: StandinProcess,
        records_urls: list[str],
        hot_urls: list[str],
        more: str = "",
    ) -> None:
        """One guard for each pair of URLs: their ways to the servers may differ."""
        environ = {"PROVIDER_KEY": standin.credential, "TOKENWARD_LEDGER__COMMIT_LIMIT_S": "0.75"}

        def make(number: int) -> GuardProcess:
            settings = provider_settings(standin.base_url)
            records, hot = records_urls[number], hot_urls[number]
            settings += f'\n[store]\nrecords = "{records}"\nhot = "{hot}"\n{more}'
            return GuardProcess(folder / f"gateway-{number}", settings, environ)

        with ThreadPoolExecutor() as threads:
            self.all = list(threads.map(make, range(len(records_urls))))
        first, *others = self.all
        for guard in others:
            guard.admin_token = first.admin_token
            for name in SECRETS:
                shutil.copy(first.folder / "data" / name, guard.folder / "data" / name)

    @property
    def running(self) -> list[GuardProcess]:
        """Those that run now."""
        return [guard for guard in self.all if guard.is_running]

    def start(self) -> None:
        """All of them."""
        with ThreadPoolExecutor() as threads:
            list(threads.map(start_patiently, self.all))

    def stop(self) -> None:
        """Those that run, in good order."""
        with ThreadPoolExecutor() as threads:
            statuses = list(threads.map(GuardProcess.stop, self.running))
        assert not any(statuses), [guard.log() for guard in self.all]


def start_patiently(guard: GuardProcess) -> None:
    """Start it; again, as a service manager would, where its servers were just too slow: then it
    says so and ends."""
    until = time.monotonic() + START_LIMIT_S
    while True:
        before = len(guard.log())
        try:
            return guard.start()
        except AssertionError:
            is_late = '"code":"fault:store' in guard.log()[before:]
            if not is_late or time.monotonic() > until:
                raise


@contextmanager
def running_gateways(
    folder: Path,
    standin: StandinProcess,
    postgres: PostgresServer,
    valkey: ValkeyServer,
    count: int,
    more: str = "",
    ports: Mapping[str, int] | None = None,
) -> Iterator[tuple[Gateways, str]]:
    """`count` guards on a database of their own, and its name. `ports`: where a proxy stands in
    front of `postgres` or `valkey`."""
    ports = ports or {}
    database = postgres.create()
    records = postgres.url(database, ports.get("postgres"))
    hot = f"valkey://127.0.0.1:{ports.get('valkey', valkey.port)}"
    gateways = Gateways(folder, standin, [records] * count, [hot] * count, more)
    gateways.start()
    try:
        yield gateways, database
    finally:
        gateways.stop()


def booked_in(postgres: PostgresServer, database: str) -> dict[str, Booked]:
    """Every hold in the database by request id."""
    query = "SELECT kind, hold, nusd, estimate, detail FROM entries WHERE hold > 0 ORDER BY seq"
    with psycopg.connect(postgres.url(database)) as connection:
        return read_booked(connection.execute(query).fetchall())


def open_holds(postgres: PostgresServer, database: str) -> int:
    """How many holds have not ended."""
    return int(postgres.execute("SELECT count(*) FROM holds", database)[0][0])
