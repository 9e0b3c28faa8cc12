"""The keys of pinned issuers: fetched once for all, rarely anew, and never taken on trust."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from issuer import DISCOVERY, JWKS, SelfMadeIssuer, jwk_of, rsa_key, running_issuer
from tokenward.http.oauth.issuers import (
    ANEW_EVERY_S,
    BODY_BYTES_MAX,
    FAILED_FOR_S,
    KEPT_S,
    Issuer,
)
from tokenward.http.upstream import HttpUpstream
from tokenward.kernel.errors import IssuerError
from tokenward.keys.workload_rules import Pin
from tokenward.settings.urls import check_issuer_url
from unit.http.raw_sockets import Wire, free_port, provider


class Monotonic:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.at_s = 1_000.0

    def now_ms(self) -> int:
        return 0

    def monotonic_s(self) -> float:
        return self.at_s


@pytest.fixture
def theirs() -> Iterator[SelfMadeIssuer]:
    with running_issuer() as issuer:
        yield issuer


@pytest.fixture
def clock() -> Monotonic:
    return Monotonic()


@pytest.fixture
async def upstream() -> AsyncIterator[HttpUpstream]:
    client = HttpUpstream(connect_timeout_s=5, head_timeout_s=20, idle_timeout_s=20)
    yield client
    await client.close()


Pinned = Callable[..., Issuer]


@pytest.fixture
def pinned(theirs: SelfMadeIssuer, clock: Monotonic, upstream: HttpUpstream) -> Pinned:
    def pin(jwks_uri: str = "", source: str = "", fetch_s: float = 20) -> Issuer:
        its = Pin(source=source or theirs.url, jwks_uri=jwks_uri)
        return Issuer(its, upstream, clock, check_issuer_url, fetch_s=fetch_s)

    return pin


async def why_not(issuer: Issuer, kid: str = "one") -> str:
    with pytest.raises(IssuerError) as error:
        await issuer.key(kid)
    return str(error.value)


async def test_keys_are_found_by_the_issuers_own_document(
    pinned: Pinned, theirs: SelfMadeIssuer
) -> None:
    issuer = pinned()
    assert await issuer.key("one") is not None
    assert await issuer.key("two") is None
    assert theirs.asked == {DISCOVERY: 1, JWKS: 1}


async def test_keys_that_the_settings_find_need_no_document(
    pinned: Pinned, theirs: SelfMadeIssuer
) -> None:
    assert await pinned(theirs.url + JWKS, "spiffe://example.org").key("one") is not None
    assert theirs.asked == {JWKS: 1}


async def test_an_issuer_with_a_path_has_its_document_below_it(
    pinned: Pinned, theirs: SelfMadeIssuer
) -> None:
    source = theirs.url + "/tenant/"
    document = {"issuer": source, "jwks_uri": theirs.url + JWKS}
    theirs.answers["/tenant" + DISCOVERY] = (200, {}, json.dumps(document).encode())
    assert await pinned(source=source).key("one") is not None


async def test_many_who_ask_at_once_cost_one_fetch(pinned: Pinned, theirs: SelfMadeIssuer) -> None:
    theirs.wait_s = 0.05
    issuer = pinned()
    found = await asyncio.gather(*(issuer.key("one") for _ in range(50)))
    assert all(key is not None for key in found)
    assert theirs.asked[JWKS] == 1


async def test_who_leaves_while_keys_are_fetched_neither_stops_nor_starts_a_fetch(
    pinned: Pinned, theirs: SelfMadeIssuer
) -> None:
    theirs.wait_s = 0.1
    issuer = pinned()
    for _ in range(10):
        asking = asyncio.create_task(issuer.key("one"))
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
    assert await issuer.key("one") is not None
    assert theirs.asked == {DISCOVERY: 1, JWKS: 1}


async def test_a_new_key_is_fetched_when_its_name_is_first_seen(
    pinned: Pinned, theirs: SelfMadeIssuer, clock: Monotonic
) -> None:
    issuer = pinned()
    assert await issuer.key("one") is not None
    theirs.keys = {"two": rsa_key(1)}
    clock.at_s += ANEW_EVERY_S
    assert await issuer.key("two") is not None
    assert await issuer.key("one") is None, "the old key is gone with the set it was in"


async def test_a_flood_of_unknown_names_fetches_once_in_a_while(
    pinned: Pinned, theirs: SelfMadeIssuer, clock: Monotonic
) -> None:
    issuer = pinned()
    for number in range(200):
        assert await issuer.key(f"made up {number}") is None
    assert theirs.asked[JWKS] == 1
    clock.at_s += ANEW_EVERY_S
    await asyncio.gather(*(issuer.key(f"made up {number}") for number in range(200)))
    assert theirs.asked[JWKS] == 2
    assert await issuer.key("one") is not None


async def test_a_withdrawn_key_is_forgotten_in_minutes_without_anybody_asking_for_another(
    pinned: Pinned, theirs: SelfMadeIssuer, clock: Monotonic
) -> None:
    issuer = pinned()
    await issuer.key("one")
    theirs.keys = {"two": rsa_key(1)}
    clock.at_s += KEPT_S - 1
    assert await issuer.key("one") is not None
    clock.at_s += 1
    assert await issuer.key("one") is None


async def test_an_issuer_that_is_down_is_a_fault_and_is_asked_again_later(
    pinned: Pinned, theirs: SelfMadeIssuer, clock: Monotonic
) -> None:
    theirs.answers[JWKS] = (500, {}, b"")
    issuer = pinned()
    for _ in range(100):
        assert "it answered 500" in await why_not(issuer)
    assert theirs.asked[JWKS] == 1
    del theirs.answers[JWKS]
    clock.at_s += FAILED_FOR_S
    assert await issuer.key("one") is not None


async def test_an_issuer_that_goes_down_keeps_what_is_fresh_and_nothing_older(
    pinned: Pinned, theirs: SelfMadeIssuer, clock: Monotonic
) -> None:
    issuer = pinned()
    await issuer.key("one")
    theirs.answers[JWKS] = (503, {}, b"")
    clock.at_s += ANEW_EVERY_S
    assert "503" in await why_not(issuer, "two"), "it may be a new key: that cannot be known"
    assert await issuer.key("one") is not None
    clock.at_s += KEPT_S
    assert "503" in await why_not(issuer)


async def test_nobody_there_is_a_fault(clock: Monotonic, upstream: HttpUpstream) -> None:
    pin = Pin(source=f"http://127.0.0.1:{free_port()}")
    assert "could not be reached" in await why_not(Issuer(pin, upstream, clock, check_issuer_url))


async def test_the_operator_hears_once_of_an_issuer_that_fails(
    pinned: Pinned, theirs: SelfMadeIssuer, clock: Monotonic, caplog: pytest.LogCaptureFixture
) -> None:
    theirs.answers[DISCOVERY] = (404, {}, b"")
    issuer = pinned()
    with caplog.at_level(logging.WARNING, "tokenward.issuers"):
        for _ in range(3):
            await why_not(issuer)
            clock.at_s += FAILED_FOR_S
    (line,) = caplog.messages
    assert theirs.url in line
    assert "404" in line


JWKS_OF_ONE = json.dumps({"keys": [jwk_of(rsa_key(), "one")]}).encode()
PRIVATE = json.dumps({"keys": [{**jwk_of(rsa_key(), "one"), "d": "AQAB"}]}).encode()


@pytest.mark.parametrize(
    ("status", "headers", "body", "why"),
    [
        (302, {"location": JWKS}, b"", "it answered 302"),
        (301, {"location": "http://169.254.169.254/"}, JWKS_OF_ONE, "it answered 301"),
        (204, {}, b"", "it answered 204"),
        (203, {}, JWKS_OF_ONE, "it answered 203"),
        (500, {}, JWKS_OF_ONE, "it answered 500"),
        (200, {}, b"<!doctype html><p>Sign in", "Expecting value"),
        (200, {}, b'{"keys":[]}', "no key"),
        (200, {}, PRIVATE, "a private key"),
        (200, {}, JWKS_OF_ONE + b" " * BODY_BYTES_MAX, "longer than 262,144 bytes"),
        (200, {}, JWKS_OF_ONE[:-1], "at byte"),
        (200, {"content-length": "100000"}, JWKS_OF_ONE, "broke the call"),
        (200, {"content-encoding": "gzip"}, b"\x1f\x8b\x08\x00", "not UTF-8"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_an_answer_that_is_no_key_set_is_a_fault(
    status: int, headers: dict[str, str], body: bytes, why: str,
    theirs: SelfMadeIssuer, clock: Monotonic,
) -> None:  # fmt: skip
    theirs.answers[JWKS] = (status, {**headers, "connection": "close"}, body)
    quick = HttpUpstream(head_timeout_s=5, idle_timeout_s=0.2)
    pin = Pin(source=theirs.url)
    assert why in await why_not(Issuer(pin, quick, clock, check_issuer_url))
    await quick.close()


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"issuer": "https://evil.example"}, "another issuer's"),
        ({"issuer": None}, "another issuer's"),
        ({"jwks_uri": None}, "names no jwks_uri"),
        ({"jwks_uri": ["x"]}, "names no jwks_uri"),
        ({"jwks_uri": "http://keys.example/keys"}, "unprotected"),
        ({"jwks_uri": "http://10.0.0.5/keys"}, "unprotected"),
        ({"jwks_uri": "https://169.254.169.254/latest"}, "must not go to"),
        ({"jwks_uri": "https://[::ffff:169.254.169.254]/"}, "must not go to"),
        ({"jwks_uri": "https://metadata.google.internal/"}, "must not go to"),
        ({"jwks_uri": "file:///etc/passwd"}, "must be like"),
        ({"jwks_uri": "https://user:pw@keys.example/"}, "user or password"),
        ({"jwks_uri": ""}, "ASCII"),
    ],
    ids=str,
)
async def test_a_document_that_names_another_place_is_not_followed_everywhere(
    document: dict[str, str], why: str, pinned: Pinned, theirs: SelfMadeIssuer
) -> None:
    changed = {**theirs.documents()[DISCOVERY], **document}
    theirs.answers[DISCOVERY] = (200, {}, json.dumps(changed).encode())
    assert why in await why_not(pinned())
    assert theirs.asked[JWKS] == 0


async def test_an_issuer_with_a_slash_too_much_is_another_one(
    pinned: Pinned, theirs: SelfMadeIssuer
) -> None:
    assert "another issuer's" in await why_not(pinned(source=theirs.url + "/"))


async def test_keys_that_trickle_in_are_not_waited_for(
    clock: Monotonic, upstream: HttpUpstream
) -> None:
    async def trickle(wire: Wire) -> None:
        await wire.request()
        await wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            await wire.say(b" ")
            await asyncio.sleep(0.01)

    async with provider(trickle) as served:
        pin = Pin(source="spiffe://example.org", jwks_uri=f"http://127.0.0.1:{served.port}/keys")
        issuer = Issuer(pin, upstream, clock, check_issuer_url, fetch_s=0.2)
        assert "longer than 0.2 s" in await why_not(issuer)


async def test_closing_stops_a_fetch(pinned: Pinned, theirs: SelfMadeIssuer) -> None:
    theirs.wait_s = 0.2
    issuer = pinned()
    asking = asyncio.create_task(issuer.key("one"))
    await asyncio.sleep(0.02)
    await issuer.close()
    with pytest.raises(asyncio.CancelledError):
        await asking
