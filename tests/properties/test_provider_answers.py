"""Whatever a provider says, in whatever pieces: the same answer, and whole only when it is."""

import asyncio
import io
import subprocess
import sys
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from chance import fuzz, soak
from properties.plain_http import Plain, read_answer
from tokenward.http.provider.parser import AnswerParser, GarbledError
from tokenward.http.upstream import HttpUpstream
from tokenward.kernel.errors import BrokenError
from unit.http.raw_sockets import Wire, provider

EXAMPLES = [400, soak(50_000, limit_s=3_600)]
TALKS = [60, soak(5_000, limit_s=3_600)]
GUIDED_S = 600

TOKEN = st.sampled_from([b"X-A", b"x-request-id", b"Set-Cookie", b"Server", b"!#$%&'*+.^_`|~"])
VALUE = st.sampled_from([b"", b"a", b"a b\tc", b"caf\xe9", b"\x80\xff", b"1, 2", b"y" * 300])
FIELDS = st.lists(st.tuples(TOKEN, VALUE), max_size=6)
INTERIM = st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n"] * 3 + [
    b"HTTP/1.1 103 Early Hints\r\nLink: x\r\nX: 1\r\n\r\n", b"\r\n\r\n", b"HTTP/1.1 102\r\n\r\n",
])  # fmt: skip
EXTENSION = st.sampled_from([b"", b"", b";a", b";a=b", b';a="b;c"'])
FRAMINGS = ("length", "chunked", "end", "nothing")


def lines(fields: list[tuple[bytes, bytes]]) -> bytes:
    return b"".join(b"%b: %b\r\n" % field for field in fields)


@st.composite
def answers(draw: Any) -> tuple[bytes, bytes, str]:
    """A valid answer, its body, and what frames it."""
    framing = draw(st.sampled_from(FRAMINGS))
    body = b"" if framing == "nothing" else draw(st.binary(max_size=400))
    statuses = [204, 304] if framing == "nothing" else [200, 201, 206, 302, 400, 429, 500, 599]
    said = draw(INTERIM)
    said += b"HTTP/1.1 %d%b\r\n" % (draw(st.sampled_from(statuses)), draw(REASON))
    before, behind = draw(FIELDS), draw(FIELDS)
    frame, payload = b"", body
    if framing == "length":
        frame = b"Content-Length: %d\r\n" % len(body)
    elif framing == "chunked":
        frame = b"Transfer-Encoding: chunked\r\n"
        cuts = sorted(draw(st.lists(st.integers(1, max(1, len(body) - 1)), max_size=5)))
        pieces = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
        chunks = [
            b"%x%b\r\n%b\r\n" % (len(piece), draw(EXTENSION), piece) for piece in pieces if piece
        ]
        payload = b"".join(chunks) + b"0\r\n" + lines(draw(FIELDS)) + b"\r\n"
    return said + lines(before) + frame + lines(behind) + b"\r\n" + payload, body, framing


REASON = st.sampled_from([b" OK", b"", b" ", b" Very \xe9 odd"])
CUTS = st.lists(st.integers(0, 900), max_size=12)


def cut(said: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted({min(end, len(said)) for end in cuts} | {len(said)})
    return [said[a:b] for a, b in zip([0, *ends], ends, strict=False) if b > a]


def feed(said: bytes, cuts: list[int]) -> AnswerParser:
    """Up to the first fault."""
    parser = AnswerParser()
    try:
        for piece in cut(said, cuts):
            parser.feed(piece)
    except GarbledError:
        assert not parser.is_whole
    return parser


@pytest.mark.parametrize("examples", EXAMPLES)
def test_a_valid_answer_is_the_same_in_whatever_pieces_it_comes(examples: int) -> None:
    @fuzz(examples)
    @given(answers(), CUTS)
    def run(answer: tuple[bytes, bytes, str], cuts: list[int]) -> None:
        said, body, framing = answer
        plain = read_answer(said, is_ended=True)
        assert plain is not None
        parser = feed(said, cuts)
        assert (parser.has_head, parser.status) == (True, plain.status)
        assert tuple(parser.headers) == plain.headers
        assert parser.is_whole is (framing != "end")
        assert parser.can_be_followed is (framing != "end")
        parser.feed_eof()
        assert parser.is_whole
        assert parser.take() == body == plain.body

    run()


class Said:
    """As much of a socket as `http.client` asks for."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, _: str) -> io.BytesIO:
        return io.BytesIO(self._data)


@pytest.mark.parametrize("examples", EXAMPLES)
def test_a_valid_answer_is_read_as_the_standard_library_reads_it(examples: int) -> None:
    @fuzz(examples)
    @given(answers())
    def run(answer: tuple[bytes, bytes, str]) -> None:
        said, _, _ = answer
        if said.startswith((b"\r\n", b"HTTP/1.1 102", b"HTTP/1.1 103")):
            return  # which it does not know
        theirs = HTTPResponse(Said(said), method="POST")
        theirs.begin()
        parser = feed(said, [])
        parser.feed_eof()
        assert (parser.status, parser.take()) == (theirs.status, theirs.read())
        ours = [(name.decode(), value.decode("latin-1")) for name, value in parser.headers]
        assert ours == [(name.lower(), value.rstrip(" \t")) for name, value in theirs.getheaders()]

    run()


GARBLE = st.lists(
    st.tuples(
        st.integers(0, 900),
        st.integers(0, 6),
        st.one_of(
            st.binary(max_size=4),
            st.sampled_from([b"\r\n", b"\n", b"0", b"f", b" ", b":", b"0\r\n\r\n", b"chunked"]),
            st.sampled_from([b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n"]),
            st.sampled_from([b"Connection: close\r\n", b"HTTP/1.1 200 OK\r\n", b"Upgrade: x\r\n"]),
        ),
    ),
    max_size=4,
)


@st.composite
def garbled(draw: Any) -> bytes:
    """An answer with some bytes replaced, or none; sometimes cut, sometimes followed."""
    said: bytes = draw(answers())[0]
    for at, gone, put in draw(GARBLE):
        at %= len(said) + 1
        said = said[:at] + put + said[at + gone :]
    return said[: draw(st.integers(0, len(said)))] if draw(st.booleans()) else said


def judge(parser: AnswerParser, said: bytes, plain: Plain | None) -> None:
    """What looks whole is what a plain reading finds whole."""
    if not parser.is_whole:
        return
    assert plain is not None, said
    assert (parser.status, tuple(parser.headers)) == (plain.status, plain.headers), said
    assert parser.take() == plain.body, said
    if plain.rest.strip(b"\r\n"):
        assert not parser.can_be_followed, said


@pytest.mark.parametrize("examples", EXAMPLES)
def test_garbled_bytes_never_look_whole_when_they_are_not(examples: int) -> None:
    @fuzz(examples)
    @given(garbled(), CUTS, st.booleans())
    def run(said: bytes, cuts: list[int], is_ended: bool) -> None:
        plain = read_answer(said, is_ended=is_ended)
        parsers = [feed(said, each) for each in ([], cuts)]
        for parser in parsers:
            if is_ended and not parser.is_whole:
                parser.feed_eof()
        whole, pieces = parsers
        assert (whole.is_whole, whole.has_head) == (pieces.is_whole, pieces.has_head)
        judge(whole, said, plain)
        if pieces.is_whole:
            assert pieces.take() == (plain.body if plain is not None else b"")

    run()


@pytest.mark.parametrize("examples", TALKS)
@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_call_ends_whole_or_broken_and_its_connection_is_never_left_behind(
    loop: Any, examples: int
) -> None:
    """Over real sockets: garbled answers in pieces, then a clean end, a reset, or silence."""

    async def talk(said: bytes, cuts: list[int], end: str) -> None:
        async def script(wire: Wire) -> None:
            await wire.request()
            for piece in cut(said, cuts):
                await wire.say(piece)
                await asyncio.sleep(0)
            if end == "reset":
                wire.reset()
            elif end == "silence":
                await wire.until_closed()

        async with provider(script) as served:
            await check(served.url, said, end)

    async def check(url: str, said: bytes, end: str) -> None:
        client = HttpUpstream(max_connections=1, head_timeout_s=0.02, idle_timeout_s=0.02)
        plain = read_answer(said, is_ended=end == "fin")
        try:
            answer = await client.send("POST", url, (), b"{}")
            body = b""
            while piece := await answer.read():
                body += piece
        except BrokenError:
            pass
        else:
            assert plain is not None
            assert (answer.status, answer.headers, body) == (
                plain.status,
                plain.headers,
                plain.body,
            )
        pool = client._pool
        assert (pool._places, len(pool._busy)) == (1, 0)
        for idle in pool._idle.values():
            assert plain is not None
            assert plain.is_framed
            assert all(connection.is_open for connection in idle)
        await client.close()

    @fuzz(examples)
    @given(garbled(), CUTS, st.sampled_from(["fin", "reset", "silence"]))
    def run(said: bytes, cuts: list[int], end: str) -> None:
        runner.run(talk(said, cuts, end))

    with asyncio.Runner(loop_factory=loop) as runner:
        run()


@pytest.mark.soak
@pytest.mark.timeout(GUIDED_S + 300)
def test_fuzzing_that_looks_for_new_paths_finds_no_fault(tmp_path: Path) -> None:
    """With atheris where it is installed; it keeps what reached new code and goes on from there."""
    pytest.importorskip("atheris")
    script = Path(__file__).with_name("fuzz_provider.py")
    command = [sys.executable, str(script), f"-max_total_time={GUIDED_S}", "-max_len=2048", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4_000:]
