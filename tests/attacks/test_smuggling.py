"""One request hidden in another, with a real key: only what the guard itself read is ever sent."""

import json
import re
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest

from attacks.probe import CHAT, Key, caps_of, new_key, nothing_happens, say, settled_caps
from guard import GuardProcess
from standin import StandinProcess

CHATS = CHAT.path.encode()
BODY = json.dumps(CHAT.body).encode()
HIDDEN_BODY = json.dumps({**CHAT.body, "user": "smuggled"}).encode()


@pytest.fixture(scope="module")
def key(guard: GuardProcess) -> Key:
    return new_key(guard, caps=["100.00/day"])


def head(key: Key, *lines: bytes, path: bytes = CHATS, version: bytes = b"HTTP/1.1") -> bytes:
    """The head of a call with a key, and these lines as they are."""
    known = (
        b"POST " + path + b" " + version,
        b"Host: guard",
        b"Authorization: Bearer " + key.text.encode(),
        b"Content-Type: application/json",
    )
    return b"\r\n".join((*known, *lines)) + b"\r\n\r\n"


def whole(key: Key, body: bytes = BODY, *lines: bytes, path: bytes = CHATS) -> bytes:
    return head(key, b"Content-Length: %d" % len(body), *lines, path=path) + body


def chunk(data: bytes, extension: bytes = b"") -> bytes:
    return b"%x%s\r\n%s\r\n" % (len(data), extension, data)


def chunked(data: bytes) -> bytes:
    return chunk(data) + b"0\r\n\r\n"


def hidden(key: Key) -> bytes:
    """The request that must never be seen: lawful, with a key, and marked."""
    return whole(key, HIDDEN_BODY, b"x-standin: tag=smuggled", b"Connection: close")


def ambiguous(key: Key) -> dict[str, bytes]:
    """Heads whose body one reader would end where another goes on, each with a second request."""
    length, te = b"Content-Length: %d" % len(BODY), b"Transfer-Encoding: chunked"
    after = BODY + hidden(key)
    return {
        "length and chunked": head(key, length, te) + chunked(BODY) + hidden(key),
        "chunked and length": head(key, te, length) + chunked(BODY) + hidden(key),
        "length 0 and chunked": head(key, b"Content-Length: 0", te) + chunked(after),
        "length and chunked, plain body": head(key, length, te) + after,
        "two lengths": head(key, length, b"Content-Length: 0") + after,
        "two lengths, turned": head(key, b"Content-Length: 0", length) + after,
        "the same length twice": head(key, length, length) + after,
        "a list of lengths": head(key, length + b", %d" % len(BODY)) + after,
        "length with a plus": head(key, b"Content-Length: +%d" % len(BODY)) + after,
        "length with a space": head(key, b"Content-Length: 1 2") + after,
        "length in hexadecimal": head(key, b"Content-Length: 0x%x" % len(BODY)) + after,
        "length below zero": head(key, b"Content-Length: -1") + after,
        "length past 64 bits": head(key, b"Content-Length: 18446744073709551617") + after,
        "chunked twice": head(key, te, te) + chunked(BODY) + hidden(key),
        "chunked, identity": head(key, te + b", identity") + chunked(BODY) + hidden(key),
        "identity, chunked": head(key, b"Transfer-Encoding: identity, chunked") + chunked(BODY),
        "gzip, chunked": head(key, b"Transfer-Encoding: gzip, chunked") + chunked(BODY),
        "xchunked": head(key, length, b"Transfer-Encoding: xchunked") + after,
        "chunked with a tab": head(key, length, b"Transfer-Encoding:\tchunked") + after,
        "chunked with a vertical tab": head(key, length, b"Transfer-Encoding: \x0bchunked") + after,
        "chunked in quotes": head(key, length, b'Transfer-Encoding: "chunked"') + after,
        "a space before the colon": head(key, length, b"Transfer-Encoding : chunked") + after,
        "a folded line": head(key, length, b"X: y\r\n Transfer-Encoding: chunked") + after,
        "a bare line feed": head(key, length, b"X: y\nTransfer-Encoding: chunked") + after,
        "a bare carriage return": head(key, length, b"X: y\rTransfer-Encoding: chunked") + after,
        "a NUL in a header": head(key, length, b"X: y\x00z") + after,
        "chunked in HTTP/1.0": head(key, te, version=b"HTTP/1.0") + chunked(BODY) + hidden(key),
        "a body that is an upgrade": head(key, length, b"Connection: upgrade", b"Upgrade: h2c")
        + after,
        "two hosts": head(key, length, b"Host: evil") + after,
    }


def broken_chunks(key: Key) -> dict[str, bytes]:
    """Chunked bodies that a lenient reader would take, each with a second request inside."""
    te = head(key, b"Transfer-Encoding: chunked")
    size = b"%x" % len(BODY)
    return {
        "a size that is no number": te + b"zz\r\n" + BODY + b"\r\n0\r\n\r\n",
        "a size with 0x": te + b"0x" + size + b"\r\n" + BODY + b"\r\n0\r\n\r\n",
        "a size below zero": te + b"-1\r\n" + hidden(key),
        "a size past 64 bits": te + b"1" + b"0" * 16 + b"\r\n" + hidden(key),
        "a size ended by a line feed": te + size + b"\n" + BODY + b"\n0\n\n",
        "data longer than its size": te + b"2\r\n" + BODY + b"\r\n0\r\n\r\n",
        "no line end after data": te + size + b"\r\n" + BODY + b"0\r\n\r\n",
        "a line feed in an extension": te + size + b";a=\n" + BODY + b"\r\n0\r\n\r\n",
        "a trailer": te + chunk(BODY) + b"0\r\nAuthorization: Bearer x\r\n\r\n",
        "a trailer that frames": te + chunk(BODY) + b"0\r\nContent-Length: 5\r\n\r\n",
    }


@pytest.mark.parametrize("what", ["ambiguous", "broken_chunks"])
def test_a_request_with_two_readings_reaches_nobody_and_ends_the_connection(
    guard: GuardProcess, standin: StandinProcess, key: Key, what: str
) -> None:
    cases = ambiguous(key) if what == "ambiguous" else broken_chunks(key)
    with nothing_happens(guard, standin, key):
        for name, data in cases.items():
            said = say(guard.base_url, data + hidden(key))
            assert re.findall(rb"HTTP/1\.1 (\d\d\d)", said) in ([b"400"], [b"501"]), (name, said)
            assert b"connection: close" in said, name
            assert b"request:" in said, name


def test_what_follows_a_whole_request_is_never_answered(
    guard: GuardProcess, standin: StandinProcess, key: Key
) -> None:
    """Pipelining: no SDK does it, and a second answer would be somebody else's."""
    for second in (hidden(key), b"\r\n\r\n" + hidden(key), b"rubbish" + hidden(key)):
        standin.reset()
        said = say(guard.base_url, whole(key) + second)
        assert len(re.findall(rb"HTTP/1\.1 \d\d\d", said)) == 1, said
        assert said.startswith(b"HTTP/1.1 200 "), said
        (seen,) = standin.requests()
        assert seen["body"] == BODY.decode()
    assert settled_caps(guard, key)


@pytest.mark.parametrize(
    "first",
    [
        lambda key: whole(key, b"{"),
        lambda key: whole(key, b"{}", path=b"/v1/nothing"),
        lambda key: whole(key, BODY).replace(key.text.encode(), b"tw_sk_nobody"),
        lambda key: whole(key, BODY, path=b"/v1/chat/completions?key=x"),
        lambda key: b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
        lambda key: b"GET /admin/v1/keys HTTP/1.1\r\nHost: a\r\n\r\n",
        lambda key: head(key, b"Content-Length: 99999999"),
    ],
    ids=["bad body", "no route", "no key", "key in query", "health", "admin", "too large"],
)
def test_a_request_in_the_same_packet_as_a_refused_one_is_dropped(
    guard: GuardProcess, standin: StandinProcess, key: Key, first: Callable[[Key], bytes]
) -> None:
    with nothing_happens(guard, standin, key):
        said = say(guard.base_url, first(key) + hidden(key) * 3)
        assert len(re.findall(rb"HTTP/1\.1 \d\d\d", said)) == 1, said


def test_a_request_inside_a_body_stays_inside(
    guard: GuardProcess, standin: StandinProcess, key: Key
) -> None:
    body = json.dumps({**CHAT.body, "user": hidden(key).decode().replace(key.text, "k")}).encode()
    for data in (
        whole(key, body, b"Connection: close"),
        head(key, b"Transfer-Encoding: chunked", b"Connection: close")
        + b"".join(chunk(body[at : at + 7], b";x=y") for at in range(0, len(body), 7))
        + b"0\r\n\r\n",
    ):
        standin.reset()
        said = say(guard.base_url, data)
        assert said.startswith(b"HTTP/1.1 200 ")
        (seen,) = standin.requests()
        assert seen["body"].encode() == body
        framing = [pair for pair in seen["headers"] if pair[0] in FRAMING]
        assert framing == [["content-length", str(len(body))]], "framed anew for the provider"


FRAMING = ("content-length", "transfer-encoding", "connection", "te", "trailer", "upgrade")


def test_no_header_that_speaks_of_one_connection_is_passed_on(
    guard: GuardProcess, standin: StandinProcess, key: Key
) -> None:
    standin.reset()
    lines = (
        b"Connection: close, x-private, authorization",
        b"X-Private: 1",
        b"TE: trailers",
        b"Trailer: x-late",
        b"Keep-Alive: timeout=5",
        b"Proxy-Authorization: Basic eDp5",
        b"Proxy-Connection: keep-alive",
        b"X-Kept: yes",
    )
    assert say(guard.base_url, whole(key, BODY, *lines)).startswith(b"HTTP/1.1 200 ")
    (seen,) = standin.requests()
    names = {name for name, _ in seen["headers"]}
    assert "x-kept" in names
    gone = {"x-private", "te", "trailer", "keep-alive", "proxy-authorization", "proxy-connection"}
    assert names.isdisjoint(gone)
    assert ["authorization", f"Bearer {standin.credential}"] in seen["headers"]


@pytest.mark.parametrize(
    "lines",
    [
        (b"X: a\rAuthorization: Bearer x",),
        (b"X: a\n\nGET / HTTP/1.1",),
        (b"X-\xc3\xa9: a",),
        (b"X Y: a",),
        (b"X(Y): a",),
        (b": a",),
        (b"X: a\x00b",),
        (b"X: a\x7fb",),
    ],
)
def test_a_header_that_would_split_or_confuse_another_server_is_refused(
    guard: GuardProcess, standin: StandinProcess, key: Key, lines: tuple[bytes, ...]
) -> None:
    with nothing_happens(guard, standin, key):
        said = say(guard.base_url, whole(key, BODY, *lines))
        assert said.startswith(b"HTTP/1.1 400 "), said
        assert len(re.findall(rb"HTTP/1\.1 \d\d\d", said)) == 1


@pytest.mark.parametrize("separator", [b"%0d%0a", b"%0D%0AHost:%20evil%0d%0a", b"%00", b"%20"])
def test_an_encoded_line_end_in_the_address_stays_encoded(
    guard: GuardProcess, standin: StandinProcess, key: Key, separator: bytes
) -> None:
    standin.reset()
    target = CHATS + b"?a=b" + separator + b"x-injected:%20yes"
    assert say(guard.base_url, whole(key, BODY, b"Connection: close", path=target)).startswith(
        b"HTTP/1.1 200 "
    )
    (seen,) = standin.requests()
    assert seen["query"] == target.decode().partition("?")[2]
    assert "x-injected" not in {name for name, _ in seen["headers"]}


def test_a_request_id_that_would_split_an_answer_is_not_repeated(
    guard: GuardProcess, standin: StandinProcess, key: Key
) -> None:
    for bad in (b"a b", b"a\tb", b"<script>", b"a\xe9", b"a" * 129, b"a;b", b'"a"', b"%0d%0a"):
        said = say(guard.base_url, whole(key, b"{", b"X-Request-Id: " + bad, b"Connection: close"))
        assert said.startswith(b"HTTP/1.1 400 ")
        assert re.search(rb"x-request-id: req_\w{20}\r\n", said), said
        assert bad not in said
    assert caps_of(guard, key)


def test_half_a_request_is_not_half_a_call(
    guard: GuardProcess, standin: StandinProcess, key: Key
) -> None:
    """The caller leaves before its body is whole: what came is not acted on."""
    where = urlsplit(guard.base_url)
    with nothing_happens(guard, standin, key):
        for data in (
            head(key, b"Content-Length: %d" % (len(BODY) + 1)) + BODY,
            head(key, b"Transfer-Encoding: chunked") + chunk(BODY),
            head(key, b"Transfer-Encoding: chunked") + chunk(BODY) + b"0\r\n",
        ):
            with socket.create_connection((where.hostname or "", where.port or 0)) as end:
                end.sendall(data)
                end.shutdown(socket.SHUT_WR)
                said = end.recv(65536)
            assert not said.startswith(b"HTTP/1.1 200"), said
