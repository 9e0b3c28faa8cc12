"""Commands and TLS: a guard known by its certificate alone, holders named by theirs, the doctor."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from certificates import HOUR, SERVERS, Pair, authority, make
from tokenward.cli import admin_client
from tokenward.cli.guard_file import GuardAddress
from tokenward.kernel.secret import Secret
from unit.cli.command import Shell, held

TOKEN = Secret("t" * 32, "admin token")
STATUS = admin_client.Command(method="GET", path="/status")


class Answering(BaseHTTPRequestHandler):
    """Remembers that it was asked."""

    seen: list[str | None] = []

    def do_GET(self) -> None:
        """Called by the library."""
        self.seen.append(self.headers["authorization"])
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"[]")

    def log_message(self, *words: Any) -> None:
        """Quiet."""


@contextmanager
def answering(pair: Pair) -> Iterator[tuple[int, list[str | None]]]:
    """Somebody on loopback with this certificate; the port, and which tokens came."""
    handler = type("Handler", (Answering,), {"seen": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair.files)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server.server_port, handler.seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def own(tmp_path: Path) -> Pair:
    """The guard's: of an authority that nobody here knows, and for another name than 127.0.0.1."""
    return make(tmp_path, "guard", authority(tmp_path), usage=SERVERS, names=["guard.example.com"])


def test_a_guard_is_known_by_its_certificate_whatever_name_it_is_for(own: Pair) -> None:
    with answering(own) as (port, seen):
        address = GuardAddress(1, "127.0.0.1", port, own.thumbprint)
        assert admin_client.over_http(address, TOKEN, STATUS).value == []
    assert seen == [f"Bearer {TOKEN.reveal()}"]
    assert address.url == f"https://127.0.0.1:{port}"


def test_nobody_else_gets_the_token(
    own: Pair, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even with another certificate for the same name by the same authority."""
    monkeypatch.setattr(admin_client, "FIND_WAIT_S", 0.2)
    other = make(shell.folder, "other", authority(shell.folder), names=["guard.example.com"])
    with answering(other) as (port, seen), held(shell.folder / "data"):
        address = GuardAddress(1, "127.0.0.1", port, own.thumbprint)
        admin_client.guard_file.write(shell.folder / "data", address)
        done = shell("key", "list", "--json")
    assert done.error["code"] == "fault:store_held"
    assert f"https://127.0.0.1:{port}" in done.error["message"]
    assert seen == []


def test_where_tls_is_expected_nothing_is_said_without(own: Pair, shell: Shell) -> None:
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as plain:

        def listen() -> None:
            line, _ = plain.accept()
            heard.append(line.recv(65536))
            line.close()

        thread = threading.Thread(target=listen)
        thread.start()
        address = GuardAddress(1, "127.0.0.1", plain.getsockname()[1], own.thumbprint)
        with pytest.raises(admin_client._NobodyAnswersError):
            admin_client.over_http(address, TOKEN, STATUS)
        thread.join()
    assert heard[0].startswith(b"\x16\x03"), "the beginning of a handshake"
    assert TOKEN.reveal().encode() not in heard[0]


# --- key create --certificate


def test_a_key_is_bound_to_the_certificate_in_a_file(shell: Shell, tmp_path: Path) -> None:
    signer = authority(tmp_path)
    pair = make(tmp_path, "holder", signer)
    chain = tmp_path / "chain.pem"
    chain.write_bytes(b"Holder:\n" + pair.pem.read_bytes() + signer.pem.read_bytes())
    for path in (pair.pem, chain):
        made = shell.json(
            "key", "create", "--project", "p", "--bind", "mtls", "--certificate", str(path)
        )
        assert (made["bind"], made["holder"]) == ("mtls", pair.thumbprint)
        assert not made["enrolment_code"]


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        ({"begins": -9 * HOUR, "ends": -HOUR}, "has expired"),
        ({"begins": HOUR}, "is not valid yet"),
        ({"usage": SERVERS}, "lacks clientAuth"),
        ({"is_ca": True}, "certificate authority"),
    ],
)
def test_a_certificate_that_no_call_could_be_made_with_holds_no_key(
    shell: Shell, tmp_path: Path, wish: dict[str, Any], why: str
) -> None:
    path = str(make(tmp_path, "wrong", **wish).pem)
    done = shell("key", "create", "--project", "p", "--bind", "mtls", "--certificate", path)
    assert (done.status, done.out) == (1, "")
    assert why in done.err
    assert shell.json("key", "list") == []


def test_a_file_that_holds_no_certificate_is_said(shell: Shell, tmp_path: Path) -> None:
    for path in (make(tmp_path, "holder").key_pem, tmp_path, tmp_path / "missing.pem"):
        words = ("key", "create", "--project", "p", "--bind", "mtls", "--certificate", str(path))
        done = shell(*words)
        assert (done.status, done.out) == (1, "")
        assert str(path) in done.err


@pytest.mark.parametrize("bind", [(), ("--bind", "dpop")])
def test_a_certificate_binds_in_no_other_way(
    shell: Shell, tmp_path: Path, bind: tuple[str, ...]
) -> None:
    path = str(make(tmp_path, "holder").pem)
    done = shell("key", "create", "--project", "p", "--certificate", path, *bind)
    assert done.status == 2
    assert "--bind mtls" in done.err


@pytest.mark.parametrize("dashes", [1, 2, 3])
def test_a_thumbprint_may_begin_with_a_dash(shell: Shell, dashes: int) -> None:
    thumbprint = "A".rjust(dashes + 1, "-").ljust(43, "A")
    for words in (("--thumbprint", thumbprint), (f"--thumbprint={thumbprint}",)):
        made = shell.json("key", "create", "--project", "p", "--bind", "mtls", *words)
        assert made["holder"] == thumbprint
    assert shell("key", "create", "--project", "p", "--thumbprint", "--bind", "mtls").status == 2


def test_a_holder_is_named_once(shell: Shell, tmp_path: Path) -> None:
    pair = make(tmp_path, "holder")
    words = ("--certificate", str(pair.pem), "--thumbprint", pair.thumbprint, "--bind", "mtls")
    assert shell("key", "create", "--project", "p", *words).status == 2


# --- doctor, serve


def with_tls(shell: Shell, pair: Pair) -> None:
    certificate, key = pair.files
    text = f'[server]\ntls_certificate = "{certificate}"\ntls_key = "{key}"\n'
    shell.config.write_text(shell.config.read_text().replace("[server]\n", text))


def tls_check(shell: Shell) -> dict[str, Any]:
    (check,) = (
        check for check in shell("doctor", "--json").value["checks"] if check["name"] == "tls"
    )
    return dict(check)


@pytest.mark.parametrize(
    ("wish", "is_good", "why"),
    [
        ({"ends": 24 * 30 * HOUR}, True, "certificate and key fit, until "),
        ({"ends": 24 * HOUR}, False, "renew it"),
        ({"begins": -9 * HOUR, "ends": -HOUR}, False, "expired on "),
        ({"begins": HOUR}, False, "not valid before "),
    ],
)
def test_the_doctor_looks_at_the_guards_certificate(
    shell: Shell, tmp_path: Path, wish: dict[str, Any], is_good: bool, why: str
) -> None:
    with_tls(shell, make(tmp_path, "guard", usage=SERVERS, **wish))
    check = tls_check(shell)
    assert check["ok"] is is_good
    assert why in check["why"]


def test_a_guard_with_plain_http_has_nothing_to_check(shell: Shell) -> None:
    checks = shell("doctor", "--json").value["checks"]
    assert "tls" not in [check["name"] for check in checks]


def test_files_that_do_not_fit_stop_the_start_and_the_doctor_says_why(
    shell: Shell, tmp_path: Path
) -> None:
    one, other = make(tmp_path, "one"), make(tmp_path, "other")
    other.key_pem.rename(one.key_pem)
    with_tls(shell, one)
    why = "is not the key of the certificate"
    assert why in tls_check(shell)["why"]
    done = shell("serve", "--port", "0")
    assert (done.status, done.out) == (1, "")
    assert why in done.err
