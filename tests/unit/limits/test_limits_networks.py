"""Where a call comes from, and whether its key may be used there."""

import pytest

from tokenward.limits.networks import (
    HOPS_MAX,
    allows_network,
    client_address,
    trusted_proxies,
)

PROXIES = trusted_proxies(["10.0.0.0/24", "2001:db8:aa::/48"], "X-Forwarded-For")
PROXY = "10.0.0.5"


def seen(said: bytes, peer: str | None = PROXY) -> str:
    return client_address(peer, {b"x-forwarded-for": said}, PROXIES)


# Whose word counts


@pytest.mark.req("K-4")
@pytest.mark.parametrize("said", [b"192.0.2.1", b"10.0.0.9", b"127.0.0.1", b"garbage", b""])
def test_a_forged_header_from_an_untrusted_peer_is_not_read(said: bytes) -> None:
    assert seen(said, peer="203.0.113.9") == "203.0.113.9"


@pytest.mark.req("K-4")
def test_without_trusted_proxies_no_header_is_ever_read() -> None:
    nobody = trusted_proxies([], "x-forwarded-for")
    assert client_address(PROXY, {b"x-forwarded-for": b"192.0.2.1"}, nobody) == PROXY


@pytest.mark.req("K-4")
@pytest.mark.parametrize(
    ("said", "address"),
    [
        (b"192.0.2.1", "192.0.2.1"),
        (b" 192.0.2.1\t", "192.0.2.1"),
        (b"192.0.2.1:4711", "192.0.2.1"),
        (b"2001:db8::1", "2001:db8::1"),
        (b"2001:DB8:0:0::1", "2001:db8::1"),
        (b"[2001:db8::1]", "2001:db8::1"),
        (b"[2001:db8::1]:4711", "2001:db8::1"),
        (b"::ffff:192.0.2.1", "192.0.2.1"),
        (b"[::ffff:192.0.2.1]:80", "192.0.2.1"),
        (b"fe80::1%eth0", "fe80::1"),
    ],
)
def test_a_trusted_proxy_says_who_calls_in_any_usual_form(said: bytes, address: str) -> None:
    assert seen(said) == address


@pytest.mark.req("K-4")
def test_what_the_caller_wrote_itself_is_never_reached() -> None:
    """The proxy appends what it saw on the right; everything left of it is the caller's."""
    for forged in (b"10.99.0.1", b"127.0.0.1", b"garbage", b"\x00\xff", b", , ,", b"10.0.0.7"):
        assert seen(forged + b", 203.0.113.9") == "203.0.113.9"
        assert seen(forged + b", 203.0.113.9, 10.0.0.7, 2001:db8:aa::1") == "203.0.113.9"


def test_where_every_hop_is_trusted_the_leftmost_calls() -> None:
    assert seen(b"10.0.0.9, 10.0.0.7") == "10.0.0.9"


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"unknown",
        b"_hidden",
        b"unix:",
        b"192.0.2.1.",
        b"192.0.2.300",
        b"192.0.2.01",
        b"192.0.2.1:",
        b"192.0.2.1:http",
        b"192.0.2.1:80:80",
        b"[192.0.2.1]",
        b"[2001:db8::1",
        b"[2001:db8::1]x",
        b"2001:db8::1::",
        b"192.0.2.1;10.0.0.1",
        b"for=192.0.2.1",
        b"192.0.2.1\x00",
        b"\xb2.0.0.1",
        b"192.0.2.1,",
        b"3232235777",
        b"x" * 100_000,
        b"192.0.2.1, garbage, 10.0.0.7",
    ],
)
def test_where_a_proxy_does_not_say_who_calls_the_caller_is_unknown(said: bytes) -> None:
    assert seen(said) == ""


@pytest.mark.req("K-4")
def test_a_proxy_that_does_not_say_who_calls_opens_no_key_of_its_own_network() -> None:
    address = client_address(PROXY, {b"x-real-ip": b"192.0.2.1"}, PROXIES)
    assert address == ""
    assert allows_network(("10.0.0.0/8",), address) is not None


def test_only_the_named_header_is_read() -> None:
    real_ip = trusted_proxies(["10.0.0.0/24"], "x-real-ip")
    headers = {b"x-forwarded-for": b"192.0.2.1", b"x-real-ip": b"198.51.100.7"}
    assert client_address(PROXY, headers, real_ip) == "198.51.100.7"


def test_a_chain_longer_than_the_limit_is_not_believed() -> None:
    trusted = b"10.0.0.7"
    assert seen(b", ".join([b"192.0.2.1", *[trusted] * (HOPS_MAX - 1)])) == "192.0.2.1"
    assert seen(b", ".join([b"192.0.2.1", *[trusted] * HOPS_MAX])) == ""
    assert seen(b"192.0.2.9," * 100_000 + b"203.0.113.9") == "203.0.113.9"


@pytest.mark.req("K-4")
def test_a_proxy_that_connects_over_mapped_ipv6_is_the_same_proxy() -> None:
    assert seen(b"192.0.2.1", peer="::ffff:10.0.0.5") == "192.0.2.1"
    assert seen(b"192.0.2.1", peer="::ffff:203.0.113.9") == "203.0.113.9"


@pytest.mark.parametrize("peer", [None, "", "testclient", "/run/guard.sock"])
def test_a_peer_without_an_address_is_unknown_and_trusted_by_nobody(peer: str | None) -> None:
    assert seen(b"192.0.2.1", peer=peer) == ""


def test_a_network_that_is_none_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"10\.0\.0\.0/40"):
        trusted_proxies(["10.0.0.0/40"], "x-forwarded-for")


# Networks of a key


@pytest.mark.req("K-4")
@pytest.mark.parametrize(
    "address", ["10.1.2.3", "::ffff:10.1.2.3", "::FFFF:0a01:0203", "2001:db8::7", "192.0.2.7"]
)
def test_an_address_inside_one_of_the_networks_is_allowed(address: str) -> None:
    assert allows_network(("10.0.0.0/8", "2001:db8::/32", "192.0.2.7/32"), address) is None


@pytest.mark.req("K-4")
@pytest.mark.parametrize(
    "address", ["11.0.0.1", "::ffff:11.0.0.1", "::10.1.2.3", "2001:db9::1", "192.0.2.8", "::1"]
)
def test_an_address_outside_is_refused_without_naming_the_networks(address: str) -> None:
    refusal = allows_network(("10.0.0.0/8", "2001:db8::/32", "192.0.2.7/32"), address)
    assert refusal is not None
    assert (refusal.code, refusal.status, refusal.should_retry) == (
        "network:not_allowed",
        403,
        False,
    )
    assert address in refusal.message
    assert "10.0.0.0/8" not in refusal.message


@pytest.mark.req("K-4")
def test_networks_written_as_mapped_ipv6_mean_the_same_ipv4_networks() -> None:
    assert allows_network(("::ffff:10.0.0.0/104",), "10.1.2.3") is None
    assert allows_network(("::ffff:10.0.0.0/104",), "11.1.2.3") is not None


@pytest.mark.parametrize("address", ["", "unknown", "10.0.0.1\x00", "10.0.0.1/8"])
def test_an_unknown_address_is_in_no_network(address: str) -> None:
    assert allows_network(("0.0.0.0/0", "::/0"), address) is not None


@pytest.mark.parametrize("address", ["", "10.0.0.1", "garbage"])
def test_a_key_without_networks_may_be_used_from_anywhere(address: str) -> None:
    assert allows_network((), address) is None
