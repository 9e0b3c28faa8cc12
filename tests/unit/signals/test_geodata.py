"""Records of network databases, as their makers lay them out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward.kernel.signals import NETWORK_KINDS
from tokenward.signals.geodata import (
    COUNTRY_KM,
    FARTHEST_KM,
    OWNER_CHARS_MAX,
    TOWN_KM,
    Position,
    country_in,
    kind_in,
    position_in,
    system_in,
)

GEOLITE_COUNTRY = {
    "continent": {"code": "EU"},
    "country": {"iso_code": "DE", "geoname_id": 2_921_044, "names": {"en": "Germany"}},
    "registered_country": {"iso_code": "FR"},
}
GEOLITE_ASN = {
    "autonomous_system_number": 64_500,
    "autonomous_system_organization": "Example Hosting",
}
IPINFO_LITE = {
    "asn": "AS64500",
    "as_name": "Example Hosting",
    "as_domain": "example.com",
    "country": "Germany",
    "country_code": "DE",
    "continent_code": "EU",
}
GEOLITE_CITY = {
    **GEOLITE_COUNTRY,
    "city": {"geoname_id": 2_950_159, "names": {"en": "Berlin"}},
    "location": {
        "accuracy_radius": 20,
        "latitude": 52.5196,
        "longitude": 13.4069,
        "time_zone": "Europe/Berlin",
    },
}
GEOLITE_CITY_OF_A_COUNTRY = {
    "country": {"iso_code": "US"},
    "location": {"accuracy_radius": 1_000, "latitude": 37.751, "longitude": -97.822},
}
DB_IP_CITY = {
    "city": {"names": {"en": "Berlin"}},
    "country": {"iso_code": "DE"},
    "location": {"latitude": 52.5, "longitude": 13.4},
}
IPINFO_CITY = {"city": "Berlin", "country": "DE", "lat": "52.5", "lng": "13.4", "radius": "30"}
IPINFO_OLD = {"country": "DE", "country_name": "Germany", "asn": "AS64500", "as_name": "Example"}


@pytest.mark.parametrize(
    ("record", "country"),
    [
        (GEOLITE_COUNTRY, "DE"),
        ({"registered_country": {"iso_code": "FR"}}, "FR"),
        ({"country": {"iso_code": "EU"}, "registered_country": {"iso_code": "IE"}}, "IE"),
        (IPINFO_LITE, "DE"),
        (IPINFO_OLD, "DE"),
        ({"country_code": "CH"}, "CH"),
        ({"country": "Germany"}, ""),
        ({"country_code": "de"}, ""),
        ({"country_code": "ZZ"}, ""),
        ({"country_code": "ÄÖ"}, ""),
        (GEOLITE_ASN, ""),
        ({}, ""),
        (None, ""),
        (["DE"], ""),
    ],
)
def test_a_country_is_two_letters_wherever_they_stand(record: object, country: str) -> None:
    assert country_in(record) == country


@pytest.mark.parametrize(
    ("record", "system"),
    [
        (GEOLITE_ASN, (64_500, "Example Hosting")),
        ({"traits": GEOLITE_ASN}, (64_500, "Example Hosting")),
        (IPINFO_LITE, (64_500, "Example Hosting")),
        ({"asn": "64500", "name": "Example"}, (64_500, "Example")),
        ({"asn": 64_500, "as_name": {"en": "x"}}, (64_500, "")),
        ({"asn": 64_500, "as_name": "two\nlines\x1b[0m"}, (64_500, "twolines[0m")),
        ({"asn": 0, "as_name": "nobody"}, (0, "")),
        ({"asn": -1}, (0, "")),
        ({"asn": 1 << 32}, (0, "")),
        ({"asn": "AS"}, (0, "")),
        ({"asn": "AS" + "9" * 5_000}, (0, "")),
        ({"asn": "AS٣"}, (0, "")),
        (GEOLITE_COUNTRY, (0, "")),
        (None, (0, "")),
    ],
)
def test_a_system_is_a_number_and_who_has_it(record: object, system: tuple[int, str]) -> None:
    assert system_in(record) == system


def test_a_long_name_of_a_system_is_cut() -> None:
    assert len(system_in({"asn": 1, "as_name": "x" * 200_000})[1]) == OWNER_CHARS_MAX


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        ({"is_anonymous": True, "is_hosting_provider": True}, "datacenter"),
        ({"is_anonymous": True, "is_anonymous_vpn": True, "is_hosting_provider": True}, "vpn"),
        ({"is_tor_exit_node": True, "is_hosting_provider": True}, "tor"),
        ({"is_residential_proxy": True}, "vpn"),
        ({"is_public_proxy": True}, "vpn"),
        ({"hosting": "true", "vpn": "", "tor": "", "proxy": "", "relay": ""}, "datacenter"),
        ({"hosting": "true", "vpn": "true", "tor": "", "proxy": "", "relay": ""}, "vpn"),
        ({"hosting": "", "vpn": "", "tor": "", "proxy": "", "relay": "true"}, "vpn"),
        ({"is_hosting_provider": False, "user_type": "residential"}, "residential"),
        ({"traits": {"user_type": "cellular"}}, "residential"),
        ({"traits": {"user_type": "hosting"}}, "datacenter"),
        ({"user_type": "school"}, ""),
        ({"user_type": ["hosting"]}, ""),
        ({"vpn": ["true"]}, ""),
        ({"is_anonymous": True}, ""),
        (None, ""),
    ],
)
def test_the_most_telling_flag_says_the_kind(record: object, kind: str) -> None:
    assert kind_in(record) == kind


@pytest.mark.parametrize(
    ("record", "position"),
    [
        (GEOLITE_CITY, (52.5196, 13.4069, 20.0)),
        (GEOLITE_CITY_OF_A_COUNTRY, (37.751, -97.822, COUNTRY_KM)),
        (DB_IP_CITY, (52.5, 13.4, TOWN_KM)),
        ({"location": {"latitude": 51.0, "longitude": 9.0}}, (51.0, 9.0, COUNTRY_KM)),
        (IPINFO_CITY, (52.5, 13.4, 30.0)),
        ({"city": "Berlin", "loc": "52.5,13.4"}, (52.5, 13.4, TOWN_KM)),
        ({"city": "Berlin", "loc": " 52.5, 13.4 "}, (52.5, 13.4, TOWN_KM)),
        ({"city": "Rio", "loc": "-22.9,-43.2", "radius": "5"}, (-22.9, -43.2, 5.0)),
        (
            {"city": "Berlin", "latitude": "52.5", "longitude": "13.4", "radius": "10"},
            (52.5, 13.4, 10.0),
        ),
        ({"city": "Berlin", "lat": 52.5, "lng": 13.4, "loc": "Berlin"}, (52.5, 13.4, TOWN_KM)),
        ({"city": "Ushuaia", "lat": -54, "lng": -68}, (-54.0, -68.0, TOWN_KM)),
        ({"city": "Quito", "lat": 0, "lng": "-78.5"}, (0.0, -78.5, TOWN_KM)),
    ],
)
def test_a_position_is_degrees_and_by_how_many_km_they_may_be_off(
    record: object, position: Position
) -> None:
    assert position_in(record) == position


@pytest.mark.parametrize(
    ("latitude", "longitude"),
    [
        (None, 13.4),
        (52.5, None),
        (0, 0),
        ("0.0", "0"),
        (float("nan"), 13.4),
        (52.5, float("nan")),
        ("nan", "nan"),
        (float("inf"), 13.4),
        ("1e999", 13.4),
        (90.1, 13.4),
        (52.5, -180.5),
        (10**400, 13.4),
        (52.5, -(10**400)),
        (True, 13.4),
        (52.5, False),
        ("52.5°", "13.4"),
        ("", ""),
        ("٥٢", "13.4"),
        ("5" * 100_000, "13.4"),
        ("52." + "0" * 100_000, "13.4"),
        (b"52.5", 13.4),
        ([52.5], {13: 4}),
    ],
)
def test_what_is_no_place_on_earth_is_no_position(latitude: object, longitude: object) -> None:
    fields = {"latitude": latitude, "longitude": longitude}
    assert position_in({"city": "x", "location": fields}) is None
    assert position_in({"city": "x", **fields}) is None
    assert position_in({"lat": latitude, "lng": longitude}) is None


@pytest.mark.parametrize(
    "record",
    [
        {"loc": ""},
        {"loc": ","},
        {"loc": "52.5"},
        {"loc": "52.5,13.4,7"},
        {"loc": "52.5;13.4"},
        {"loc": "91,13.4"},
        {"loc": "0,0"},
        {"loc": "," * 200_000},
        {"loc": "1" * 200_000 + ",2"},
        {"loc": [52.5, 13.4]},
        {"loc": {"lat": 52.5}},
        {"location": "52.5,13.4"},
        {"location": [52.5, 13.4]},
        GEOLITE_COUNTRY,
        GEOLITE_ASN,
        IPINFO_LITE,
        {},
        None,
        "52.5,13.4",
        ["52.5", "13.4"],
    ],
)
def test_a_record_without_a_position_has_none(record: object) -> None:
    assert position_in(record) is None


@pytest.mark.parametrize(
    ("said", "radius_km"),
    [
        (1, 1.0),
        ("1", 1.0),
        (500, 500.0),
        (1_000, COUNTRY_KM),
        (5_000, 5_000.0),
        (FARTHEST_KM, FARTHEST_KM),
        (0, TOWN_KM),
        (-5, TOWN_KM),
        (10**400, TOWN_KM),
        (float("nan"), TOWN_KM),
        (float("inf"), TOWN_KM),
        (True, TOWN_KM),
        ("wide", TOWN_KM),
        (None, TOWN_KM),
        ([20], TOWN_KM),
    ],
)
def test_a_radius_that_cannot_be_one_is_a_towns(said: object, radius_km: float) -> None:
    record = {"city": "x", "location": {"latitude": 1, "longitude": 2, "accuracy_radius": said}}
    assert position_in(record) == (1.0, 2.0, radius_km)


def test_every_field_is_read_from_anything_without_an_error() -> None:
    names = st.sampled_from(
        [
            "country", "iso_code", "country_code", "asn", "as_name", "traits", "vpn", "user_type",
            "location", "latitude", "longitude", "lat", "lng", "loc", "radius", "city",
        ]
    )  # fmt: skip
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
    anything = st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner)
    )

    @given(anything)
    def check(record: object) -> None:
        assert len(country_in(record)) in (0, 2)
        assert system_in(record)[0] >= 0
        assert kind_in(record) in NETWORK_KINDS
        latitude, longitude, radius_km = position_in(record) or (1.0, 2.0, 3.0)
        assert abs(latitude) <= 90
        assert abs(longitude) <= 180
        assert 0 < radius_km <= FARTHEST_KM

    check()
