"""Where a command goes: to the guard that holds the records, or to this process."""

import asyncio
import fcntl
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import crowds
from tokenward.cli import admin_client, guard_file
from tokenward.cli.admin_client import Command, LostError, in_process, over_http
from tokenward.cli.guard_file import GuardAddress
from tokenward.kernel.secret import Secret
from tokenward.store.sqlite.folder import open_writer
from unit.cli.command import Shell, held

TOKEN = Secret("t" * 32, "admin token")
STATUS = Command(method="GET", path="/status")


class Guard(BaseHTTPRequestHandler):
    """Answers like a guard and remembers what it was asked."""

    seen: list[tuple[str, str, dict[str, str], bytes]] = []
    answer: tuple[int, bytes] = (200, b"[]")

    def _do(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.seen.append((self.command, self.path, dict(self.headers), body))
        status, text = self.answer
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self) -> None:
        """Called by the library, as are the others."""
        self._do()

    def do_POST(self) -> None:
        self._do()

    def log_message(self, *words: Any) -> None:
        """Quiet."""


@contextmanager
def serving(handler: type[Guard]) -> Iterator[GuardAddress]:
    """Somebody on loopback who answers as the handler does."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield GuardAddress(os.getpid(), "127.0.0.1", server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def answering(status: int, text: bytes) -> Iterator[tuple[GuardAddress, type[Guard]]]:
    """Somebody on loopback who answers every request with this."""
    handler = type("Answering", (Guard,), {"seen": [], "answer": (status, text)})
    with serving(handler) as address:
        yield address, handler


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_client, "FIND_WAIT_S", 0.2)


def test_a_running_guard_gets_the_command_with_the_token(shell: Shell) -> None:
    token = (shell.folder / "data" / "admin.token").read_text().strip()
    answer = {"id": "0123456789ab", "state": "frozen", "calls_cut": 2}
    with (
        answering(200, json.dumps(answer).encode()) as (address, guard),
        held(shell.folder / "data"),
    ):
        guard_file.write(shell.folder / "data", address)
        done = shell("key", "freeze", "0123456789ab", "--why", "leaked ünïcode")
    assert done.status == 0
    assert "2 running calls were cut" in done.out
    ((method, path, headers, body),) = guard.seen
    assert (method, path) == ("POST", "/admin/v1/keys/0123456789ab/freeze")
    assert headers["authorization"] == f"Bearer {token}"
    assert json.loads(body) == {"why": "leaked ünïcode"}


def test_a_stale_address_never_gets_the_token(shell: Shell) -> None:
    with answering(200, b"[]") as (address, stranger):
        guard_file.write(shell.folder / "data", address)
        assert shell.json("key", "list") == []
    assert stranger.seen == []
    assert guard_file.read(shell.folder / "data") is None


@pytest.mark.usefixtures("impatient")
def test_a_holder_that_cannot_be_reached_is_named_in_plain_words(shell: Shell) -> None:
    with held(shell.folder / "data"):
        silent = shell("key", "list", "--json")
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            address = GuardAddress(1, "127.0.0.1", nobody.getsockname()[1])
            guard_file.write(shell.folder / "data", address)
            unreachable = shell("key", "list")
    assert (silent.status, silent.error["code"]) == (1, "fault:store_held")
    assert unreachable.status == 1
    assert address.url in unreachable.err
    assert unreachable.err.count("\n") == 1


def test_a_command_waits_for_one_that_is_just_ending(shell: Shell) -> None:
    with held(shell.folder / "data") as lock:
        threading.Timer(0.3, fcntl.flock, (lock, fcntl.LOCK_UN)).start()
        assert shell.json("key", "list") == []


def test_a_guard_with_another_token_says_what_to_do(shell: Shell) -> None:
    with answering(401, b'{"error":{}}') as (address, _), held(shell.folder / "data"):
        guard_file.write(shell.folder / "data", address)
        done = shell("key", "list", "--json")
    assert (done.status, done.error["code"]) == (1, "admin:unauthorized")
    assert "another admin token" in done.error["message"]


def test_a_guard_without_an_admin_token_cannot_be_asked(shell: Shell) -> None:
    text = shell.config.read_text()
    shell.config.write_text(text.replace('token = "file:data/admin.token"', ""))
    with answering(200, b"[]") as (address, guard), held(shell.folder / "data"):
        guard_file.write(shell.folder / "data", address)
        done = shell("key", "list")
    assert done.status == 1
    assert "admin.token" in done.err
    assert guard.seen == []


@pytest.mark.parametrize("text", [b"not json", b""])
def test_an_answer_that_is_no_answer_is_lost_and_not_repeated(text: bytes) -> None:
    with (
        answering(200, text) as (address, guard),
        pytest.raises(LostError, match="took effect"),
    ):
        over_http(address, TOKEN, STATUS)
    assert len(guard.seen) == 1


def test_a_connection_that_breaks_after_the_command_is_lost() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            line, _ = server.accept()
            line.recv(1)
            line.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(LostError):
            over_http(GuardAddress(1, "127.0.0.1", server.getsockname()[1]), TOKEN, STATUS)
        thread.join()


def test_a_guard_that_listens_everywhere_is_asked_on_loopback() -> None:
    assert GuardAddress(1, "0.0.0.0", 8080).url == "http://127.0.0.1:8080"
    assert GuardAddress(1, "::", 8080).url == "http://[::1]:8080"


def test_an_unreadable_address_is_no_address(tmp_path: Path) -> None:
    (tmp_path / guard_file.NAME).write_text('{"pid":1,"host":"127.0.0.1"}')
    assert guard_file.read(tmp_path) is None
    guard_file.write(tmp_path, GuardAddress(7, "127.0.0.1", 1))
    guard_file.remove(tmp_path, 8)
    assert guard_file.read(tmp_path) == GuardAddress(7, "127.0.0.1", 1)
    guard_file.remove(tmp_path, 7)
    assert guard_file.read(tmp_path) is None


def test_a_command_in_this_process_has_a_limit_too() -> None:
    async def stuck(*_: Any) -> None:
        await asyncio.Event().wait()

    with pytest.raises(LostError, match="did not end"):
        asyncio.run(in_process(stuck, TOKEN, Command(method="GET", path="/x", wait_s=0.01)))


def test_a_list_is_whole_when_no_guard_runs(shell: Shell) -> None:
    shell.json("key", "create", "--project", "p1", "--account", "a1")
    connection = open_writer(shell.folder / "data")
    connection.execute(crowds.keys(2_300))
    connection.execute(crowds.caps(2_300))
    connection.execute(crowds.entries(2_300))
    connection.close()
    listed = shell.json("key", "list")
    assert [key["id"] for key in listed[:2_300]] == crowds.names(2_300)
    assert len(listed) == 2_301
    screen = shell("key", "list").out
    assert all(name in screen for name in crowds.names(2_300))
    assert len({cap["subject"] for cap in shell.json("cap", "list")}) == 2_301
    spent = shell.json("usage", "--by", "key", "--since", "2026-01-01T00:00:00Z")
    assert (len(spent["rows"]), spent["calls"]) == (2_300, 2_300)


class Paged(Guard):
    """A guard whose list has three pages, and which may refuse the last."""

    refuses = False

    def do_GET(self) -> None:
        self.seen.append((self.command, self.path, {}, b""))
        number = len(self.seen)
        refused = self.refuses and number == 3
        text = b'{"error":{"code":"store:unavailable","message":"no"}}' if refused else b"[%d]"
        text = text if refused else text % number
        self.send_response(503 if refused else 200)
        if number < 3:
            self.send_header("link", f'<?after=k{number}&limit=1>; rel="next"')
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


@pytest.mark.parametrize("refuses", [False, True])
def test_a_list_is_fetched_from_a_guard_page_by_page_and_is_whole_or_nothing(
    shell: Shell, refuses: bool
) -> None:
    handler = type("Answering", (Paged,), {"seen": [], "refuses": refuses})
    with serving(handler) as address, held(shell.folder / "data"):
        guard_file.write(shell.folder / "data", address)
        done = shell("account", "list", "--json")
    paths = [path for _, path, _, _ in handler.seen]
    assert paths == [
        "/admin/v1/accounts",
        "/admin/v1/accounts?after=k1&limit=1",
        "/admin/v1/accounts?after=k2&limit=1",
    ]
    if refuses:
        assert (done.status, done.error["code"]) == (1, "store:unavailable")
    else:
        assert done.value == [1, 2, 3]
