"""Proto JSON (protobuf.dev, "ProtoJSON Format") as the Gemini API reads it.

A field may be written in lowerCamelCase or in snake_case, a whole number as a string of digits,
a list of one as its only item, and null means absent.
"""

import re
from functools import lru_cache
from typing import Final

from tokenward.kernel.json_text import JsonObject, JsonValue
from tokenward.providers.request_body import as_count, as_list, as_object

_CAPITAL: Final = re.compile("(?=[A-Z])")
_DIGITS: Final = re.compile("[0-9]{1,10}")


@lru_cache(maxsize=256)  # of the names in this package, a few dozen
def snake_case(name: str) -> str:
    """`maxOutputTokens` → `max_output_tokens`."""
    return _CAPITAL.sub("_", name).lower()


def spelling(item: JsonObject, name: str) -> str:
    """The spelling in which `item` has the field, `name` itself if it has none.

    ValueError if it has both: then it is unclear which of the two the provider obeys.
    """
    other = snake_case(name)
    if other != name and other in item:
        if name in item:
            raise ValueError(f"{name}: is given twice, also as {other}")
        return other
    return name


def field(item: JsonObject, name: str) -> JsonValue:
    """The field's value in whichever spelling, None if absent."""
    return item.get(spelling(item, name))


def object_field(item: JsonObject, name: str) -> JsonObject:
    """The field's object, empty if absent."""
    value = field(item, name)
    return {} if value is None else as_object(value, name)


def object_fields(item: JsonObject, name: str) -> list[JsonObject]:
    """The field's objects; one that stands alone is a list of one."""
    return [as_object(value, name) for value in list_field(item, name)]


def list_field(item: JsonObject, name: str) -> list[JsonValue]:
    """The field's items; one that stands alone is a list of one."""
    value = field(item, name)
    if value is None:
        return []
    return as_list(value, name) if isinstance(value, list) else [value]


def count_field(item: JsonObject, name: str, least: int = 0) -> int | None:
    """The field's whole number, None if absent. A string of digits is one, 10.0 is refused."""
    value = field(item, name)
    if value is None:
        return None
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    return as_count(value, name, least)


def unknown_names(item: JsonObject, known: frozenset[str]) -> set[str]:
    """The names in `item` that are none of `known`, in either spelling."""
    snakes = {snake_case(name) for name in known}
    return {name for name in item if name not in known and name not in snakes}
