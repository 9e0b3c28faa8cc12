"""URLs of servers."""

import ssl

import pytest

from tokenward.store.valkey.address import Address, parse_url


@pytest.mark.parametrize(
    ("url", "servers"),
    [
        ("valkey://10.0.0.7", [Address("10.0.0.7", 6379)]),
        ("redis://cache:7000", [Address("cache", 7000)]),
        ("valkey://a,b:7001,c", [Address("a"), Address("b", 7001), Address("c")]),
        ("valkey://[::1]:7000", [Address("::1", 7000)]),
        ("unix:///run/valkey.sock", [Address(path="/run/valkey.sock")]),
    ],
)
def test_servers_are_read(url: str, servers: list[Address]) -> None:
    target = parse_url(url)
    assert list(target.servers) == servers
    assert (target.user, target.password, target.database, target.tls) == ("", None, 0, None)


def test_who_asks_and_which_database() -> None:
    target = parse_url("valkey://gu%40rd:p%3Aw%2Fd@host/3")
    assert (target.user, target.database) == ("gu@rd", 3)
    assert target.password is not None
    assert target.password.reveal() == "p:w/d"
    assert "p:w" not in repr(target)
    only_password = parse_url("unix://:pw@/run/valkey.sock")
    assert only_password.user == ""
    assert only_password.password is not None


@pytest.mark.parametrize("scheme", ["valkeys", "rediss"])
def test_an_s_is_encrypted_and_checked(scheme: str) -> None:
    target = parse_url(f"{scheme}://host")
    assert target.tls is not None
    assert target.tls.verify_mode == ssl.CERT_REQUIRED
    own = ssl.create_default_context()
    assert parse_url(f"{scheme}://host", own).tls is own
    assert parse_url("valkey://host", own).tls is None


@pytest.mark.parametrize(
    "url",
    [
        "", "http://host", "valkey://", "valkey://:pass_word@",
        "valkey://user:pass_word", "valkey://user:pass_word,host", "valkey://a,,b", "valkey://host/x",
        "valkey://host/16", "valkey://host:0x1", "valkey://host?ssl=1", "valkey://host#1",
        "unix://host/path", "unix://", "valkey://host:99999", "valkey+cluster://host",
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as met:
        parse_url(url)
    assert "pass_word" not in str(met.value)


def test_addresses_are_written_as_people_write_them() -> None:
    assert str(Address("::1", 7000)) == "[::1]:7000"
    assert str(Address("host")) == "host:6379"
    assert str(Address(path="/run/v.sock")) == "/run/v.sock"
