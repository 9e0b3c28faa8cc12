"""HTTP/1.1 answers read once more, plainly and from the RFC: the judge of the parser.

Slow, for whole texts only, and strict: what it does not know for sure is None.
"""

import re
from dataclasses import dataclass

# What a reason phrase says is nobody's business: it may hold anything but the line's end.
_LINE = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: [^\r\n]*)?")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[\t ]*([\t -~\x80-\xff]*)")
_SIZE = re.compile(rb"[0-9]{1,20}")
_CHUNK = re.compile(rb"([0-9A-Fa-f]+)(;[\t -~\x80-\xff]*)?\r\n")


@dataclass(frozen=True)
class Plain:
    """`body` is None while the end is not there; `rest` is what came behind the answer."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes | None
    rest: bytes
    is_framed: bool


def read_answer(said: bytes, *, is_ended: bool) -> Plain | None:
    """The first final answer in `said`, None if there is none. `is_ended`: by the connection."""
    while True:
        said = re.sub(rb"\A[\r\n]+", b"", said)
        head, is_whole, rest = said.partition(b"\r\n\r\n")
        if not is_whole:
            return None
        line, *fields = head.split(b"\r\n")
        found = _LINE.fullmatch(line)
        if found is None:
            return None
        status, headers = int(found[1]), []
        for text in fields:
            field = _FIELD.fullmatch(text)
            if field is None:
                return None
            headers.append((field[1].lower(), field[2].strip(b" \t")))
        if status >= 200:
            return _with_body(status, tuple(headers), rest, is_ended=is_ended)
        said = rest


def _with_body(
    status: int, headers: tuple[tuple[bytes, bytes], ...], rest: bytes, *, is_ended: bool
) -> Plain | None:
    lengths = [value for name, value in headers if name == b"content-length"]
    codings = [value for name, value in headers if name == b"transfer-encoding"]
    body: bytes | None
    if not all(map(_SIZE.fullmatch, lengths)):
        return None
    if status in (204, 304):
        body, rest, is_framed = b"", rest, True
    elif codings:
        body, rest = _chunks(rest)
        is_framed = True
    elif lengths:
        size = int(lengths[0])
        body, rest = (rest[:size], rest[size:]) if len(rest) >= size else (None, b"")
        is_framed = True
    else:
        body, rest, is_framed = (rest if is_ended else None), b"", False
    return Plain(status, headers, body, rest, is_framed)


def _chunks(rest: bytes) -> tuple[bytes | None, bytes]:
    body = b""
    while found := _CHUNK.match(rest):
        size, rest = int(found[1], 16), rest[found.end() :]
        if size == 0:
            break
        if rest[size : size + 2] != b"\r\n":
            return None, b""
        body, rest = body + rest[:size], rest[size + 2 :]
    else:
        return None, b""
    while not rest.startswith(b"\r\n"):  # trailers
        line, is_whole, rest = rest.partition(b"\r\n")
        if not is_whole or _FIELD.fullmatch(line) is None:
            return None, b""
    return body, rest[2:]
