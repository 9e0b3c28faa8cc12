"""From which network a call comes: kinds, places, and addresses that are none."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward.kernel.signals import NETWORK_KINDS, Network
from tokenward.signals.network import ADDRESS_CHARS_MAX, REMEMBERED, Atlas, Networks, read_network
from tokenward.signals.ranges import Ranges, networks_in

Said = TypeVar("Said")
LISTS = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "net"
NOTHING = Atlas()


def ranges(*networks: str) -> Ranges:
    return Ranges(map(ip_network, networks))


def told(answers: dict[str, Said], unknown: Said) -> Callable[[str], Said]:
    return lambda address: answers.get(address, unknown)


ATLAS = Atlas(
    country_of=told({"198.51.100.7": "DE", "203.0.113.9": "US", "2001:db8::5": "FR"}, ""),
    system_of=told({"203.0.113.9": (64_500, "Example Hosting")}, (0, "")),
    kind_of=told({"192.0.2.66": "residential", "203.0.113.9": "datacenter"}, ""),
    position_of=told({"203.0.113.9": (37.5, -122.0, 20.0)}, None),
    datacenters=ranges("192.0.2.128/25", "2001:db8:dc::/48"),
    vpns=ranges("192.0.2.192/26"),
    tor=ranges("192.0.2.200/32"),
)


def read(address: str) -> Network:
    return read_network(address, ATLAS)


# Places


def test_a_known_autonomous_system_names_the_network() -> None:
    assert read("203.0.113.9") == Network(
        place="AS64500",
        country="US",
        asn=64_500,
        owner="Example Hosting",
        kind="datacenter",
        block="203.0.113.0/24",
        position=(37.5, -122.0, 20.0),
    )


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("198.51.100.7", "DE:198.51.0.0/16"),
        ("198.51.200.7", "??:198.51.0.0/16"),
        ("2001:db8::5", "FR:2001:db8::/32"),
        ("192.0.2.66", "??:192.0.0.0/16"),
        ("192.0.2.130", "datacenter:192.0.0.0/16"),
        ("2001:db8:dc::1", "datacenter:2001:db8::/32"),
        ("192.0.2.193", "vpn:192.0.0.0/16"),
        ("192.0.2.200", "tor:192.0.0.0/16"),
    ],
)
def test_without_it_kind_or_country_and_prefix_do(address: str, place: str) -> None:
    assert read(address).place == place


def test_neighbours_in_one_prefix_are_the_same_place_and_others_are_not() -> None:
    here = read("198.51.0.1").place
    assert read("198.51.255.254").place == here
    assert read("198.52.0.1").place != here


@pytest.mark.parametrize(
    ("address", "block"),
    [
        ("198.51.100.7", "198.51.100.0/24"),
        ("198.51.100.255", "198.51.100.0/24"),
        ("198.51.101.0", "198.51.101.0/24"),
        ("::ffff:198.51.100.7", "198.51.100.0/24"),
        ("203.0.113.9", "203.0.113.0/24"),
        ("2001:db8:dc::1", "2001:db8:dc::/48"),
        ("2001:db8:dc:ffff::1", "2001:db8:dc::/48"),
        ("2001:db8:dd::1", "2001:db8:dd::/48"),
        ("10.1.2.3", ""),
        ("fe80::1%eth0", ""),
        ("unknown", ""),
    ],
)
def test_a_block_is_the_neighbourhood_of_an_address_within_its_place(
    address: str, block: str
) -> None:
    assert read(address).block == block


def test_a_position_that_nobody_knows_is_none() -> None:
    assert read("198.51.100.7").position is None
    everywhere = Atlas(position_of=lambda _: (1.0, 2.0, 3.0))
    assert read_network("198.51.100.7", everywhere).position == (1.0, 2.0, 3.0)
    assert read_network("10.1.2.3", everywhere).position is None


# Kinds


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("192.0.2.1", ""),
        ("192.0.2.66", "residential"),
        ("192.0.2.130", "datacenter"),
        ("192.0.2.193", "vpn"),
        ("192.0.2.200", "tor"),
        ("203.0.113.9", "datacenter"),
    ],
)
def test_the_most_telling_list_that_holds_an_address_says_its_kind(address: str, kind: str) -> None:
    assert read(address).kind == kind


def test_a_database_that_says_more_than_a_list_is_believed() -> None:
    atlas = replace(ATLAS, kind_of=told({"192.0.2.130": "tor"}, ""))
    assert read_network("192.0.2.130", atlas).kind == "tor"


@pytest.mark.parametrize(
    "address",
    [
        "10.1.2.3", "172.16.0.1", "172.31.255.254", "192.168.7.7", "127.0.0.1", "127.8.8.8", "::1",
        "169.254.169.254", "fe80::1", "fe80::1%eth0", "fd12:3456::1", "100.64.0.1",
        "100.127.255.254", "::ffff:10.0.0.1",
    ],
)  # fmt: skip
def test_all_private_addresses_are_one_place(address: str) -> None:
    everything = Atlas(
        country_of=lambda _: "DE",
        tor=ranges("0.0.0.0/0", "::/0"),
        kind_of=lambda _: "vpn",
        position_of=lambda _: (1.0, 2.0, 3.0),
    )
    assert read_network(address, everything) == Network(place="private", kind="private")


@pytest.mark.parametrize(
    "address", ["172.32.0.1", "100.128.0.1", "192.0.2.1", "198.18.0.1", "2001:db8::1", "fec0::1"]
)
def test_addresses_beside_the_private_ones_are_not_private(address: str) -> None:
    assert read_network(address, NOTHING).kind == ""


# Ways to write an address


@pytest.mark.parametrize("address", ["::ffff:203.0.113.9", "::FFFF:cb00:7109"])
def test_ipv4_inside_ipv6_is_the_ipv4_address(address: str) -> None:
    assert read(address) == read("203.0.113.9")


@pytest.mark.parametrize("address", ["2001:DB8:0::5", "2001:db8::5%eth0"])
def test_every_way_to_write_an_address_is_the_same_network(address: str) -> None:
    assert read(address) == read("2001:db8::5")
    assert read(address).country == "FR"


@pytest.mark.parametrize(
    "address",
    [
        "", " ", "unknown", "localhost", "198.51.100.7:443", "[2001:db8::5]", "198.51.100.7/32",
        "198.51.100", "3325256711", "198.051.100.007", "١٩٨.51.100.7", "0.0.0.0", "::",
        "::ffff:0.0.0.0", "\x00", "198.51.100.7\x00", "\ud800", "2001:db8::5%" + "x" * 200_000,
        "1" * 200_000, "\u00ff" * 200_000,
    ],
)  # fmt: skip
def test_what_is_no_address_is_an_unknown_network(address: str) -> None:
    assert read(address) == Network()
    assert Networks(ATLAS).of(address) == Network()


@given(st.text(max_size=2 * ADDRESS_CHARS_MAX) | st.ip_addresses().map(str))
def test_no_text_makes_it_raise_and_kinds_are_known_ones(text: str) -> None:
    network = read(text)
    assert network.kind in NETWORK_KINDS
    assert len(network.place) <= 64
    assert len(network.block) <= 64


# What is remembered


def test_an_address_is_looked_up_once_and_long_text_is_not_kept() -> None:
    asked: list[str] = []

    def country(address: str) -> str:
        asked.append(address)
        return "DE"

    networks = Networks(Atlas(country_of=country))
    first = networks.of("198.51.100.7")
    assert first.country == "DE"
    assert networks.of("198.51.100.7") is first
    networks.of("2001:db8::5%" + "x" * 100)
    assert asked == ["198.51.100.7"]
    assert networks._known.cache_info().currsize == 1


def test_only_so_many_addresses_are_remembered() -> None:
    networks = Networks(NOTHING)
    for number in range(REMEMBERED + 500):
        networks.of(f"198.{number >> 8}.{number & 255}.1")
    assert networks._known.cache_info().currsize == REMEMBERED


# The public lists that the how-to page names


@pytest.fixture(scope="module")
def listed() -> Networks:
    def read_list(kind: str) -> Ranges:
        names = [f"x4b_output_{kind}_ipv{version}.txt" for version in (4, 6)]
        missing = [name for name in names if not (LISTS / name).exists()]
        if missing:
            pytest.skip(f"{missing} are kept beside the project, not in it")
        texts = [(name, (LISTS / name).read_text("utf-8")) for name in names]
        return Ranges(net for name, text in texts for net in networks_in(text, name))

    return Networks(Atlas(datacenters=read_list("datacenter"), vpns=read_list("vpn")))


@pytest.mark.parametrize(
    ("owner", "address", "kinds"),
    [
        ("AWS", "52.95.110.1", {"datacenter"}),
        ("AWS, IPv6", "2600:1f18::1", {"datacenter"}),
        ("Azure", "20.42.0.1", {"datacenter"}),
        ("Google Cloud", "35.190.0.1", {"datacenter"}),
        ("Hetzner", "88.198.0.1", {"datacenter"}),
        ("Hetzner, IPv6", "2a01:4f8::1", {"datacenter"}),
        ("OVH", "51.38.0.1", {"datacenter"}),
        ("DigitalOcean", "104.131.0.1", {"datacenter"}),
        ("Alibaba", "47.88.0.1", {"datacenter"}),
        ("Comcast", "73.0.0.1", {""}),
        ("Deutsche Telekom", "84.150.1.1", {""}),
    ],
)
def test_the_public_lists_tell_datacenters_from_homes(
    listed: Networks, owner: str, address: str, kinds: set[str]
) -> None:
    assert listed.of(address).kind in kinds, owner
