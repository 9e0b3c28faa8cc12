"""`TOKENWARD_SERVER__PORT=9000` overrides `server.port`."""

from collections.abc import Mapping
from typing import Final, get_type_hints

from msgspec import inspect

from tokenward.kernel.errors import SettingsError
from tokenward.settings.kinds import read_kind
from tokenward.settings.names import LATER, SHAPE, dotted_names, nearest_of

PREFIX: Final = "TOKENWARD_"


def override(tables: dict[str, object], environ: Mapping[str, str]) -> None:
    """Write the overrides in `environ` into `tables`; SettingsError names the variable.

    Only names with a double underscore are overrides: others with our prefix are secrets that
    `env:` refers to, or what Kubernetes sets for a service that is called tokenward.
    """
    kinds = _overridable()
    for variable in sorted(environ):
        section, is_override, name = variable.removeprefix(PREFIX).lower().partition("__")
        if not variable.startswith(PREFIX) or not is_override:
            continue
        if variable not in kinds:
            raise SettingsError(_why_not(variable, section, name, list(kinds)))
        table = tables.setdefault(section, {})
        if isinstance(table, dict):
            table[name] = _value(variable, environ[variable], kinds[variable])


def _why_not(variable: str, section: str, name: str, known: list[str]) -> str:
    if section in LATER:
        return f"Environment variable {variable}: {LATER[section]}"
    nearest = nearest_of(variable.upper(), known)
    is_known = f"{section}.{name}" in dotted_names(SHAPE) and variable.upper() != nearest
    if is_known or section in ("provider", "prices", "workload"):
        return f"Environment variable {variable}: only single values; set this one in the file"
    return f"Environment variable {variable}: unknown setting; the nearest known one is {nearest}"


def _value(variable: str, text: str, kind: object) -> object:
    try:
        return read_kind(text, kind)
    except ValueError as error:
        raise SettingsError(f"Environment variable {variable}: {error}") from None


def _overridable() -> dict[str, object]:
    """Variable → type, for every setting that is one value (lists and prices are not)."""
    kinds: dict[str, object] = {}
    assert isinstance(SHAPE, inspect.StructType), "settings are a table"
    for section in SHAPE.fields:
        if not isinstance(section.type, inspect.StructType):
            continue
        hints = get_type_hints(section.type.cls, include_extras=True)
        for field in section.type.fields:
            if not isinstance(field.type, inspect.VarTupleType | inspect.DictType):
                variable = f"{PREFIX}{section.encode_name}__{field.encode_name}".upper()
                kinds[variable] = hints[field.name]
    return kinds
