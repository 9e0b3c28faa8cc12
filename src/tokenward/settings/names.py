"""Is there a setting of that name? An unknown one is an error that names the nearest."""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Final

from msgspec import inspect

from tokenward.settings.shape import Written

LATER: Final = {
    "purpose": "declared purposes are not part of this version; remove the purpose settings",
}
"""Tables that the documentation names and this version does not have."""

SHAPE: Final = inspect.type_info(Written)
ANY_NAME: Final = {"prices": "MODEL", "policy.project": "NAME"}
"""Tables in which people choose the names, and what stands for one."""


def check_names(tables: dict[str, object]) -> None:
    """ValueError for the first name that is no setting, or word that is no choice of a setting."""
    for name, why in LATER.items():
        if name in tables:
            raise ValueError(f"{name}: {why}")
    _check(tables, SHAPE, "")


def nearest_of(name: str, known: list[str]) -> str:
    """The known name most like `name`."""
    return get_close_matches(name, known, n=1, cutoff=0.0)[0]


def dotted_names(shape: inspect.Type, at: str = "") -> Iterator[str]:
    """Every setting as people write it: `server.port`, `provider.name`, `prices.MODEL.…`."""
    if isinstance(shape, inspect.StructType):
        for field in shape.fields:
            name = field.encode_name
            yield from dotted_names(field.type, f"{at}.{name}" if at else name)
    elif isinstance(shape, inspect.DictType):
        yield from dotted_names(shape.value_type, f"{at}.{ANY_NAME[at]}")
    elif isinstance(shape, inspect.VarTupleType) and isinstance(
        shape.item_type, inspect.StructType
    ):
        yield from dotted_names(shape.item_type, at)
    else:
        yield at


def _check(value: object, shape: inspect.Type, at: str) -> None:
    if isinstance(shape, inspect.StructType) and isinstance(value, dict):
        fields = {field.encode_name: field.type for field in shape.fields}
        for name, inner in value.items():
            where = f"{at}.{name}" if at else name
            if name not in fields:
                nearest = _nearest(name, where, list(fields), at)
                raise ValueError(
                    f"unknown setting {where[:120]}; the nearest known one is {nearest}"
                )
            _check(inner, fields[name], where)
    elif isinstance(shape, inspect.DictType) and isinstance(value, dict):
        for name, inner in value.items():
            _check(inner, shape.value_type, f'{at}."{name}"')
    elif isinstance(shape, inspect.VarTupleType) and isinstance(value, list):
        for place, inner in enumerate(value):
            _check(inner, shape.item_type, f"{at}[{place}]")
    elif isinstance(shape, inspect.LiteralType) and value not in shape.values:
        raise ValueError(f"{at}: must be one of {', '.join(map(str, shape.values))}")


def _nearest(name: str, where: str, fields: list[str], at: str) -> str:
    """First in the same table, then anywhere: the name may be right and its table wrong."""
    beside = get_close_matches(name, fields, n=1)
    if beside:
        return f"{at}.{beside[0]}" if at else beside[0]
    return nearest_of(where, list(dotted_names(SHAPE)))
