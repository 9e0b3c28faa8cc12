"""No input makes a 500 at the token service, and none that was not given out opens anything."""

import asyncio
import string
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holder import Holder, b64, dumped
from tokenward.keys.life import Created
from unit.http.oauth.token_world import (
    ACCESS_TOKEN,
    ASSERTION,
    CALL,
    EXCHANGE,
    ISSUER,
    MovingClock,
    TokenWorld,
)

ERRORS = {
    "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client",
    "unsupported_grant_type", "invalid_scope", "invalid_target", "use_dpop_nonce",
    "invalid_dpop_proof", "temporarily_unavailable",
}  # fmt: skip
PATHS = ["/oauth/token", "/oauth/revoke", "/oauth/introspect", "/oauth/enrolment"]
PLACES = [
    *PATHS, "/oauth/jwks", "/oauth/", "/.well-known/oauth-authorization-server",
    "/.well-known/oauth-protected-resource", "/oauth/token/", "/oauth//token",
]  # fmt: skip
NAMES = [
    "grant_type", "scope", "client_id", "client_secret", "client_assertion", "code", "token",
    "client_assertion_type", "refresh_token", "subject_token", "subject_token_type",
    "requested_token_type", "resource", "audience", "actor_token", "token_type_hint",
]  # fmt: skip


class Fuzzed:
    """One guard, and things of it that a mutation can begin with."""

    def __init__(self, loop: asyncio.AbstractEventLoop, world: TokenWorld, key: Created) -> None:
        self.loop = loop
        self.world = world
        self.key = key
        self.holder = Holder()
        self.address = 0

    def client(self) -> str:
        """Another address each time: what is limited is not what is tested."""
        self.world.clock.ahead_ms += 1_000  # nor how often a client may come
        self.address += 1
        return f"10.{self.address >> 16 & 255}.{self.address >> 8 & 255}.{self.address & 255}"


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzzed]:
    folder: Path = tmp_path_factory.mktemp("fuzzed")
    loop = asyncio.new_event_loop()
    world = TokenWorld(MovingClock())
    loop.run_until_complete(world.open(folder))
    yield Fuzzed(loop, world, loop.run_until_complete(world.key()))
    loop.run_until_complete(world.close())
    loop.close()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
MEMBERS = st.sampled_from(
    ["typ", "alg", "jwk", "kid", "crit", "iss", "sub", "aud", "exp", "iat", "nbf", "jti", "cnf",
     "htm", "htu", "ath", "nonce", "scope", "tw_by", "tw_family"]
)  # fmt: skip
SAID = st.sampled_from(
    ["at+jwt", "dpop+jwt", "JWT", "ES256", "none", ISSUER, "POST", {"jkt": "x"}, 2**40, -1, 1e30]
)
OBJECT = st.dictionaries(MEMBERS, SAID | JSON, max_size=8)
JWT = st.tuples(OBJECT, OBJECT, st.binary(max_size=70)).map(
    lambda parts: f"{b64(dumped(parts[0]))}.{b64(dumped(parts[1]))}.{b64(parts[2])}"
)
BASE62 = st.text(string.ascii_letters + string.digits, max_size=60)
WORDS = st.sampled_from(
    ["client_credentials", "refresh_token", EXCHANGE, ACCESS_TOKEN, ASSERTION, ISSUER,
     "offline_access", "model:gpt-*", "urn:ietf:params:oauth:token-type:jwt"]
)  # fmt: skip
VALUE = WORDS | JWT | st.text(max_size=60) | st.tuples(
    st.sampled_from(["tw_sk_", "tw_rt_", "tw_ec_", ""]), BASE62
).map("".join)  # fmt: skip
FORM = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=8), VALUE, max_size=8)
HEADER = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=60)


def check(status: int, value: object) -> None:
    """A refusal of RFC 6749, or the few answers that nobody has to prove anything for."""
    assert isinstance(value, dict)
    if status == 200:
        assert "access_token" not in value
        assert "key" not in value
    else:
        assert 400 <= status < 500
        assert value["error"] in ERRORS
        assert set(value) == {"error", "error_description", "code", "request_id"}


@settings(max_examples=300)
@given(
    path=st.sampled_from(PLACES),
    method=st.sampled_from(["POST", "POST", "POST", "GET", "PUT", "HEAD", "OPTIONS"]),
    body=FORM | st.binary(max_size=200),
    dpop=st.none() | JWT | HEADER,
    authorization=st.none() | HEADER | BASE62.map("Basic ".__add__) | JWT.map("DPoP ".__add__),
)
def test_no_form_and_no_header_makes_a_500(
    fuzzed: Fuzzed,
    path: str,
    method: str,
    body: dict[str, str] | bytes,
    dpop: str | None,
    authorization: str | None,
) -> None:
    given_headers = {"dpop": dpop, "authorization": authorization}
    headers = {name: value for name, value in given_headers.items() if value is not None}
    form = body if isinstance(body, bytes) else _encodable(body)
    said = fuzzed.loop.run_until_complete(
        fuzzed.world.post(path, form, headers, method=method, client=fuzzed.client())
    )
    check(said.status, said.value)


@settings(max_examples=300)
@given(path=st.sampled_from(PATHS), body=FORM, is_client=st.booleans(), assertion=st.none() | JWT)
def test_nothing_behind_a_right_proof_makes_a_500(
    fuzzed: Fuzzed, path: str, body: dict[str, str], is_client: bool, assertion: str | None
) -> None:
    form = _encodable(body)
    if assertion is not None:
        form.update(client_assertion_type=ASSERTION, client_assertion=assertion)
    if is_client:
        form.update(client_id=fuzzed.key.record.id, client_secret=fuzzed.key.key.reveal())
        form.pop("grant_type", None)  # it would be given a token, and rightly
    client = fuzzed.client()
    headers = {"dpop": fuzzed.world.proof(fuzzed.holder, path)}
    said = fuzzed.loop.run_until_complete(fuzzed.world.post(path, form, headers, client=client))
    check(said.status, said.value)
    assert said.code != "rate:exceeded"


@settings(max_examples=200)
@given(token=JWT | st.text(st.characters(min_codepoint=33, max_codepoint=126)).map(
    lambda text: f"a{text}.b.c"
))  # fmt: skip
def test_no_access_token_that_was_not_given_out_opens_anything(fuzzed: Fuzzed, token: str) -> None:
    headers = {"authorization": f"DPoP {token}", "content-type": "application/json"}
    said = fuzzed.loop.run_until_complete(
        fuzzed.world.post(CALL, b"{}", headers, client=fuzzed.client())
    )
    assert (said.status, said.code) == (401, "key:invalid")


def _encodable(form: dict[str, str]) -> dict[str, str]:
    return {
        name.encode("utf-8", "replace").decode(): value.encode("utf-8", "replace").decode()
        for name, value in form.items()
    }
