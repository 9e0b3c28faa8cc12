"""Which JSON writer made a body?"""

import json

import pytest

from tokenward.signals.serializer import (
    KEYS_BYTES_MAX,
    LOOKED_AT_BYTES,
    NOTHING,
    read_serializer,
    words,
)

ASK = {"model": "m", "text": "é <b>"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (json.dumps(ASK), "spaced unicode-escaped html-raw sorted"),
        (json.dumps(ASK, separators=(",", ":")), "compact unicode-escaped html-raw sorted"),
        (
            json.dumps(ASK, ensure_ascii=False, separators=(",", ":")),
            "compact unicode-raw html-raw sorted",
        ),
        ('{"model":"m","text":"é \\u003cb\\u003e"}', "compact unicode-raw html-escaped sorted"),
        ('{"text":"x","model":"m"}', "compact unsorted"),
        ('{"model":"m"}', "compact"),
        ('{"model": "m"}', "spaced"),
        ('{\n  "model": "m"\n}', ""),
        ('{"a":"\\ud83d\\ude00"}', "compact unicode-escaped"),
    ],
)
def test_the_writer_shows(body: str, said: str) -> None:
    assert words(read_serializer(body.encode("utf-8"))) == said


@pytest.mark.parametrize(
    "text",
    [
        r"a\\u00e9",  # a backslash and a u, as text
        r"\u2028",  # JavaScript and Go escape this
        r"\ud83d",  # half of a pair: JSON.stringify escapes it
        r"\u001b",
        r"\\u003c",
    ],
)
def test_what_many_writers_escape_is_no_evidence(text: str) -> None:
    assert words(read_serializer(b'{"a":"%s"}' % text.encode())) == "compact"


@pytest.mark.parametrize("body", [b"", b"--form\r\n", b"[1]", b"\x1f\x8b", b"null", b'"{"'])
def test_what_is_not_an_object_says_nothing(body: bytes) -> None:
    assert read_serializer(body) == NOTHING


def test_only_the_beginning_is_read() -> None:
    late = b'{"a":"' + b"x" * LOOKED_AT_BYTES + "é<".encode() + b'","b":1}'
    assert words(read_serializer(late)) == "compact sorted"
    longer = b'{"a":"' + b"x" * KEYS_BYTES_MAX + b'","b":1}'
    assert words(read_serializer(longer)) == "compact"


def test_a_body_that_is_not_whole_has_no_order_of_keys() -> None:
    assert read_serializer(b'{"a":1,"b":').is_sorted is None
    assert read_serializer(b'{"a":' + b"[" * 5_000).is_sorted is None
