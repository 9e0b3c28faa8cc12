"""Random HTTP on the guard's connections: requests spoiled in head, framing and body, several in a
row and in pieces. Each gets a plain answer or a closed connection, and what passes is charged."""

import json
import re
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacks.probe import CHAT, DIALECTS, Key, new_key, post, settled_caps
from chance import fuzz, soak
from guard import GuardProcess
from standin import StandinProcess

SILENCE_S = 0.1
"""A guard that was promised more than it got says nothing; whoever waits so long hangs up."""
AFTERWARDS = ("x-standin", "tag=afterwards")
STATUS = re.compile(rb"HTTP/1\.1 (\d\d\d) [^\r\n]*\r\n")
PLAIN = {b"100", b"200", b"400", b"401", b"403", b"404", b"405", b"408", b"411", b"413", b"414"}
PLAIN |= {b"415", b"417", b"422", b"429", b"431", b"501", b"502", b"503", b"505"}
GOODBYE = b"GET /healthz HTTP/1.1\r\nHost: guard\r\nConnection: close\r\n\r\n"

LINES = (
    b"Content-Length: 0", b"Content-Length: 5", b"Content-Length: -1", b"Content-Length: +5",
    b"Content-Length: 99999999999999999999", b"Content-Length: 5, 5", b"Content-Length:\t5",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", b"Transfer-Encoding : chunked",
    b"Transfer-Encoding: chunked, chunked", b"Transfer-Encoding:\x0bchunked", b"TE: trailers",
    b"Connection: close", b"Connection: keep-alive", b"Connection: upgrade", b"Upgrade: h2c",
    b"Connection: authorization, host", b"Expect: 100-continue", b"Expect: a-miracle",
    b"Host: evil", b"Host:", b": no name", b"no colon", b" folded: line", b"X: \x00", b"X: \xff",
    b"X" * 300 + b": y", b"X: " + b"y" * 9_000, b"Content-Type: text/plain", b"Authorization: x",
    b"Content-Encoding: gzip", b"x-request-id: a b", b"x-request-id: \xc3\xa9", b"Trailer: host",
    b"X-HTTP-Method-Override: DELETE", b"X-Forwarded-For: ::1", b"Cookie: a=b", b"Range: bytes=0-1",
)  # fmt: skip
TOKENS = (
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\n\n", b"\x00", b" ", b"\t", b":", b"%00", b"%2e%2e/",
    b"//", b"?", b"#", b"*", b"http://evil/", b"HTTP/1.0", b"HTTP/1.1", b"HTTP/2.0", b"HTTP/0.9",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"POST", b"OPTIONS", b"CONNECT",
    b"get", b"0\r\n\r\n", b"5\r\n", b"ffffffffffffffff\r\n", b"5;a=b\r\n", b"\x16\x03\x01\x02",
    b"\xef\xbb\xbf", b"\x80", b"{", b"}", b'"', b"a" * 70_000,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Talk:
    """What is said on one connection, and where it is broken into pieces."""

    data: bytes
    requests: int
    cuts: tuple[int, ...]

    def pieces(self) -> Iterator[bytes]:
        start = 0
        for cut in sorted({cut % len(self.data) for cut in self.cuts} | {len(self.data)}):
            if cut > start:
                yield self.data[start:cut]
                start = cut


def lawful(key: Key) -> list[bytes]:
    """A call in each dialect, sized and chunked, and two questions without a key."""
    found = [b"GET /v1/models HTTP/1.1\r\nHost: guard\r\n\r\n", GOODBYE.replace(b"close", b"x")]
    for entrance in DIALECTS:
        body = json.dumps(entrance.body).encode()
        names = b"".join(
            f"{name}: {value}\r\n".encode() for name, value in entrance.headers(key.text)
        )
        head = f"POST {entrance.path} HTTP/1.1\r\nHost: guard\r\n".encode() + names
        chunked = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        found.append(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        found.append(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunked)
    return found


@st.composite
def spoiled(draw: st.DrawFn, key: Key) -> bytes:
    """One request with up to four wrongs: a line too many in its head, or bytes anywhere."""
    data = draw(st.sampled_from(lawful(key)))
    for _ in range(draw(st.sampled_from((0, 0, 1, 1, 2, 4)))):
        if draw(st.booleans()):
            ends = [found.end() for found in re.finditer(rb"\r\n", data[: data.find(b"\r\n\r\n")])]
            at = draw(st.sampled_from(ends or [0]))
            data = data[:at] + draw(st.sampled_from(LINES)) + b"\r\n" + data[at:]
        else:
            at = draw(st.integers(0, len(data)))
            wrong = draw(st.sampled_from(TOKENS) | st.binary(max_size=6))
            data = data[:at] + wrong + data[at + draw(st.sampled_from((0, 0, 1, 2, 8))) :]
    return data


@st.composite
def talks(draw: st.DrawFn, key: Key) -> Talk:
    """One to four requests in a row, and a goodbye."""
    said = draw(st.lists(spoiled(key), min_size=1, max_size=4))
    data = b"".join(said) + GOODBYE
    return Talk(data, len(said), tuple(draw(st.lists(st.integers(0, 4_000), max_size=3))))


def told(base_url: str, talk: Talk) -> bytes:
    """What is answered until the connection ends, or nothing more comes."""
    where = urlsplit(base_url)
    heard = b""
    with socket.create_connection((where.hostname or "", where.port or 0), timeout=5) as end:
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for piece in talk.pieces():
                end.sendall(piece)
            end.settimeout(SILENCE_S)
            while piece := end.recv(65_536):
                heard += piece
        except (TimeoutError, ConnectionResetError, BrokenPipeError):
            pass
    return heard


@pytest.mark.slow
@pytest.mark.req("S-10")
@pytest.mark.parametrize("examples", [300, soak(20_000, limit_s=3_600)])
def test_any_bytes_on_a_connection_get_a_plain_answer_and_what_passes_is_charged(
    guard: GuardProcess, standin: StandinProcess, examples: int
) -> None:
    key, other = new_key(guard, caps=["1000000.00/day"]), new_key(guard)
    log_bytes = len(guard.log())
    answers: Counter[bytes] = Counter()

    @fuzz(examples)
    @given(talks(key))
    def run(talk: Talk) -> None:
        (before,) = settled_caps(guard, key)
        standin.reset()
        heard = told(guard.base_url, talk)
        said = STATUS.findall(heard)
        assert PLAIN.issuperset(said), said
        assert heard == b"" or heard.startswith(b"HTTP/1.1 "), heard[:200]
        # Its hold stands behind all that was taken on that connection: then nothing is to come.
        assert post(guard, CHAT, other.text, CHAT.body, AFTERWARDS).status == 200
        (after,) = settled_caps(guard, key)
        calls = [call for call in standin.requests() if list(AFTERWARDS) not in call["headers"]]
        lines = [line for line in standin.bill()["lines"] if line["tag"] != "afterwards"]
        assert len(calls) <= talk.requests, "one request was read as two"
        spent = after["spent"] - before["spent"]
        assert sum(line["cost_nusd"] for line in lines) <= spent
        assert calls or spent == 0, "charged, and no provider saw it"
        answers.update(said)
        answers[b"calls"] += len(calls)

    run()
    print(answers)
    assert answers[b"calls"] > examples / 4
    assert answers[b"400"] > examples / 4
    assert "bug" not in guard.log()[log_bytes:].lower()
    assert "Traceback" not in guard.log()[log_bytes:]
    assert standin.leaks() == []
