"""Tables of networks answer as `ipaddress` does, and say which line of a list is none."""

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward.signals.ranges import Address, AnyNetwork, Ranges, networks_in

TOP_V4, TOP_V6 = (1 << 32) - 1, (1 << 128) - 1


@st.composite
def drawn_networks(draw: st.DrawFn) -> AnyNetwork:
    """Networks that often overlap and touch: few starts, any prefix."""
    if draw(st.booleans()):
        prefix = draw(st.integers(0, 32))
        return IPv4Network((draw(st.sampled_from((0, 10 << 24, TOP_V4))), prefix), strict=False)
    prefix = draw(st.integers(0, 128))
    start = draw(st.sampled_from((0, 0x2001 << 112, TOP_V6)))
    return IPv6Network((start, prefix), strict=False)


def around(network: AnyNetwork) -> list[Address]:
    """Both ends of a network, and the addresses right outside of it."""
    top = TOP_V4 if network.version == 4 else TOP_V6
    ends = (int(network.network_address), int(network.broadcast_address))
    near = {place + step for place in ends for step in (-1, 0, 1)}
    kind = type(network.network_address)
    return [kind(place) for place in sorted(near) if 0 <= place <= top]


@given(st.lists(drawn_networks(), max_size=12))
def test_a_table_agrees_with_the_membership_of_its_networks(networks: list[AnyNetwork]) -> None:
    ranges = Ranges(networks)
    for address in (address for network in networks for address in around(network)):
        assert ranges.holds(address) == any(address in network for network in networks), address
    assert bool(ranges) == bool(networks)


@pytest.mark.parametrize("address", ["0.0.0.0", "255.255.255.255", "::", "2001:db8::1"])
def test_an_empty_table_holds_nothing(address: str) -> None:
    assert not Ranges().holds(ip_address(address))


def test_ipv4_and_ipv6_do_not_mix() -> None:
    ranges = Ranges([ip_network("0.0.0.0/8")])
    assert ranges.holds(ip_address("0.0.0.1"))
    assert not ranges.holds(ip_address("::1"))


def test_a_list_may_have_comments_empty_lines_and_single_addresses() -> None:
    text = "# exits\n\n192.0.2.0/24   # theirs\r\n198.51.100.7\n2001:db8::/32\n"
    text += "::ffff:203.0.113.0/120\n"
    assert [str(network) for network in networks_in(text, "list")] == [
        "192.0.2.0/24",
        "198.51.100.7/32",
        "2001:db8::/32",
        "203.0.113.0/24",
    ]


def test_bits_behind_the_prefix_do_not_count() -> None:
    assert [str(network) for network in networks_in("192.0.2.77/24", "list")] == ["192.0.2.0/24"]


@pytest.mark.parametrize(
    "line",
    [
        "192.0.2.0/33",
        "192.0.2",
        "AS64496",
        "<html>",
        "192.0.2.0/24;",
        "fe80::%eth0/64",
        "1" * 9_999,
    ],
)
def test_a_line_that_is_no_network_is_named(line: str) -> None:
    with pytest.raises(ValueError, match=r"^nets/vpn\.txt, line 3: .* is not a network") as caught:
        list(networks_in(f"192.0.2.0/24\n# here:\n{line}\n", "nets/vpn.txt"))
    assert len(str(caught.value)) < 200
