"""Byte-exact edits of a JSON object: every byte that is not asked to change stays as it was.

The text must be one that `kernel.json_text.parse_object` accepted (or any parser, for a
provider's answer): the scanner here only locates, it does not check. A text it cannot follow
raises ValueError rather than being changed in the wrong place.
"""

import json
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

_SPACE: Final = re.compile(rb"[ \t\r\n]*+")
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_SCALAR: Final = re.compile(rb"[-+.0-9A-Za-z]++")
_TO_BRACKET: Final = re.compile(
    rb'(?:[^"{}\[\]]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+[{}\[\]]', re.DOTALL
)


class _Member(NamedTuple):
    """Where a member stands; `comma` is the comma before it, -1 for the first one."""

    name: str
    comma: int
    name_start: int
    value_start: int
    value_end: int


def insert_first(body: bytes, name: str, value: object) -> bytes:
    """`"name":value,` right after the opening brace of the object that `body` is.

    The object must have no member of that name yet.
    """
    return _insert_at(body, _open_brace(body, 0), name, value)


def insert_nested(body: bytes, path: tuple[str, ...], name: str, value: object) -> bytes:
    """`"name":value,` right after the opening brace of the object at `path`.

    ValueError when there is no object at `path`.
    """
    span = find_value(body, path)
    if span is None:
        raise ValueError(f"there is no {'.'.join(path)} in the text")
    return _insert_at(body, _open_brace(body, span[0]), name, value)


def replace_value(body: bytes, path: tuple[str, ...], value: object) -> bytes:
    """The value at `path` replaced; ValueError when there is none."""
    span = find_value(body, path)
    if span is None:
        raise ValueError(f"there is no {'.'.join(path)} in the text")
    return body[: span[0]] + _encode(value) + body[span[1] :]


def remove_member(body: bytes, name: str) -> bytes:
    """`body` without its member `name` and one comma; unchanged when it has none."""
    members = _members(body, _open_brace(body, 0))
    for member in members:
        if member.name != name:
            continue
        if member.comma >= 0:
            return body[: member.comma] + body[member.value_end :]
        following = next(members, None)
        cut_end = member.value_end if following is None else following.name_start
        return body[: member.name_start] + body[cut_end:]
    return body


def find_value(body: bytes, path: tuple[str, ...]) -> tuple[int, int] | None:
    """Start and end of the value at `path`, one name an object, or None."""
    # A name that does not stand in the text could only hide behind \u escapes.
    if b"\\u" not in body and any(name.encode() not in body for name in path):
        return None
    start, end = _skip_space(body, 0), len(body)
    for name in path:
        if body[start : start + 1] != b"{":
            return None
        for member in _members(body, start):
            if member.name == name:
                start, end = member.value_start, member.value_end
                break
        else:
            return None
    return start, end


def _insert_at(body: bytes, brace: int, name: str, value: object) -> bytes:
    at = brace + 1
    comma = b"" if body[_skip_space(body, at)] == ord("}") else b","
    # A view, so that a large body is copied once.
    return b"".join((body[:at], _encode(name), b":", _encode(value), comma, memoryview(body)[at:]))


def _encode(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _skip_space(body: bytes, at: int) -> int:
    found = _SPACE.match(body, at)
    assert found is not None, "an empty run of spaces matches too"
    if found.end() == len(body):
        raise ValueError("the text ends too early")
    return found.end()


def _open_brace(body: bytes, at: int) -> int:
    brace = _skip_space(body, at)
    if body[brace] != ord("{"):
        raise ValueError("the text is not a JSON object")
    return brace


def _members(body: bytes, brace: int) -> Iterator[_Member]:
    """The members of the object whose opening brace stands at `brace`, in order."""
    at, comma = _skip_space(body, brace + 1), -1
    while body[at] != ord("}"):
        name_start = at
        name_end = _end_of_value(body, at)
        colon = _skip_space(body, name_end)
        if body[at] != ord('"') or body[colon] != ord(":"):
            raise ValueError(f"no member's name at byte {at}")
        value_start = _skip_space(body, colon + 1)
        value_end = _end_of_value(body, value_start)
        name = str(json.loads(body[name_start:name_end].decode(), strict=False))
        yield _Member(name, comma, name_start, value_start, value_end)
        at = _skip_space(body, value_end)
        if body[at] == ord(","):
            comma, at = at, _skip_space(body, at + 1)
        elif body[at] != ord("}"):
            raise ValueError(f"no comma at byte {at}")


def _end_of_value(body: bytes, at: int) -> int:
    first = body[at : at + 1]
    if first not in (b"{", b"["):
        found = (_STRING if first == b'"' else _SCALAR).match(body, at)
        if found is None:
            raise ValueError(f"no value at byte {at}")
        return found.end()
    depth = 0
    while (mark := _TO_BRACKET.match(body, at)) is not None:
        at = mark.end()
        depth += 1 if body[at - 1] in b"{[" else -1
        if depth == 0:
            return at
    raise ValueError("the text ends too early")
