"""Is the value of the right kind? If not, what it must be and what it is, in plain words.

Text is never repeated: somebody may have written a secret there.
"""

import re
from decimal import Decimal
from typing import Final

import msgspec
from msgspec import inspect

_ITEM: Final = re.compile(r" - at `\$\[(\d+)\]`$")
_SHOWN_MAX: Final = 10**18
"""What is larger is no number that anybody meant for a setting."""
_UNQUOTED: Final = re.compile(r"true|false|[+-]?[0-9]+(\.[0-9]+)?")


def check_kind(value: object, kind: object, at: str) -> None:
    """ValueError unless `value`, as TOML gives it, is what the type `kind` of the setting `at`
    takes."""
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        shape = _given(inspect.type_info(kind))
        item = _ITEM.search(str(error))
        if item is not None and isinstance(value, list):
            assert isinstance(shape, inspect.VarTupleType), "only lists have items"
            place = int(item[1])
            value, shape, at = value[place], _given(shape.item_type), f"{at}[{place}]"
        raise ValueError(f"{at}: {_problem(value, shape)}") from None


def read_kind(text: str, kind: object) -> object:
    """The value of type `kind` that stands in `text`, as in a variable of the environment.
    Raises ValueError that says what must stand there."""
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError:
        shape = _given(inspect.type_info(kind))
        if isinstance(shape, inspect.StrType):
            raise ValueError(_problem(text, shape)) from None
        raise ValueError(f"must be {_words(shape)}") from None


def list_in(value: object, shape: inspect.VarTupleType, at: str) -> list[object]:
    """The list of tables itself; ValueError for what is none, and for one of too many."""
    if not isinstance(value, list):
        raise ValueError(
            f"{at}: must be a list of tables, each written [[{at}]], not {_what(value, shows=True)}"
        )
    if _is_wrong(len(value), shape):
        raise ValueError(f"{at}: {_length(len(value), shape, 'tables')}")
    return value


def table_in(value: object, head: str, at: str) -> dict[str, object]:
    """The table itself; ValueError for what is none. `head` is how one is written."""
    if not isinstance(value, dict):
        raise ValueError(f"{at}: must be a table, written {head}, not {_what(value, shows=True)}")
    return value


def number_words(shape: inspect.IntType | inspect.FloatType) -> str:
    """`whole number from 1 to 64`."""
    noun = "whole number" if isinstance(shape, inspect.IntType) else "number"
    low = f" above {_plain(shape.gt)}" if shape.gt is not None else ""
    low = f" from {_plain(shape.ge)}" if shape.ge is not None else low
    return noun + low + (f" to {_plain(shape.le)}" if shape.le is not None else "")


def _words(shape: inspect.Type) -> str:
    """What the setting may be, as words behind "must be"."""
    match shape:
        case inspect.LiteralType():
            return f"one of {', '.join(str(value) for value in shape.values if value != '')}"
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType() | inspect.FloatType():
            is_share = isinstance(shape, inspect.FloatType) and shape.le == 1
            return f"a {number_words(shape)}{' (0.01 is 1 %)' if is_share else ''}"
        case inspect.DecimalType():
            return "a number"
        case inspect.VarTupleType():
            return "a list"
        case _:
            return "text"


def _problem(value: object, shape: inspect.Type) -> str:
    if isinstance(value, str) and isinstance(shape, inspect.StrType):
        if _is_wrong(len(value), shape):
            return _length(len(value), shape, "characters")
        return f"must match {shape.pattern}"
    if isinstance(value, list) and isinstance(shape, inspect.VarTupleType):
        return _length(len(value), shape, "entries")
    must = f"must be {_words(shape)}"
    if isinstance(value, str) and isinstance(shape, inspect.LiteralType):
        return must
    shows = not isinstance(shape, inspect.StrType)
    return f"{must}, not {_what(value, shows=shows)}"


def _is_wrong(length: int, shape: inspect.StrType | inspect.VarTupleType) -> bool:
    longest = shape.max_length
    return length < (shape.min_length or 0) or (longest is not None and length > longest)


def _length(length: int, shape: inspect.StrType | inspect.VarTupleType, of: str) -> str:
    if length == 0:
        return "must not be empty"
    return f"must have at most {shape.max_length:,} {of}, not {length:,}"


def _what(value: object, *, shows: bool) -> str:
    """What stands there, as words behind "not"; a number itself, if it `shows`."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            hint = ": leave out the quotes" if shows and _UNQUOTED.fullmatch(value) else ""
            return f"text{hint}"
        case int() if shows and abs(value) < _SHOWN_MAX:
            return f"{value:,}"
        case float() if shows:
            return f"{value}"
        case int() | float():
            return "a number"
        case list():
            return "a list"
        case dict():
            return "a table"
        case _:
            return "a date or time"


def _plain(limit: float) -> str:
    """1,200 and 0.000001, without an exponent."""
    return f"{Decimal(repr(limit)):,f}"


def _given(shape: inspect.Type) -> inspect.Type:
    """What can stand in a file: TOML has no null, so a setting that may be absent is one type."""
    if isinstance(shape, inspect.UnionType):
        (shape,) = (kind for kind in shape.types if not isinstance(kind, inspect.NoneType))
    return shape
