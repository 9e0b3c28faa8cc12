"""Of a stream whole events are passed on, so that an error can follow one that broke off."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward.pipeline.relay import EVENT_WAITS_BYTES, Events

PIECES = st.lists(
    st.sampled_from([b"data: x", b"\n", b"\r", b"\r\n", b"\n\n", b"\r\n\r\n", b"event: y", b":"])
    | st.binary(max_size=5),
    max_size=20,
)


@given(PIECES)
def test_nothing_is_lost_and_nothing_changes_its_place(pieces: list[bytes]) -> None:
    events = Events()
    passed = b"".join([events.let_through(piece) for piece in pieces])
    assert passed + events.begun == b"".join(pieces)


@given(PIECES)
def test_what_passed_ends_with_a_blank_line(pieces: list[bytes]) -> None:
    events = Events()
    passed = b"".join([events.let_through(piece) for piece in pieces])
    assert not events.is_within
    last = passed.splitlines()[-1] if passed else b""
    assert not last or last.startswith(b":")


@pytest.mark.parametrize("blank", [b"\n\n", b"\r\n\r\n", b"\r\r"])
def test_an_event_goes_as_soon_as_it_is_whole(blank: bytes) -> None:
    events = Events()
    assert events.let_through(b"data: a" + blank + b"data: b") == b"data: a" + blank
    assert events.let_through(blank[:-1]) == b""
    assert events.let_through(blank[-1:]) == b"data: b" + blank


def test_a_comment_keeps_the_callers_connection_alive_too() -> None:
    events = Events()
    assert events.let_through(b": ping\n") == b": ping\n"
    assert events.let_through(b": half") == b""
    assert events.let_through(b"\ndata: x\n") == b""
    assert events.let_through(b"\n") == b": half\ndata: x\n\n"


def test_an_event_that_is_too_long_goes_as_it_comes_and_no_error_is_put_into_it() -> None:
    events = Events()
    picture = b"data: " + b"x" * EVENT_WAITS_BYTES
    assert events.let_through(picture) == picture
    assert events.is_within
    assert events.let_through(b":yy\n") == b":yy\n"
    assert events.is_within
    assert events.let_through(b"\n\ndata: b") == b"\n\n"
    assert not events.is_within
    assert events.begun == b"data: b"
