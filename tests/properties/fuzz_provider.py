"""Coverage-guided fuzzing of the answers' parser; run by `test_provider_answers.py`, or by hand:

    python tests/properties/fuzz_provider.py [libFuzzer options] [folder]

The first byte says what stands before the rest, so that what lies behind it is reached too; the
second how it is cut, and whether the connection ends behind it. What looks whole must be what a
plain reading finds whole, in one piece and in many; any exception but `GarbledError` ends the run.
"""

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1]))

with atheris.instrument_imports(include=["tokenward", "properties"]):
    from properties.plain_http import read_answer
    from tokenward.http.provider.address import split_url
    from tokenward.http.provider.parser import AnswerParser, GarbledError
    from tokenward.http.provider.request_head import request_head
    from tokenward.kernel.errors import UnsentError


OK = b"HTTP/1.1 200 OK\r\n"
BEFORE = {
    b"h": OK,
    b"c": OK + b"Transfer-Encoding: chunked\r\n\r\n",
    b"d": OK + b"Transfer-Encoding: chunked\r\n\r\n4;a=b\r\nbody\r\n",
    b"t": OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n",
    b"l": OK + b"Content-Length: ",
    b"b": OK + b"Content-Length: 4\r\n\r\n",
    b"e": OK + b"\r\n",
    b"i": b"HTTP/1.1 103 Early Hints\r\n",
    b"s": b"HTTP/1.",
}


def parsed(said: bytes, step: int, *, is_to_head: bool) -> AnswerParser:
    """Fed in pieces of `step` bytes, up to the first fault."""
    parser = AnswerParser(is_to_head=is_to_head)
    try:
        for at in range(0, len(said), step):
            parser.feed(said[at : at + step])
    except GarbledError:
        assert not parser.is_whole
    return parser


def run(data: bytes) -> None:
    """One input."""
    if data[:1] == b"u":
        run_request(data[1:])
        return
    how = data[1] if len(data) > 1 else 0
    step, is_ended, said = max(1, how & 63), how >= 128, BEFORE.get(data[:1], b"") + data[2:]
    plain = read_answer(said, is_ended=is_ended)
    whole, pieces = (parsed(said, each, is_to_head=False) for each in (len(said) + 1, step))
    assert (whole.has_head, whole.is_whole) == (pieces.has_head, pieces.is_whole)
    assert parsed(said, step, is_to_head=True).take() == b""
    for parser in (whole, pieces):
        if is_ended and not parser.is_whole:
            parser.feed_eof()
        if parser.is_whole:
            assert plain is not None
            assert (parser.status, tuple(parser.headers)) == (plain.status, plain.headers)
            assert parser.take() == plain.body
            assert not (parser.can_be_followed and plain.rest.strip(b"\r\n"))


def run_request(data: bytes) -> None:
    """A URL and a header never write a line that is not theirs."""
    url, _, field = data.partition(b"\n")
    name, _, value = field.partition(b"\n")
    try:
        origin, target = split_url(url.decode("latin-1"))
        head = request_head("POST", target, origin.authority, ((name, value),), 1)
    except UnsentError:
        return
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST " + target.encode("ascii") + b" HTTP/1.1"
    assert lines[0].count(b" ") == 2
    assert lines[1] == b"Host: " + origin.authority.encode("ascii")
    assert lines[-3:] == [b"Content-Length: 1", b"", b""]
    assert len(lines) in (5, 6)
    assert not any(line.startswith((b" ", b"\t")) for line in lines)


if __name__ == "__main__":
    atheris.Setup(sys.argv, run)
    atheris.Fuzz()
