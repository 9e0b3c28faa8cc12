"""Answers that came compressed."""

import gzip
import zlib

import pytest

from tokenward.kernel.usage import Usage
from tokenward.providers.answers import DocumentReader
from tokenward.providers.decoding import DECODED_LIMIT, DecodingReader, reader_of_encoded
from tokenward.providers.interfaces import Reading


def length(body: bytes) -> Reading:
    return Reading(usage=Usage(characters=len(body)))


@pytest.mark.parametrize("encode", [gzip.compress, zlib.compress])
@pytest.mark.parametrize("step", [1, 1000])
def test_the_inner_reader_sees_the_plain_body_and_the_caller_the_encoded(
    encode: object, step: int
) -> None:
    assert callable(encode)
    reader = DecodingReader(DocumentReader(length))
    body = encode(b"word " * 5000)
    passed = b"".join(reader.feed(body[at : at + step]) for at in range(0, len(body), step))
    assert passed + reader.finish() == body
    assert reader.reading().usage == Usage(characters=25_000)


def test_a_bomb_is_not_decoded_to_its_end() -> None:
    reader = DecodingReader(DocumentReader(length))
    zeros = zlib.compressobj(9)
    bomb = b"".join(zeros.compress(bytes(2**24)) for _ in range(DECODED_LIMIT // 2**24 + 2))
    reader.feed(bomb + zeros.flush())
    reader.finish()
    assert reader.reading().usage is None
    assert "decoded" in reader.reading().problem


def test_a_plain_body_needs_no_decoding_and_an_unknown_encoding_has_none() -> None:
    inner = DocumentReader(length)
    assert reader_of_encoded(inner, b"identity") is inner
    assert reader_of_encoded(inner, b"") is inner
    assert reader_of_encoded(inner, b"zstd") is None
