"""One answer out of bytes: what is whole, what is garbled, and what may follow."""

from collections.abc import Iterable

import pytest

from tokenward.http.provider.parser import (
    FIELD_BYTES_MAX,
    FIELDS_MAX,
    HEAD_BYTES_MAX,
    AnswerParser,
    GarbledError,
)

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def feed(parser: AnswerParser, pieces: Iterable[bytes]) -> None:
    for data in pieces:
        parser.feed(data)


def parsed(*said: bytes, is_to_head: bool = False) -> AnswerParser:
    parser = AnswerParser(is_to_head=is_to_head)
    feed(parser, said)
    return parser


@pytest.mark.parametrize(
    ("said", "body", "is_followed"),
    [
        (OK + b"Content-Length: 2\r\n\r\nok", b"ok", True),
        (OK + b"content-length:2 \t\r\n\r\nok", b"ok", True),
        (OK + b"Content-Length: 0\r\n\r\n", b"", True),
        (OK + b"Content-Length: 2\r\nConnection: close\r\n\r\nok", b"ok", False),
        (OK + b"Content-Length: 2\r\nConnection: x, Close\r\n\r\nok", b"ok", False),
        (OK + b"Content-Length: 2\r\nConnection: keep-alive\r\n\r\nok", b"ok", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok", False),
        (
            b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
            b"ok",
            True,
        ),
        (CHUNKED + b"0\r\n\r\n", b"", True),
        (CHUNKED + b'2\r\nok\r\n1;a=b;c="d"\r\n!\r\n000\r\n\r\n', b"ok!", True),
        (CHUNKED + b"A\r\n0123456789\r\n0\r\nX-Late: 1\r\nX-Later: 2\r\n\r\n", b"0123456789", True),
        (OK + b"Transfer-Encoding: Chunked \r\n\r\n1\r\na\r\n0\r\n\r\n", b"a", True),
        (b"HTTP/1.1 204 No\r\n\r\n", b"", True),
        (b"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n", b"", True),
        (b"HTTP/1.1 304 Not\r\nContent-Length: 500\r\n\r\n", b"", True),
        (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", b"", True),
        (b"HTTP/1.1 599 \r\nContent-Length: 0\r\n\r\n", b"", True),
        (b"\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n", b"", True),
        (OK + b"Upgrade: h2\r\nConnection: upgrade\r\nContent-Length: 2\r\n\r\nok", b"ok", True),
    ],
)
def test_a_whole_answer_is_whole_however_its_bytes_are_cut(
    said: bytes, body: bytes, is_followed: bool
) -> None:
    for parser in (
        parsed(said),
        parsed(*(said[at : at + 1] for at in range(len(said)))),
        parsed(*(said[at : at + 7] for at in range(0, len(said), 7))),
    ):
        assert (parser.is_whole, parser.can_be_followed) == (True, is_followed)
        assert parser.take() == body
        assert parser.waiting_bytes == 0
    for end in range(len(said)):
        assert not parsed(said[:end]).is_whole


def test_headers_are_lower_case_in_order_and_stripped_and_trailers_are_dropped() -> None:
    parser = parsed(
        b"HTTP/1.1 429 Slow\r\nX-B:  1 \t\r\nSet-Cookie: a\r\nX-A: caf\xe9\r\nset-cookie: b\r\n"
        b"X-Empty:\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-C: late\r\n\r\n"
    )
    assert parser.status == 429
    assert parser.headers == [
        (b"x-b", b"1"),
        (b"set-cookie", b"a"),
        (b"x-a", b"caf\xe9"),
        (b"set-cookie", b"b"),
        (b"x-empty", b""),
        (b"transfer-encoding", b"chunked"),
    ]


def test_interim_answers_leave_nothing_behind() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n"
    parser = parsed(interim + b"HTTP/1.1 199 X\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nok")
    assert (parser.status, parser.headers) == (200, [(b"content-length", b"2")])
    assert (parser.take(), parser.is_whole) == (b"ok", True)
    assert not parsed(interim).has_head


@pytest.mark.parametrize(
    "end",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        b"H",
        b"0",
        b"\x00",
        b"ok",
        b"\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n",
    ],
)
@pytest.mark.parametrize("head", [OK + b"Content-Length: 2\r\n\r\nok", CHUNKED + b"0\r\n\r\n"])
def test_what_comes_behind_an_answer_is_no_part_of_it_and_no_answer_may_follow(
    head: bytes, end: bytes
) -> None:
    parser = parsed(head + end)
    assert (parser.status, parser.is_whole, parser.can_be_followed) == (200, True, False)
    assert parser.take() in (b"", b"ok")


@pytest.mark.parametrize(
    "framing",
    [b"", b"Content-Length: 10\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n"],
)
@pytest.mark.parametrize("end", [b"", b"5", b"0\r\n\r\n", b"0123456789", b"HTTP/1.1 200 OK\r\n"])
def test_an_answer_to_head_ends_with_its_head_and_is_the_last_one(
    framing: bytes, end: bytes
) -> None:
    parser = parsed(OK + framing + b"\r\n" + end, is_to_head=True)
    assert (parser.is_whole, parser.can_be_followed, parser.take()) == (True, False, b"")


def test_a_body_that_nothing_frames_is_whole_at_a_clean_end_only() -> None:
    parser = parsed(OK + b"\r\nab", b"c")
    assert not parser.is_whole
    parser.feed_eof()
    assert (parser.is_whole, parser.can_be_followed, parser.take()) == (True, False, b"abc")


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 200",
        OK,
        OK + b"Content-Length: 3\r\n",
        OK + b"Content-Length: 3\r\n\r\nab",
        OK + b"Content-Length: 18446744073709551615\r\n\r\nab",
        CHUNKED,
        CHUNKED + b"3\r\nab",
        CHUNKED + b"3\r\nabc\r\n",
        CHUNKED + b"3\r\nabc\r\n0\r\n",
        CHUNKED + b"3\r\nabc\r\n0\r\nX-Late: 1\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
)
def test_the_connections_end_makes_nothing_whole_that_is_framed(said: bytes) -> None:
    parser = parsed(said)
    parser.feed_eof()
    assert not parser.is_whole


@pytest.mark.parametrize(
    "said",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"ICY 200 OK\r\n",
        b"<html>",
        b"\x16\x03\x01",
        b"PRI * HTTP/2.0\r\n\r\n",
        b"http/1.1 200 OK\r\n\r\n",
        b"HTTP/0.9 200 OK\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.2 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 000 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 600 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 999 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        OK + b"Content-Length:\r\n\r\n",
        OK + b"Content-Length: -1\r\n\r\n",
        OK + b"Content-Length: +2\r\n\r\nok",
        OK + b"Content-Length: 0x2\r\n\r\nok",
        OK + b"Content-Length: 2, 2\r\n\r\nok",
        OK + b"Content-Length: 2 2\r\n\r\nok",
        OK + b"Content-Length: 18446744073709551616\r\n\r\nok",
        OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: identity\r\n\r\nabc",
        OK + b"Transfer-Encoding: xchunked\r\n\r\nabc",
        OK + b"Transfer-Encoding:\r\n\r\nabc",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"X-A: a\r\n folded\r\nContent-Length: 0\r\n\r\n",
        OK + b" X-A: a\r\nContent-Length: 0\r\n\r\n",
        OK + b"X-A : a\r\nContent-Length: 0\r\n\r\n",
        OK + b": a\r\nContent-Length: 0\r\n\r\n",
        OK + b"X-A\r\nContent-Length: 0\r\n\r\n",
        OK + b"X-A: a\rb\r\nContent-Length: 0\r\n\r\n",
        OK + b"X-A: a\nb\r\nContent-Length: 0\r\n\r\n",
        OK + b"X-A: a\x00b\r\nContent-Length: 0\r\n\r\n",
        OK + b"X-A: a\x7fb\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switch\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switch\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\nContent-Length: 2\r\n\r\nok" + OK,
        b"HTTP/1.1 199 X\r\nContent-Length: 2\r\n\r\nok" + OK,
        b"HTTP/1.1 103 X\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + OK,
        b"HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\n" + OK,
    ],
)
def test_what_is_no_answer_or_could_be_two_is_garbled_before_its_head_is_believed(
    said: bytes,
) -> None:
    for pieces in ([said], [said[at : at + 1] for at in range(len(said))]):
        parser = AnswerParser()
        with pytest.raises(GarbledError):
            feed(parser, pieces)
        assert not parser.has_head
        assert not parser.is_whole


@pytest.mark.parametrize(
    "chunk",
    [
        b"zz\r\n", b"-1\r\n", b"+1\r\n", b"0x1\r\na\r\n", b"1 \r\na\r\n", b"1\na\n", b"\r\n",
        b"ffffffffffffffff1\r\n", b"1\r\nab\r\n", b"1\r\na\n", b"1;\x00\r\na\r\n",
        b"0\r\nX: \x00\r\n\r\n", b"0\r\nContent-Length: 4\r\n\r\nevil", b"0\r\n X: folded\r\n\r\n",
    ],
)  # fmt: skip
def test_a_garbled_chunk_leaves_what_came_before_it(chunk: bytes) -> None:
    parser = AnswerParser()
    with pytest.raises(GarbledError):
        parser.feed(CHUNKED + b"2\r\nok\r\n" + chunk)
    assert (parser.has_head, parser.is_whole) == (True, False)
    assert parser.take()[:2] == b"ok"


FEW, MANY = b"X: 1\r\n" * (FIELDS_MAX - 1), b"X: 1\r\n" * FIELDS_MAX
FITS = b"X:" + b"y" * (FIELD_BYTES_MAX - 1) + b"\r\n"
LARGE = b"X:" + b"y" * FIELD_BYTES_MAX + b"\r\n"
ALL = FITS * (HEAD_BYTES_MAX // FIELD_BYTES_MAX)


@pytest.mark.parametrize(
    ("fields", "is_sound"),
    [(FEW, True), (MANY, False), (FITS, True), (LARGE, False), (ALL, False)],
)
@pytest.mark.parametrize("place", ["head", "interim", "trailers"])
@pytest.mark.parametrize("piece_bytes", [1 << 20, 5_000])
def test_headers_have_limits_wherever_they_stand(
    fields: bytes, is_sound: bool, place: str, piece_bytes: int
) -> None:
    end = OK + b"Content-Length: 0\r\n\r\n"
    said = {
        "head": OK + fields + b"Content-Length: 0\r\n\r\n",
        "interim": b"HTTP/1.1 103 Hints\r\n" + fields + b"\r\n" + end,
        "trailers": CHUNKED + b"0\r\n" + fields + b"\r\n",
    }[place]
    parser = AnswerParser()
    pieces = [said[at : at + piece_bytes] for at in range(0, len(said), piece_bytes)]
    if is_sound:
        feed(parser, pieces)
    else:
        with pytest.raises(GarbledError):
            feed(parser, pieces)
    assert parser.is_whole is is_sound


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (OK + b"X: ", b"y"),
        (b"HTTP/1.1 200 ", b"y"),
        (b"", b"\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (CHUNKED + b"1;x=", b"y"),
        (CHUNKED + b"0\r\nX: ", b"y"),
        (CHUNKED + b"0\r\nX-", b"y"),
        (CHUNKED, b"0"),
    ],
)
def test_what_never_becomes_a_head_or_a_body_has_an_end(begin: bytes, more: bytes) -> None:
    parser = parsed(begin)
    with pytest.raises(GarbledError):
        feed(parser, [more * (1000 // len(more) + 1)] * (HEAD_BYTES_MAX // 1000 + 1))
    assert not parser.is_whole
