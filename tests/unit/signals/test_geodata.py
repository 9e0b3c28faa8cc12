"""Records of network databases, as their makers lay them out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward.kernel.signals import NETWORK_KINDS
from tokenward.signals.geodata import OWNER_CHARS_MAX, country_in, kind_in, system_in

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


def test_every_field_is_read_from_anything_without_an_error() -> None:
    names = st.sampled_from(
        ["country", "iso_code", "country_code", "asn", "as_name", "traits", "vpn", "user_type"]
    )
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
    anything = st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner)
    )

    @given(anything)
    def check(record: object) -> None:
        assert len(country_in(record)) in (0, 2)
        assert system_in(record)[0] >= 0
        assert kind_in(record) in NETWORK_KINDS

    check()
