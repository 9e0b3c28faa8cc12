"""The drill's database tells its networks apart, in the guard's own reading of it."""

import io
from pathlib import Path

import pytest

from tokenward.kernel.signals import Network
from tokenward.lab.catalogue import COUNTRIES, dice, network
from tokenward.lab.drill.networks import (
    LISTS,
    PRIVATE,
    address_of,
    database,
    knows_countries,
    write_networks,
)
from tokenward.signals.geodata import country_in, kind_in, system_in

maxminddb = pytest.importorskip("maxminddb", reason="the extra `network` reads databases")


def _reader() -> "maxminddb.Reader":
    return maxminddb.open_database(io.BytesIO(database()), maxminddb.MODE_FD)


@pytest.mark.parametrize("kind", ["cloud", "vpn", "tor", "residential", "office"])
@pytest.mark.parametrize("country", COUNTRIES)
def test_an_address_is_read_back_as_the_network_it_stands_for(kind: str, country: str) -> None:
    made = network(dice(kind), kind, country)
    record = _reader().get(address_of(made))
    assert country_in(record) == made.country
    assert kind_in(record) == made.kind
    assert system_in(record)[0] >= 4_200_000_000


def test_networks_of_one_kind_are_told_apart_and_a_cloud_is_one_system_in_all_countries() -> None:
    clouds = {asn: _system("datacenter", asn, "US") for asn in (16509, 8075, 15169, 24940)}
    assert len(set(clouds.values())) == 4
    assert _system("datacenter", 16509, "DE") == clouds[16509]
    assert _system("residential", 100_000, "US") != _system("residential", 100_000, "DE")


def _system(kind: str, asn: int, country: str) -> int:
    made = Network(place=f"AS{asn}", country=country, asn=asn, kind=kind)
    return system_in(_reader().get(address_of(made)))[0]


def test_a_private_network_has_a_private_address() -> None:
    assert address_of(Network(place="private", kind="private")) == PRIVATE


def test_a_guard_that_can_read_databases_knows_countries() -> None:
    assert knows_countries()


def test_the_settings_name_the_files_that_were_written(tmp_path: Path) -> None:
    text = write_networks(tmp_path)
    for name in LISTS:
        assert f'{name} = ["{name}.txt"]' in text
        assert (tmp_path / f"{name}.txt").read_text("ascii") == f"{LISTS[name]}\n"
    assert 'country_db = "networks.mmdb"' in text
    assert (tmp_path / "networks.mmdb").read_bytes() == database()
