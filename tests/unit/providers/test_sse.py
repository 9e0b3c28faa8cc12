"""Where a server-sent event ends, and what it carries."""

import pytest

from tokenward.providers.sse import EventSplitter, event_data, event_name


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_events_end_at_a_blank_line_in_every_line_ending(end: bytes) -> None:
    splitter = EventSplitter()
    first = b"data: 1" + end + end
    second = b"event: x" + end + b"data: 2" + end + end
    events = splitter.feed(first + second)
    if end == b"\r":  # the last CR may be half of a CRLF
        assert events == [first]
        assert splitter.rest() == second
    else:
        assert events == [first, second]
        assert splitter.rest() == b""


def test_the_pieces_are_the_bytes_that_came_in() -> None:
    body = b"\xef\xbb\xbfdata: a\r\n\r\n: beat\n\n\n\nid: 7\rdata: b\r\rdata: left"
    splitter = EventSplitter()
    pieces = [piece for byte in body for piece in splitter.feed(bytes([byte]))]
    assert b"".join(pieces) + splitter.rest() == body


def test_a_crlf_cut_in_two_is_one_line_end() -> None:
    splitter = EventSplitter()
    assert splitter.feed(b"data: 1\r\n\r") == []
    assert splitter.feed(b"\ndata: 2\r\n\r\n") == [b"data: 1\r\n\r\n", b"data: 2\r\n\r\n"]


def test_an_event_within_the_limit_passes_and_one_beyond_it_ends_the_splitting() -> None:
    splitter = EventSplitter(limit=10)
    assert splitter.feed(b"data: 12\n\n") == [b"data: 12\n\n"]
    assert not splitter.overflowed
    assert splitter.feed(b"data: 123\n\ndata: 4\n\n") == [b"data: 123\n\ndata: 4\n\n"]
    assert splitter.overflowed
    assert splitter.feed(b"data: 5\n\n") == [b"data: 5\n\n"]
    assert splitter.rest() == b""


def test_an_event_that_never_ends_is_not_kept() -> None:
    splitter = EventSplitter(limit=1000)
    passed = b"".join(piece for _ in range(100) for piece in splitter.feed(b"x" * 100))
    assert splitter.overflowed
    assert passed == b"x" * 10_000


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (b"data: one\n\n", b"one"),
        (b"data:one\n\n", b"one"),
        (b"data:  one\r\n\r\n", b" one"),
        (b"data: one\ndata: two\n\n", b"one\ntwo"),
        (b"data\n\n", b""),
        (b": comment\n\n", b""),
        (b"\xef\xbb\xbfdata: one\n\n", b"one"),
        (b"database: no\n\n", b""),
    ],
)
def test_data_lines_are_joined(event: bytes, data: bytes) -> None:
    assert event_data(event) == data


def test_the_last_name_counts() -> None:
    assert event_name(b"event: a\nevent: b\ndata: 1\n\n") == b"b"
    assert event_name(b"data: 1\n\n") == b""
