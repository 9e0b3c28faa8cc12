"""The protocol, however it is cut."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward.store.valkey.resp import (
    REPLY_BYTES_MAX,
    GarbledError,
    Reader,
    Reply,
    ServerSaidError,
    pack,
)

said = st.recursive(
    st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.binary(max_size=40)),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=20,
)


def written(reply: Any) -> bytes:
    """As a server writes it."""
    match reply:
        case None:
            return b"$-1\r\n"
        case int():
            return b":%d\r\n" % reply
        case bytes():
            return b"$%d\r\n%b\r\n" % (len(reply), reply)
    return b"*%d\r\n" % len(reply) + b"".join(map(written, reply))


@given(st.lists(said, max_size=8), st.data())
def test_replies_come_out_as_they_went_in_however_they_were_cut(
    replies: list[Any], data: st.DataObject
) -> None:
    text, reader, got = b"".join(map(written, replies)), Reader(), list[Reply]()
    while text:
        cut = data.draw(st.integers(1, len(text)))
        got += reader.feed(text[:cut])
        text = text[cut:]
    assert got == replies


def test_one_byte_at_a_time_is_as_good() -> None:
    reader, got = Reader(), list[Reply]()
    for byte in b"+OK\r\n:7\r\n*2\r\n$2\r\nab\r\n*-1\r\n-MOVED 7 10.0.0.1:6379\r\n":
        got += reader.feed(bytes([byte]))
    *good, refused = got
    assert good == [b"OK", 7, [b"ab", None]]
    assert isinstance(refused, ServerSaidError)
    assert (refused.code, refused.text) == ("MOVED", "MOVED 7 10.0.0.1:6379")


@given(st.binary(max_size=200))
def test_whatever_comes_is_read_awaited_or_refused(data: bytes) -> None:
    with suppress(GarbledError):
        Reader().feed(data)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b":x\r\n",
        b":\r\n",
        b"$3\r\nabcd\r\n",
        b"$-2\r\n",
        b"*-2\r\n",
        b"$x\r\n",
        b"*1\r\n" * 20 + b":1\r\n",
        b">2\r\n+message\r\n",
    ],
)
def test_what_is_no_reply_is_refused(data: bytes) -> None:
    with pytest.raises(GarbledError):
        Reader().feed(data)


def test_an_answer_without_an_end_is_refused() -> None:
    reader = Reader()
    reader.feed(b"$%d\r\n" % (2 * REPLY_BYTES_MAX))
    with pytest.raises(GarbledError, match="no end"):
        reader.feed(bytes(REPLY_BYTES_MAX))


def test_commands_are_packed_whatever_is_in_them() -> None:
    assert pack(b"SET", b"a\r\nb", b"") == b"*3\r\n$3\r\nSET\r\n$4\r\na\r\nb\r\n$0\r\n\r\n"
