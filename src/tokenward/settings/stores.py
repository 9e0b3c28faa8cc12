"""Where records and hot state are kept: `[store]`, as URLs or as places where one stands."""

import re
from collections.abc import Mapping
from typing import Final

from tokenward.kernel.errors import SettingsError
from tokenward.kernel.secret import Secret
from tokenward.settings.references import resolve_secret
from tokenward.settings.shape import Settings, Store

RECORDS_SCHEMES: Final = ("postgresql", "postgres")
HOT_SCHEMES: Final = ("valkey", "valkeys", "redis", "rediss", "unix")
_REFERENCE: Final = re.compile(r"(env|file):")


def check_store(store: Store) -> None:
    """ValueError for what cannot be. A URL that stands elsewhere is looked at when it is read."""
    _check(store.records, RECORDS_SCHEMES, "store.records")
    _check(store.hot, HOT_SCHEMES, "store.hot")
    if store.hot and not store.records:
        raise ValueError(
            "store.hot: without store.records all is kept on this machine by one process; "
            "set store.records to a PostgreSQL, or leave out store.hot"
        )


def records_url(settings: Settings, environ: Mapping[str, str]) -> Secret | None:
    """The PostgreSQL of the records; None: the embedded store. Raises SettingsError."""
    return _read(settings, settings.store.records, RECORDS_SCHEMES, environ, "store.records")


def hot_url(settings: Settings, environ: Mapping[str, str]) -> Secret | None:
    """The Valkey of hot state; None: in this process. Raises SettingsError."""
    return _read(settings, settings.store.hot, HOT_SCHEMES, environ, "store.hot")


def _read(
    settings: Settings,
    written: str,
    schemes: tuple[str, ...],
    environ: Mapping[str, str],
    what: str,
) -> Secret | None:
    if not written:
        return None
    if not _REFERENCE.match(written):
        return Secret(written, what)
    found = resolve_secret(written, settings.base_dir, environ, what)
    assert found is not None, "only none names no secret"
    try:
        _check(found.reveal(), schemes, what)
    except ValueError as error:
        raise SettingsError(f"{error}") from None
    return found


def _check(written: str, schemes: tuple[str, ...], what: str) -> None:
    """Never repeats what is written: it may hold a password."""
    if not written or _REFERENCE.match(written):
        return
    scheme, _, rest = written.partition("://")
    if scheme not in schemes or not rest or not rest.isprintable():
        raise ValueError(
            f"{what}: must be a URL that begins with {schemes[0]}://, or env:NAME or file:PATH "
            "where it stands"
        )
