"""Is there a setting of that name? An unknown one is an error that names the nearest."""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Final, get_type_hints

from msgspec import inspect

from tokenward.settings.kinds import check_kind, list_in, table_in
from tokenward.settings.shape import Written

LATER: Final = {
    "purpose": "declared purposes are not part of this version; remove the purpose settings",
}
"""Tables that the documentation names and this version does not have."""

SHAPE: Final = inspect.type_info(Written)
ANY_NAME: Final = {"prices": "MODEL", "policy.project": "NAME"}
"""Tables in which people choose the names, and what stands for one."""
NAME_SHOWN_MAX: Final = 64


def check_tables(tables: dict[str, object]) -> None:
    """ValueError for the first name that is no setting, value that is of the wrong kind, or setting
    that is missing."""
    for name, why in LATER.items():
        if name in tables:
            raise ValueError(f"{name}: {why}")
    assert isinstance(SHAPE, inspect.StructType), "settings are a table"
    _check_table(tables, SHAPE, "")


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


def _check(value: object, shape: inspect.Type, kind: object, at: str) -> None:
    """`kind` is the type whose `shape` it is."""
    if isinstance(shape, inspect.StructType):
        _check_table(table_in(value, f"[{at}]", at), shape, at)
    elif isinstance(shape, inspect.DictType):
        assert isinstance(shape.value_type, inspect.StructType), "people name tables"
        for name, inner in table_in(value, f"[{at}.{ANY_NAME[at]}]", at).items():
            own = f'{at}."{name[:NAME_SHOWN_MAX]}"'
            _check_table(table_in(inner, f"[{own}]", own), shape.value_type, own)
    elif isinstance(shape, inspect.VarTupleType) and isinstance(
        shape.item_type, inspect.StructType
    ):
        for place, inner in enumerate(list_in(value, shape, at)):
            own = f"{at}[{place}]"
            _check_table(table_in(inner, f"[[{at}]]", own), shape.item_type, own)
    else:
        check_kind(value, kind, at)


def _check_table(table: dict[str, object], shape: inspect.StructType, at: str) -> None:
    fields = {field.encode_name: field for field in shape.fields}
    kinds = get_type_hints(shape.cls, include_extras=True)
    for name, value in table.items():
        where = f"{at}.{name}" if at else name
        if name not in fields:
            nearest = _nearest(name, where, list(fields), at)
            raise ValueError(f"unknown setting {where[:120]}; the nearest known one is {nearest}")
        _check(value, fields[name].type, kinds[fields[name].name], where)
    for name, field in fields.items():
        if field.required and name not in table:
            raise ValueError(f"{at}: missing the setting {name}")


def _nearest(name: str, where: str, fields: list[str], at: str) -> str:
    """First in the same table, then anywhere: the name may be right and its table wrong."""
    beside = get_close_matches(name, fields, n=1)
    if beside:
        return f"{at}.{beside[0]}" if at else beside[0]
    known = list(dotted_names(SHAPE))
    of_that_name = [_until(name, dotted) for dotted in known if name in dotted.split(".")]
    return nearest_of(where, of_that_name or known)


def _until(name: str, dotted: str) -> str:
    """`policy.project` of `policy.project.NAME.kind`."""
    parts = dotted.split(".")
    return ".".join(parts[: parts.index(name) + 1])
