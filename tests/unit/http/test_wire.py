"""What a call's wire tells beside its headers: names as written, and a proxy's word."""

import pytest

from tokenward.http.wire import WIRE_NAMES, Ja4Source, without
from tokenward.limits.networks import trusted_proxies
from unit.http.raw_sockets import say
from unit.http.serving import Echo, served

JA4 = b"t13d1812h1_85036bcba153_d41ae481755e"
PROXIES = trusted_proxies(("10.0.0.0/8",), "x-forwarded-for")


async def test_names_are_handed_on_as_they_were_written_and_in_their_place() -> None:
    app = Echo()
    one = (
        b"GET /1 HTTP/1.1\r\nHost: a\r\nX-Stainless-Os: L\r\nx-lower: b\r\nX-Two: 1\r\nX-two: 2\r\n"
    )
    two = b"GET /2 HTTP/1.1\r\nhOST: a\r\nConnection: close\r\n\r\n"
    async with served(app) as server:
        await say(server.port, one + b"Connection: close\r\n\r\n")
        await say(server.port, two)
    first, second = app.scopes
    names = (b"Host", b"X-Stainless-Os", b"x-lower", b"X-Two", b"X-two", b"Connection")
    assert first["extensions"][WIRE_NAMES] == names
    assert [name for name, _ in first["headers"]] == [name.lower() for name in names]
    assert second["extensions"][WIRE_NAMES] == (b"hOST", b"Connection")


@pytest.mark.parametrize(
    ("peer", "values", "said"),
    [
        ("10.1.2.3", [JA4], JA4.decode()),
        ("10.1.2.3", [JA4, JA4], ""),  # one could be the caller's
        ("10.1.2.3", [b"t13d1812h1"], ""),
        ("10.1.2.3", [], ""),
        ("203.0.113.7", [JA4], ""),
        ("", [JA4], ""),
    ],
)
def test_a_ja4_is_believed_from_a_trusted_proxy_alone(
    peer: str, values: list[bytes], said: str
) -> None:
    scope = {"client": (peer, 1), "headers": [(b"x-ja4", value) for value in values]}
    assert Ja4Source(PROXIES, b"x-ja4").ja4_of(scope) == said


def test_without_a_header_or_a_proxy_there_is_no_ja4() -> None:
    scope = {"client": ("10.1.2.3", 1), "headers": [(b"x-ja4", JA4), (b"", JA4)]}
    assert Ja4Source(PROXIES).ja4_of(scope) == ""
    assert Ja4Source(header=b"x-ja4").ja4_of(scope) == ""


def test_what_proxies_say_to_us_is_taken_out_of_both_lists() -> None:
    headers = ((b"host", b"a"), (b"x-ja4", JA4), (b"accept", b"b"), (b"x-ja4", b"c"))
    wire = (b"Host", b"X-JA4", b"Accept", b"x-ja4")
    kept = ((b"host", b"a"), (b"accept", b"b"))
    assert without(headers, wire, frozenset((b"x-ja4",))) == (kept, (b"Host", b"Accept"))
    assert without(headers, (), frozenset((b"x-ja4",))) == (kept, ())
    assert without(headers, wire, frozenset((b"x-other",))) == (headers, wire)
