"""Strict JSON: what two parsers could read differently is refused."""

import json
from typing import NoReturn, cast

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
    """
    try:
        value = _decoder.decode(body.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at byte {error.pos}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("the body is not a JSON object")
    return cast(JsonObject, value)
