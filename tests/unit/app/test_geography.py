"""What is known of networks, out of the files that the settings name."""

import os
import random
import sys
from pathlib import Path
from types import ModuleType

import pytest

from mmdb import mmdb
from seen_calls import at, call, learned, lived
from tokenward.app.geography import LIST_BYTES_MAX, RECORDS_TRIED, networks
from tokenward.detectors.recent import Recent
from tokenward.kernel.errors import SettingsError
from tokenward.kernel.signals import Network
from tokenward.settings import load
from tokenward.signals.network import Networks

COUNTRIES = {
    "8.8.8.0/24": {"country": {"iso_code": "DE"}},
    "2001:4860::/32": {"country": {"iso_code": "CH"}},
}
SYSTEMS = {
    "8.8.8.0/24": {
        "autonomous_system_number": 64_500,
        "autonomous_system_organization": "Example Hosting",
    },
    "203.0.113.0/24": {"asn": "AS64501", "as_name": "Example Access"},
}
CITIES = {
    "192.0.2.0/24": {
        "country": {"iso_code": "DE"},
        "city": {"names": {"en": "Berlin"}},
        "location": {"latitude": 52.52, "longitude": 13.41, "accuracy_radius": 20},
    },
    "198.51.100.0/24": {
        "country": {"iso_code": "BR"},
        "city": {"names": {"en": "São Paulo"}},
        "location": {"latitude": -23.55, "longitude": -46.63, "accuracy_radius": 20},
    },
    "203.0.113.0/24": {"country": "FR", "city": "Paris", "loc": "48.86,2.35"},
    "2001:db8::/32": {"country": {"iso_code": "US"}},
}
KINDS = {"203.0.113.0/24": {"is_anonymous": True, "is_tor_exit_node": True}}


def made(folder: Path, text: str) -> Networks:
    file = folder / "tokenward.toml"
    file.write_text(f"[network]\n{text}\n", "utf-8")
    return networks(load(file, {}))


def why_not(folder: Path, text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        made(folder, text)
    return str(caught.value)


# What is there is used


def test_without_any_file_the_built_in_table_tells_the_country(tmp_path: Path) -> None:
    known = made(tmp_path, "")
    assert known.of("8.8.8.8") == Network(place="US:8.8.0.0/16", country="US", block="8.8.8.0/24")
    assert known.of("2a01:4f8::1").country == "DE"
    assert known.of("192.0.2.1").country == ""


@pytest.mark.parametrize("said", ["EU", "ZZ", None])
def test_what_the_built_in_table_says_that_is_no_country_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str | None
) -> None:
    table = ModuleType("iptocc")
    table.__dict__["country_code"] = lambda address: {"192.0.2.1": "CH"}.get(address, said)
    monkeypatch.setitem(sys.modules, "iptocc", table)
    known = made(tmp_path, "")
    assert [known.of(address).country for address in ("192.0.2.1", "192.0.2.2")] == ["CH", ""]


def test_without_the_extra_countries_are_unknown_and_lists_still_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "iptocc", None)
    monkeypatch.setitem(sys.modules, "maxminddb", None)
    (tmp_path / "dc.txt").write_text("203.0.113.0/24\n", "utf-8")
    known = made(tmp_path, 'datacenters = ["dc.txt"]')
    assert known.of("8.8.8.8") == Network(place="??:8.8.0.0/16", block="8.8.8.0/24")
    assert known.of("203.0.113.9").kind == "datacenter"


def test_a_database_of_countries_comes_before_the_built_in_table(tmp_path: Path) -> None:
    (tmp_path / "country.mmdb").write_bytes(mmdb(COUNTRIES))
    known = made(tmp_path, 'country_db = "country.mmdb"')
    assert known.of("8.8.8.8").country == "DE"
    assert known.of("::ffff:8.8.8.8").country == "DE"
    assert known.of("2001:4860:4860::8888").country == "CH"
    assert known.of("8.8.4.4").country == "US"


def test_databases_name_the_system_and_the_kind(tmp_path: Path) -> None:
    (tmp_path / "asn.mmdb").write_bytes(mmdb(SYSTEMS))
    (tmp_path / "kind.mmdb").write_bytes(mmdb(KINDS))
    known = made(tmp_path, 'asn_db = "asn.mmdb"\nkind_db = "kind.mmdb"')
    assert known.of("8.8.8.8") == Network(
        place="AS64500",
        country="US",
        asn=64_500,
        owner="Example Hosting",
        block="8.8.8.0/24",
    )
    assert known.of("203.0.113.9") == Network(
        place="AS64501",
        asn=64_501,
        owner="Example Access",
        kind="tor",
        block="203.0.113.0/24",
    )


def test_a_database_of_cities_says_the_position_with_the_country(tmp_path: Path) -> None:
    (tmp_path / "city.mmdb").write_bytes(mmdb(CITIES))
    known = made(tmp_path, 'country_db = "city.mmdb"')
    assert known.of("192.0.2.7") == Network(
        place="DE:192.0.0.0/16",
        country="DE",
        block="192.0.2.0/24",
        position=(52.52, 13.41, 20.0),
    )
    assert known.of("203.0.113.9").position == (48.86, 2.35, 50.0)
    assert known.of("2001:db8::1").country == "US"
    assert known.of("2001:db8::1").position is None
    assert known.of("100.128.0.1").position is None


def test_a_database_of_countries_alone_is_enough_and_says_no_position(tmp_path: Path) -> None:
    (tmp_path / "country.mmdb").write_bytes(mmdb(COUNTRIES))
    known = made(tmp_path, 'country_db = "country.mmdb"').of("8.8.8.8")
    assert (known.country, known.position) == ("DE", None)


def test_positions_are_not_taken_from_databases_of_something_else(tmp_path: Path) -> None:
    record = {"asn": 64_500, "vpn": True, "location": {"latitude": 52.5, "longitude": 13.4}}
    (tmp_path / "all.mmdb").write_bytes(mmdb({"8.8.8.0/24": record}))
    known = made(tmp_path, 'asn_db = "all.mmdb"\nkind_db = "all.mmdb"').of("8.8.8.8")
    assert (known.asn, known.kind, known.position) == (64_500, "vpn", None)


def test_a_key_that_is_in_two_continents_within_minutes_is_told(tmp_path: Path) -> None:
    (tmp_path / "city.mmdb").write_bytes(mmdb(CITIES))
    known = made(tmp_path, 'country_db = "city.mmdb"')
    home, recent = known.of("192.0.2.7"), Recent()
    past = learned(lived(), call(at(), network=_fields(home)))
    for day in range(1, 4):
        learned(past, call(at(20_000 + day), network=_fields(home)))
    recent.note(call(at(20_004), network=_fields(home)), is_clean=True, is_error=False)

    def codes(address: str, second: float) -> list[str]:
        seen = call(at(20_004, second), network=_fields(known.of(address)))
        return [sign.code for sign in recent.signs(seen, past, "developer")]

    assert codes("198.51.100.7", 720) == ["travel:speed"]
    assert codes("198.51.100.7", 11 * 3_600) == []
    assert codes("203.0.113.9", 720) == ["travel:speed"]
    assert codes("203.0.113.9", 2 * 3_600) == []
    assert codes("192.0.2.200", 720) == []
    assert codes("2001:db8::1", 720) == []


def _fields(network: Network) -> dict[str, object]:
    return {name: getattr(network, name) for name in network.__struct_fields__}


def test_lists_tell_the_kind_and_several_are_one(tmp_path: Path) -> None:
    (tmp_path / "nets").mkdir()
    for name, text in (("a", "198.51.100.0/25"), ("b", "198.51.100.128/25"), ("t", "192.0.2.9")):
        (tmp_path / "nets" / name).write_text(f"# {name}\n{text}\n", "utf-8")
    known = made(
        tmp_path, 'datacenters = ["nets/a"]\nvpns = ["nets/a", "nets/b"]\ntor = ["nets/t"]'
    )
    kinds = [known.of(f"198.51.100.{last}").kind for last in (1, 200)]
    assert kinds == ["vpn", "vpn"]
    assert known.of("192.0.2.9").kind == "tor"


def test_a_database_of_ipv4_alone_knows_no_ipv6_address(tmp_path: Path) -> None:
    (tmp_path / "asn.mmdb").write_bytes(mmdb({"8.8.8.0/24": SYSTEMS["8.8.8.0/24"]}, ip_version=4))
    known = made(tmp_path, 'asn_db = "asn.mmdb"')
    assert known.of("8.8.8.8").asn == 64_500
    assert known.of("2001:4860::1").asn == 0


def test_files_are_read_at_the_start_and_may_be_overwritten_then(tmp_path: Path) -> None:
    file, listed = tmp_path / "asn.mmdb", tmp_path / "dc.txt"
    file.write_bytes(mmdb(SYSTEMS))
    listed.write_text("192.0.2.0/24\n", "utf-8")
    known = made(tmp_path, 'asn_db = "asn.mmdb"\ndatacenters = ["dc.txt"]')
    for path in (file, listed):
        os.truncate(path, 0)
    assert known.of("8.8.8.8").asn == 64_500
    assert known.of("192.0.2.1").kind == "datacenter"


def test_a_database_damaged_in_the_middle_answers_unknown(tmp_path: Path) -> None:
    record: dict[str, object] = {"country_code": "DE", "pad": ["x" * 50] * 50}
    many: dict[str, object] = {
        f"20.{n >> 8}.{n & 255}.0/24": record for n in range(RECORDS_TRIED + 9)
    }
    whole = mmdb({**many, "203.0.113.0/24": {"country_code": "CH", "last": "record"}})
    (tmp_path / "country.mmdb").write_bytes(whole)
    assert made(tmp_path, 'country_db = "country.mmdb"').of("203.0.113.9").country == "CH"
    raw = bytearray(whole)
    place = raw.index(b"country_code", raw.index(b"CH") - 30)
    raw[place - 2] = 0xFF  # what was a map of two fields claims to be one of millions
    (tmp_path / "country.mmdb").write_bytes(raw)
    known = made(tmp_path, 'country_db = "country.mmdb"')
    assert known.of("20.0.7.7").country == "DE"
    assert known.of("203.0.113.9") == Network(place="??:203.0.0.0/16", block="203.0.113.0/24")


@pytest.mark.parametrize("seed", range(60))
def test_no_damage_makes_a_look_up_raise(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    whole = {**SYSTEMS, "198.51.100.0/24": {**CITIES["198.51.100.0/24"], "vpn": True}}
    raw = bytearray(mmdb(whole))
    for _ in range(dice.choice((1, 3, 9))):
        raw[dice.randrange(len(raw))] = dice.randrange(256)
    (tmp_path / "all.mmdb").write_bytes(raw)
    try:
        known = made(
            tmp_path, "\n".join(f'{n}_db = "all.mmdb"' for n in ("country", "asn", "kind"))
        )
    except SettingsError as error:
        assert "all.mmdb" in str(error)  # noqa: PT017 - either of two ends is right
        return
    for address in ("8.8.8.8", "203.0.113.9", "198.51.100.7", "2001:db8::1", "192.0.2.1"):
        assert known.of(address).place


# What is not there is said


@pytest.mark.parametrize("name", ["country_db", "asn_db", "kind_db", "datacenters", "vpns", "tor"])
def test_a_file_that_is_not_there_stops_the_start_and_is_named(tmp_path: Path, name: str) -> None:
    value = '"nets/gone"' if name.endswith("_db") else '["nets/gone"]'
    said = why_not(tmp_path, f"{name} = {value}")
    assert said.startswith(f"network.{name}: {tmp_path / 'nets/gone'} cannot be read: No such file")
    assert "take it out of the settings" in said


@pytest.mark.parametrize("text", ['asn_db = "."', 'tor = ["."]'])
def test_a_folder_is_no_file(tmp_path: Path, text: str) -> None:
    assert "is not a file" in why_not(tmp_path, text)


def test_a_database_without_the_extra_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "maxminddb", None)
    (tmp_path / "asn.mmdb").write_bytes(mmdb(SYSTEMS))
    said = why_not(tmp_path, 'asn_db = "asn.mmdb"')
    assert said.startswith("network.asn_db: ")
    assert "pip install 'tokenward[network]'" in said


@pytest.mark.parametrize(
    "raw", [b"", b"\x1f\x8b" + b"packed" * 99, mmdb(SYSTEMS)[:-40], b"\xab\xcd\xefMaxMind.com"]
)
def test_a_file_that_is_no_database_stops_the_start(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "asn.mmdb").write_bytes(raw)
    assert "is not an MMDB file, or not a whole one" in why_not(tmp_path, 'asn_db = "asn.mmdb"')


def test_a_database_of_another_sort_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "c.mmdb").write_bytes(mmdb(COUNTRIES, kind="GeoLite2-Country"))
    assert made(tmp_path, 'country_db = "c.mmdb"').of("8.8.8.8").country == "DE"
    said = why_not(tmp_path, 'asn_db = "c.mmdb"')
    assert said.startswith("network.asn_db: c.mmdb says nothing of the kind")
    assert "'GeoLite2-Country'" in said


def test_a_bad_line_of_a_list_is_named(tmp_path: Path) -> None:
    (tmp_path / "vpn.txt").write_bytes(b"192.0.2.0/24\n<!doctype html>\xff\n")
    said = why_not(tmp_path, 'vpns = ["vpn.txt"]')
    assert said.startswith("network.vpns: vpn.txt, line 2: '<!doctype html>")


def test_a_list_too_long_to_be_one_stops_the_start(tmp_path: Path) -> None:
    file = tmp_path / "vpn.txt"
    file.touch()
    os.truncate(file, LIST_BYTES_MAX + 1)
    assert "is longer than" in why_not(tmp_path, 'vpns = ["vpn.txt"]')


@pytest.mark.parametrize("text", ['asn_db = "a\\u0000b"', 'tor = ["fine", "a\\u0000b"]'])
def test_a_name_that_no_file_can_have_is_said_when_settings_are_read(
    tmp_path: Path, text: str
) -> None:
    assert "is not a path" in why_not(tmp_path, text)


def test_a_database_can_be_named_by_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "tokenward.toml"
    file.write_text("", "utf-8")
    settings = load(file, {"TOKENWARD_NETWORK__ASN_DB": "asn.mmdb"})
    assert settings.network.asn_db == "asn.mmdb"
