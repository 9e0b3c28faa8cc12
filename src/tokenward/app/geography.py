"""What is known of networks: the lists and databases that the settings name, read at the start.

Databases are held in memory. Mapped files would be faster, but one that is overwritten in place
(as a careless update does) ends the process that has it mapped; a look-up of some 20 µs is paid
once for an address, since `Networks` remembers the last ones.
"""

import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import islice
from pathlib import Path
from stat import S_ISREG
from typing import IO, TYPE_CHECKING, Final, TypeVar

from tokenward.kernel.errors import SettingsError
from tokenward.settings import Settings
from tokenward.signals.geodata import country_code, country_in, kind_in, position_in, system_in
from tokenward.signals.network import Atlas, Networks, no_position, no_system, nowhere
from tokenward.signals.ranges import AnyNetwork, Ranges, networks_in

if TYPE_CHECKING:
    from maxminddb import Reader

LIST_BYTES_MAX: Final = 64_000_000
DATABASE_BYTES_MAX: Final = 512_000_000
RECORDS_TRIED: Final = 1_000

# What the reader raises for files that are damaged somewhere in the middle; ValueError also for
# IPv6 addresses in a database of IPv4 alone.
_UNREADABLE: Final = (RuntimeError, ValueError, LookupError, TypeError, ArithmeticError)

Said = TypeVar("Said")


def networks(settings: Settings) -> Networks:
    """The networks of callers, as far as the settings' files and the built-in table tell.

    Raises SettingsError for a file that is not there, cannot be read or tells nothing, and where
    the package that reads databases is missing. Without any setting and package all is unknown.
    """
    network = settings.network
    built_in = _built_in()
    places, systems, kinds = (
        _database(settings, name) for name in ("country_db", "asn_db", "kind_db")
    )
    countries = places.look_up(country_in, "") if places else None
    return Networks(
        Atlas(
            country_of=_first_of(countries, built_in) if countries else built_in,
            system_of=systems.look_up(system_in, (0, "")) if systems else no_system,
            kind_of=kinds.look_up(kind_in, "") if kinds else nowhere,
            # What says the country may say more; a database of countries alone does not.
            position_of=places.look_up(position_in, None, is_needed=False)
            if places
            else no_position,
            datacenters=_ranges(settings, "datacenters", network.datacenters),
            vpns=_ranges(settings, "vpns", network.vpns),
            tor=_ranges(settings, "tor", network.tor),
        )
    )


def empty_lists(settings: Settings) -> list[str]:
    """Of lists that `networks` takes, those that name no network, as `network.tor (exits.txt)`: a
    download that failed leaves such files. Raises SettingsError for one that cannot be read."""
    network = settings.network
    lists = {"datacenters": network.datacenters, "vpns": network.vpns, "tor": network.tor}
    return [
        f"network.{name} ({path})"
        for name, paths in lists.items()
        for path in paths
        if next(_listed(settings, name, (path,)), None) is None
    ]


def _built_in() -> Callable[[str], str]:
    """To which country the registries gave an address; the extra `network` brings the table."""
    try:
        from iptocc import country_code as registered_in
    except ImportError:
        return nowhere
    return lambda address: country_code(registered_in(address))


def _first_of(look_up: Callable[[str], str], other: Callable[[str], str]) -> Callable[[str], str]:
    return lambda address: look_up(address) or other(address)


class _Database:
    """An open MMDB database, and what it is called in messages."""

    def __init__(self, reader: "Reader", what: str) -> None:
        self._reader, self._what = reader, what
        # Of each address its country is asked for, and then its position.
        self._record_of = lru_cache(maxsize=1)(reader.get)

    def look_up(
        self, read: Callable[[object], Said], unknown: Said, *, is_needed: bool = True
    ) -> Callable[[str], Said]:
        """A look-up of one field. Raises SettingsError where no record has it, if `is_needed`."""
        if is_needed:
            _check_says_something(self._reader, read, unknown, self._what)

        def look_up(address: str) -> Said:
            try:
                return read(self._record_of(address))
            except _UNREADABLE:
                return unknown

        return look_up


def _database(settings: Settings, name: str) -> _Database | None:
    """The database of that setting; None where it names none."""
    path, what = getattr(settings.network, name), f"network.{name}"
    if not path:
        return None
    return _Database(_open_database(settings.base_dir / path, what), f"{what}: {path}")


def _open_database(path: Path, what: str) -> "Reader":
    try:
        import maxminddb
    except ImportError:
        raise SettingsError(
            f"{what}: reading databases of networks needs one more package: "
            "pip install 'tokenward[network]'"
        ) from None
    with _open(path, what, DATABASE_BYTES_MAX) as file:
        try:
            return maxminddb.open_database(file, maxminddb.MODE_FD)
        except _UNREADABLE:
            raise SettingsError(
                f"{what}: {path} is not an MMDB file, or not a whole one. Get it anew; what comes "
                "packed (.gz, .tar.gz, .zip) must be unpacked first"
            ) from None


def _check_says_something(
    reader: "Reader", read: Callable[[object], Said], unknown: Said, what: str
) -> None:
    """A database of another sort would answer nothing to everything, and nobody would notice."""
    try:
        says = any(read(record) != unknown for _, record in islice(reader, RECORDS_TRIED))
    except _UNREADABLE:
        raise SettingsError(f"{what} is damaged. Get it anew") from None
    if not says:
        raise SettingsError(
            f"{what} says nothing of the kind: none of its first {RECORDS_TRIED:,} records. It "
            f"calls itself {str(reader.metadata().database_type)[:64]!r}"
        )


def _ranges(settings: Settings, name: str, paths: tuple[str, ...]) -> Ranges:
    """All the lists of that setting in one table."""
    try:
        return Ranges(_listed(settings, name, paths))
    except ValueError as error:
        raise SettingsError(f"network.{name}: {error}") from None


def _listed(settings: Settings, name: str, paths: tuple[str, ...]) -> Iterator[AnyNetwork]:
    for path in paths:
        with _open(settings.base_dir / path, f"network.{name}", LIST_BYTES_MAX) as file:
            text = file.read().decode("utf-8", "replace")  # what is damaged is no network
        yield from networks_in(text, path)


def _open(path: Path, what: str, bytes_max: int) -> IO[bytes]:
    """The file, if it is one that may be read whole. Raises SettingsError."""
    try:
        if not S_ISREG(path.stat().st_mode):
            raise SettingsError(f"{what}: {path} is not a file")
        file = path.open("rb")
    except OSError as error:
        raise SettingsError(
            f"{what}: {path} cannot be read: {error.strerror}. Put it there (paths start at the "
            "folder of the settings), or take it out of the settings"
        ) from None
    if os.fstat(file.fileno()).st_size > bytes_max:
        file.close()
        raise SettingsError(f"{what}: {path} is longer than {bytes_max:,} bytes")
    return file
