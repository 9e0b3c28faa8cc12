"""Keys that are bound to a TLS client certificate, behind a proxy that passes it on: who is
believed, and what not even a trusted proxy can pass on."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from attacks.mtls_world import FORMS, World, is_refused
from certificates import HOUR, SERVERS, Pair, authority
from guard import provider_settings, running_guard
from standin import StandinProcess

TRUSTED, STRANGER = "127.0.0.1", "127.0.0.2"


@dataclass(frozen=True, slots=True)
class Proxied:
    """A guard behind a proxy, which the test plays, and the header it writes."""

    world: World
    name: str
    form: Callable[[Pair], str]

    def said(self, pair: Pair) -> tuple[str, str]:
        """The proxy's header."""
        return self.name, self.form(pair)


@pytest.fixture(scope="module", params=FORMS)
def proxied(
    request: pytest.FixtureRequest,
    standin: StandinProcess,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Proxied]:
    folder = tmp_path_factory.mktemp("proxied")
    settings = (
        '[server]\ntrusted_proxies = ["127.0.0.1/32"]\n'
        f'client_certificate_header = "{request.param.title()}"\n'
    )
    settings += provider_settings(standin.base_url)
    environ = {"PROVIDER_KEY": standin.credential}
    with running_guard(folder / "guard", settings, environ) as guard:
        world = World(guard, standin, folder, authority(folder))
        yield Proxied(world, request.param, FORMS[request.param])


def test_a_trusted_proxy_is_believed_and_its_word_goes_no_further(proxied: Proxied) -> None:
    world, pair = proxied.world, proxied.world.client("right")
    _, key = world.key_of(pair)
    world.standin.reset()
    answer = world.call(key, None, proxied.said(pair))
    assert answer.status == 200
    record = world.record_of(answer)
    assert (record["proof_kind"], record["proof_thumbprint"]) == ("mtls", pair.thumbprint)
    (seen,) = world.standin.requests()
    assert proxied.name not in {header.lower() for header, _ in seen["headers"]}


def test_nobody_else_is_believed_behind_or_beside_the_proxy(proxied: Proxied) -> None:
    world, pair = proxied.world, proxied.world.client("right")
    _, key = world.key_of(pair)
    said = proxied.said(pair)
    others = [(name, form(pair)) for name, form in FORMS.items() if name != proxied.name]
    with world.nothing_happens():
        assert is_refused(world.call(key, None, said, source=STRANGER), "proof:missing")
        claim = ("x-forwarded-for", TRUSTED)
        assert is_refused(world.call(key, None, said, claim, source=STRANGER), "proof:missing")
        assert is_refused(world.call(key, None, *others), "proof:missing")
    _, bearer = world.guard.key("--cap", "5.00/day")
    world.standin.reset()
    assert world.call(bearer, None, said, source=STRANGER).status == 200
    (seen,) = world.standin.requests()
    assert proxied.name not in {header.lower() for header, _ in seen["headers"]}


def test_two_headers_or_one_that_is_none_are_no_certificate(proxied: Proxied) -> None:
    world, pair = proxied.world, proxied.world.client("right")
    _, key = world.key_of(pair)
    name, value = proxied.said(pair)
    with world.nothing_happens():
        for values in (
            (),
            (value, value),
            (value, proxied.form(world.client("other"))),
            ("", value),
            (value + ", " + value,),
            (value[:-9],),
            ("(null)",),
            ("garbage",),
            (pair.thumbprint,),
            (b"\xff\xfe",),
        ):
            answer = world.call(key, None, *((name, each) for each in values))
            assert is_refused(answer, "proof:missing")


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        ({"begins": -9 * HOUR, "ends": -HOUR}, "has expired"),
        ({"begins": HOUR}, "is not valid yet"),
        ({"usage": SERVERS}, "is not meant for clients"),
        ({"is_ca": True, "usage": None}, "certificate authority"),
    ],
)
def test_the_bound_certificate_must_count_whatever_the_proxy_lets_in(
    proxied: Proxied, wish: dict[str, Any], why: str
) -> None:
    world, pair = proxied.world, proxied.world.client("uncounted", **wish)
    _, key = world.key_of(pair)
    with world.nothing_happens():
        answer = world.call(key, None, proxied.said(pair))
        assert is_refused(answer, "proof:invalid", why)


def test_another_certificate_is_refused_behind_a_proxy_too(proxied: Proxied) -> None:
    world = proxied.world
    _, key = world.key_of(world.client("right"))
    with world.nothing_happens():
        answer = world.call(key, None, proxied.said(world.client("other")))
        assert is_refused(answer, "proof:invalid", "is not the one")
