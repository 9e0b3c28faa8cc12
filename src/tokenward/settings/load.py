"""From a file and the environment to `Settings`, or to a `SettingsError` that says what to do."""

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import msgspec

from tokenward.kernel.errors import SettingsError
from tokenward.settings.checks import check
from tokenward.settings.environment import override
from tokenward.settings.names import check_tables
from tokenward.settings.shape import Settings, Written

FILE_BYTES_MAX: Final = 1_000_000


def load(path: Path, environ: Mapping[str, str]) -> Settings:
    """The settings in `path`, overridden by `TOKENWARD_SECTION__NAME` in `environ`.

    Raises SettingsError for a file that cannot be read, an unknown name, a wrong type or a value
    that cannot work. Secrets are only checked for their form: `resolve_secret` fetches them.
    """
    tables = _read(path)
    try:
        override(tables, environ)
        check_tables(tables)
        written = msgspec.convert(tables, Written)
        check(written)
    except (ValueError, msgspec.ValidationError) as error:
        raise SettingsError(f"{path.name}: {error}") from None
    values = {name: getattr(written, name) for name in Written.__struct_fields__}
    return Settings(path=path.absolute(), **values)


def example_text() -> str:
    """The commented file that `tokenward init` writes."""
    example = files("tokenward.settings") / "tokenward.example.toml"
    return example.read_text(encoding="utf-8")


def _read(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            text = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        raise SettingsError(
            f"There are no settings at {path}. Write them with: tokenward init, or name another "
            "file with --config or TOKENWARD_CONFIG"
        ) from None
    except OSError as error:
        raise SettingsError(f"The settings at {path} cannot be read: {error.strerror}") from None
    if len(text) > FILE_BYTES_MAX:
        raise SettingsError(f"{path.name} is longer than {FILE_BYTES_MAX:,} bytes")
    try:
        return tomllib.loads(text.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path.name} is not UTF-8 at byte {error.start}") from None
    except ValueError as error:  # also for a number of more digits than Python reads
        raise SettingsError(f"{path.name} is not TOML: {error}") from None
    except RecursionError:
        raise SettingsError(f"{path.name} is nested too deeply") from None
