"""The fast reader of JSON and the standard library's agree on every body that both take."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward.kernel import json_text
from tokenward.kernel.json_text import parse_object

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**40), 10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner), max_leaves=30
)
PIECES = st.sampled_from(
    [b"{", b"}", b"[", b"]", b",", b":", b'"a"', b'"b"', b'"\\u0061"', b'"\\ud800"', b'"\\udc00"',
     b'"\\ud83d\\ude00"', b"1", b"-0", b"-", b"01", b"1.", b"1e5", b"1E400", b"1e", b"true",
     b"null", b"NaN", b"Infinity", b"-Infinity", b'"', b"\\", b"\x00", b"\n", b"\x0b", b" ",
     b"\xef\xbb\xbf",
     b"\xff", b"\xc3\xa4", b"\xed\xa0\x80", b"9" * 30, b"9" * 5000, b"[" * 300, b"]" * 300,
     b"/**/"]
)  # fmt: skip


def outcome(read: Any, body: bytes) -> tuple[str, str]:
    """What came of it; numbers and signs of zero are compared as they are written."""
    try:
        return "read", repr(read(body))
    except ValueError as error:
        return "refused", str(error)


@given(st.dictionaries(TEXTS, VALUES), st.booleans(), st.sampled_from([None, 2]))
def test_what_anybody_writes_is_read_as_it_was_meant(
    value: dict[str, Any], ascii_only: bool, indent: int | None
) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    assert repr(parse_object(body)) == repr(value)


@given(st.lists(PIECES, max_size=30).map(b"".join))
def test_no_reader_takes_what_the_other_reads_differently(body: bytes) -> None:
    body = b'{"x":' + body + b"}"
    assert outcome(parse_object, body) == outcome(json_text._parse_anew, body)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_alike_or_refused(body: bytes) -> None:
    assert outcome(parse_object, body) == outcome(json_text._parse_anew, body)


@pytest.mark.parametrize(
    "body",
    [b'{"a":1,"a":2}', b'{"a":{"b":1,"b":2}}', b'{"a":[{"b":1,"\\u0062":2}]}', b'{"":1,"":1}'],
)
def test_a_name_that_stands_twice_is_refused_at_any_depth(body: bytes) -> None:
    with pytest.raises(ValueError, match="stands twice"):
        parse_object(body)
