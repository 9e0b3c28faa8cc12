"""Access tokens that are bound to a TLS client certificate (RFC 8705), TLS ended by the guard. What
a copied token buys without the certificate: nothing, of anybody's money."""

import http.client
import json
import uuid
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from attacks.mtls_world import World, is_refused, tls_world
from attacks.probe import CHAT, DIALECTS, Entrance
from certificates import Pair, make
from holder import Holder, claims_for
from standin import StandinProcess

TOKEN = "/oauth/token"
WISH = {"grant_type": "client_credentials", "scope": "offline_access"}


@dataclass(frozen=True, slots=True)
class Client:
    """A key that is bound to a certificate, and the certificate."""

    world: World
    pair: Pair
    key_id: str
    key: str

    def post(self, pair: Pair | None, path: str = TOKEN, **form: str) -> httpx.Response:
        """A form, over a connection that shows `pair`."""
        verify, base_url = self.world.context(pair), self.world.guard.base_url
        with httpx.Client(verify=verify, base_url=base_url, timeout=30) as line:
            return line.post(path, data=form)

    def proven(self, how: str) -> dict[str, str]:
        """What the form says of the client."""
        secret = {"client_secret": self.key} if how == "client_secret_post" else {}
        return {"client_id": self.key_id, **secret}

    def tokens(self, how: str = "certificate") -> dict[str, Any]:
        """What it is given."""
        said = self.post(self.pair, **WISH, **self.proven(how))
        assert said.status_code == 200, said.text
        return dict(said.json())

    def refresh(self, pair: Pair | None, token: str, **more: str) -> httpx.Response:
        """The next token, for whoever shows `pair`."""
        return self.post(pair, grant_type="refresh_token", refresh_token=token, **more)

    @property
    def spent_nusd(self) -> int:
        """By its own cap."""
        caps = self.world.guard.wait_until_settled()
        (cap,) = (cap for cap in caps if cap["subject"] == f"key:{self.key_id}")
        return int(cap["spent"])

    def evidence(self) -> list[str]:
        """Why its incidents were opened."""
        listed = self.world.guard.cli("incident", "list")
        mine = [one for one in listed if one["subject"] == f"key:{self.key_id}"]
        return [evidence["reason"] for one in mine for evidence in one["evidence"]]


@pytest.fixture(scope="module")
def world(standin: StandinProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with tls_world(tmp_path_factory.mktemp("mtls-tokens"), standin) as made:
        yield made


@pytest.fixture(scope="module")
def other(world: World) -> Pair:
    """Somebody else's certificate, of the same authority."""
    return world.client("other")


def new_client(world: World) -> Client:
    pair = world.client(f"right-{uuid.uuid4().hex[:8]}")  # the files of each stay as they are
    return Client(world, pair, *world.key_of(pair))


@pytest.fixture(scope="module")
def client(world: World) -> Client:
    """For tests in which nothing comes of anything."""
    return new_client(world)


def claims_of(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    value: dict[str, Any] = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return value


@pytest.mark.req("K-9")
@pytest.mark.parametrize("entrance", DIALECTS, ids=lambda entrance: entrance.dialect)
@pytest.mark.parametrize("how", ["certificate", "client_secret_post"])
def test_the_holder_of_the_certificate_gets_a_token_and_is_charged_for_its_calls(
    world: World, how: str, entrance: Entrance
) -> None:
    client = new_client(world)
    given = client.tokens(how)
    assert given["token_type"] == "Bearer"
    token = given["access_token"]
    assert claims_of(token)["cnf"] == {"x5t#S256": client.pair.thumbprint}
    tag = f"token-{client.key_id}"
    answer = world.call(token, client.pair, ("x-standin", f"tag={tag}"), entrance=entrance)
    assert answer.status == 200, answer
    record = world.record_of(answer)
    assert (record["key"], record["proof_kind"]) == (client.key_id, "mtls")
    assert record["proof_thumbprint"] == client.pair.thumbprint
    assert client.spent_nusd == record["cost_nusd"] == world.standin.line(tag)["cost_nusd"] > 0


@pytest.mark.parametrize("entrance", DIALECTS, ids=lambda entrance: entrance.dialect)
def test_a_copied_token_is_refused_without_its_certificate(
    client: Client, other: Pair, entrance: Entrance
) -> None:
    world, token = client.world, client.tokens()["access_token"]
    with world.nothing_happens():
        without = world.call(token, entrance=entrance)
        assert is_refused(without, "proof:missing", "client certificate")
        with_another = world.call(token, other, entrance=entrance)
        assert is_refused(with_another, "proof:invalid", "is not the one")
    assert world.record_of(without)["evidence"] == ["E1 proof:missing"]
    assert world.record_of(with_another)["evidence"] == ["E1 proof:invalid"]
    told = [each for each in world.guard.cli("events") if each["subject"] == f"key:{client.key_id}"]
    assert "key:misused" in [event["kind"] for event in told]


def test_a_token_of_a_certificate_the_guard_does_not_know_gets_no_connection(
    client: Client,
) -> None:
    world, token = client.world, client.tokens()["access_token"]
    stranger = make(world.folder, "stranger")
    with world.nothing_happens():
        with pytest.raises(httpx.TransportError):
            client.post(stranger, **WISH, **client.proven("client_secret_post"))
        with pytest.raises((OSError, http.client.HTTPException)):
            world.call(token, stranger)


@pytest.mark.parametrize("shows", ["the certificate", "another one", "none"])
def test_a_proof_by_any_private_key_does_not_stand_in_for_the_certificate(
    client: Client, other: Pair, shows: str
) -> None:
    world, token = client.world, client.tokens()["access_token"]
    pair = {"the certificate": client.pair, "another one": other, "none": None}[shows]
    code = "proof:missing" if pair is None else "proof:invalid"
    as_dpop = ("authorization", f"DPoP {token}")
    claims = claims_for("POST", world.guard.base_url + CHAT.path, credential=token)
    proof = ("dpop", Holder().proof(claims))
    with world.nothing_happens():
        for headers in ((as_dpop,), (as_dpop, proof)):
            answer = world.call(token, pair, *headers)
            assert (answer.status, answer.code) == (401, code)


def test_a_copied_key_gets_no_token_without_its_certificate(client: Client, other: Pair) -> None:
    no_proof = (400, "invalid_dpop_proof")
    with client.world.nothing_happens():
        for how, pair, expected in (
            ("certificate", other, (401, "invalid_client")),
            ("certificate", None, no_proof),
            ("client_secret_post", other, no_proof),
            ("client_secret_post", None, no_proof),
        ):
            said = client.post(pair, **WISH, **client.proven(how))
            assert (said.status_code, said.json()["error"]) == expected, said.text


@pytest.mark.parametrize("names_itself", [False, True], ids=["no client_id", "client_id"])
def test_a_refresh_with_another_certificate_ends_the_family(
    world: World, other: Pair, names_itself: bool
) -> None:
    client = new_client(world)
    own = {"client_id": client.key_id} if names_itself else {}
    first = client.tokens()
    said = client.refresh(client.pair, first["refresh_token"], **own)
    assert said.status_code == 200, said.text
    given = said.json()
    assert claims_of(given["access_token"])["cnf"] == {"x5t#S256": client.pair.thumbprint}
    assert world.call(given["access_token"], client.pair).status == 200
    with world.nothing_happens():
        assert client.refresh(None, given["refresh_token"], **own).status_code == 400
        assert client.evidence() == [], "to show nothing is no use of the token"
        stolen = client.refresh(other, given["refresh_token"], **own)
        assert (stolen.status_code, stolen.json()["error"]) == (400, "invalid_grant")
        again = client.refresh(client.pair, given["refresh_token"], **own)
        assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
        for dead in (first["access_token"], given["access_token"]):
            answer = world.call(dead, client.pair)
            assert (answer.status, answer.code) == (401, "key:invalid")
    assert client.evidence() == ["refresh:other_holder"]
    assert world.call(client.tokens()["access_token"], client.pair).status == 200, "begins anew"
