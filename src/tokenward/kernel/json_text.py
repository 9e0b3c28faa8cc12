"""Strict JSON: what two parsers could read differently is refused."""

import json
from typing import NoReturn

from jiter import from_json

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]
JsonObject = dict[str, JsonValue]


def _unique(pairs: list[tuple[str, JsonValue]]) -> JsonObject:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise ValueError(f"the name {name[:40]!r} stands twice in one object")
            seen.add(name)
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_decoder = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant, strict=True)


def parse_object(body: bytes) -> JsonObject:
    """`body` as a JSON object; ValueError says plainly what is wrong with it.

    Refused: anything but UTF-8, a byte-order mark, a name twice in one object (at any depth; the
    guard and the provider could read different ones), NaN and Infinity, raw control characters,
    nesting too deep for the parser, numbers of thousands of digits.

    jiter reads nearly every body, in half the time. What it does not take gets its answer from the
    standard library, which says where the fault is, and takes half a surrogate pair, as some
    callers write one where they cut a text.
    """
    try:
        read: JsonValue = from_json(
            body, allow_inf_nan=False, cache_mode="keys", catch_duplicate_keys=True
        )
    except ValueError:
        return _parse_anew(body)
    return _as_object(read)


def _parse_anew(body: bytes) -> JsonObject:
    try:
        value = _decoder.decode(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at byte {error.pos}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return _as_object(value)


def _as_object(value: JsonValue) -> JsonObject:
    if not isinstance(value, dict):
        raise ValueError("the body is not a JSON object")
    return value
