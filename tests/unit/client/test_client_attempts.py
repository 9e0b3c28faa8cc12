"""The auth classes in the libraries they are for: each attempt is signed, and only for the guard.

The answering side is a transport of each library, which reads a body as a socket would.
"""

import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import formatdate
from types import ModuleType
from typing import Any

import httpx
import httpx2
import pytest

from tokenward.client import for_httpx, for_httpx2
from tokenward.client.conversation import Conversation
from tokenward.client.errors import ForeignHostError
from tokenward.client.holder import Bind
from tokenward.client.signer import content_digest_of
from unit.client.holders import GUARD, KEY, NOW_S, Seen, holder, verified

URL = f"{GUARD}/v1/chat/completions"
NONCE_WANTED = 'DPoP error="use_dpop_nonce", error_description="again", algs="ES256"'
PROOF_REFUSED = 'DPoP error="invalid_dpop_proof", error_description="time", algs="ES256"'


@dataclass(frozen=True)
class Sent:
    """A request as it went out: the library changes its object for the next attempt."""

    url: str
    raw_path: str
    headers: Any
    body: bytes

    @property
    def proof(self) -> Seen:
        """Its signature is good."""
        return verified(self.headers["dpop"])


Answering = Callable[[Sent], Any]


class World:
    """One library, one holder, and a guard that answers as it is told."""

    def __init__(self, library: ModuleType, auth_class: Any) -> None:
        self.library = library
        self._auth_class = auth_class
        self.sent: list[Sent] = []
        self.now_s = NOW_S

    def client(self, answer: Answering, bind: Bind = "dpop", **more: Any) -> Any:
        world = self

        class Transport(self.library.BaseTransport):  # type: ignore[name-defined, misc]
            def handle_request(self, request: Any) -> Any:
                return world._answer(answer, request, b"".join(request.stream))

        return self.library.Client(transport=Transport(), auth=self._auth(bind), **more)

    def async_client(self, answer: Answering, bind: Bind = "dpop") -> Any:
        world = self

        class Transport(self.library.AsyncBaseTransport):  # type: ignore[name-defined, misc]
            async def handle_async_request(self, request: Any) -> Any:
                body = b"".join([piece async for piece in request.stream])
                return world._answer(answer, request, body)

        return self.library.AsyncClient(transport=Transport(), auth=self._auth(bind))

    def _auth(self, bind: Bind) -> Any:
        return self._auth_class(Conversation(holder(bind=bind), lambda: self.now_s))

    def _answer(self, answer: Answering, request: Any, body: bytes) -> Any:
        url = request.url
        sent = Sent(str(url), url.raw_path.decode(), request.headers.copy(), body)
        self.sent.append(sent)
        return answer(sent)

    def says(self, *answers: tuple[int, dict[str, str]]) -> Answering:
        """These answers in order; the last one for ever."""
        left = list(answers)
        return lambda _request: self.library.Response(
            left[0][0], headers=(left.pop(0) if len(left) > 1 else left[0])[1]
        )

    def proofs(self) -> list[Seen]:
        """Of the requests so far."""
        return [sent.proof for sent in self.sent]


@pytest.fixture(params=["httpx2", "httpx"])
def world(request: pytest.FixtureRequest) -> World:
    return {
        "httpx2": lambda: World(httpx2, for_httpx2.DpopAuth),
        "httpx": lambda: World(httpx, for_httpx.DpopAuth),
    }[request.param]()


def test_each_request_is_signed_for_itself(world: World) -> None:
    with world.client(world.says((200, {}))) as client:
        client.post(URL + "?beta=true", json={})
        client.get(f"{GUARD}:443/v1beta/models/gemini-2.5-flash:countTokens")
    first, second = world.proofs()
    assert (first.claims["htm"], first.claims["htu"]) == ("POST", URL)
    path = "/v1beta/models/gemini-2.5-flash:countTokens"
    assert (second.claims["htm"], second.claims["htu"]) == ("GET", GUARD + path)
    assert world.sent[1].raw_path == path
    assert first.claims["jti"] != second.claims["jti"]
    assert first.thumbprint == second.thumbprint


@pytest.mark.parametrize("path", ["/v1/a%3Ab", "/v1/%e2%82%ac", "/v1/ä ö", "/v1/a:b;c=d,e@f", "/"])
def test_the_path_is_signed_as_it_is_sent(world: World, path: str) -> None:
    with world.client(world.says((200, {}))) as client:
        client.get(GUARD + path)
    (proof,) = world.proofs()
    assert proof.claims["htu"] == GUARD + world.sent[0].raw_path


def test_what_the_sdk_took_for_a_key_does_not_go_out(world: World) -> None:
    given = {
        "Authorization": "Bearer tokenward",
        "X-Api-Key": "tokenward",
        "x-goog-api-key": "tokenward",
        "api-key": "tokenward",
        "x-other": "kept",
    }
    with world.client(world.says((200, {}))) as client:
        client.post(URL, headers=given)
    sent = world.sent[0].headers
    assert sent.get_list("authorization") == [f"DPoP {KEY}"]
    assert "tokenward" not in sent.values()
    assert sent["x-other"] == "kept"


def test_a_nonce_that_is_asked_for_is_given_at_once_and_kept(world: World) -> None:
    says = world.says(
        (401, {"www-authenticate": NONCE_WANTED, "dpop-nonce": "n1"}),
        (200, {"dpop-nonce": "n2"}),
        (200, {}),
        (200, {}),
    )
    with world.client(says) as client:
        assert [client.post(URL).status_code for _ in range(3)] == [200] * 3
    assert [seen.claims.get("nonce") for seen in world.proofs()] == [None, "n1", "n2", "n2"]
    assert len({seen.claims["jti"] for seen in world.proofs()}) == 4


@pytest.mark.parametrize(
    ("headers", "attempts"),
    [
        ({"www-authenticate": NONCE_WANTED, "dpop-nonce": "n1"}, 2),
        ({"www-authenticate": NONCE_WANTED}, 1),
        ({"www-authenticate": NONCE_WANTED, "dpop-nonce": "n" * 257}, 1),
        ({"dpop-nonce": "n1"}, 1),
        ({"www-authenticate": 'DPoP error="invalid_token"', "dpop-nonce": "n1"}, 1),
        ({"www-authenticate": PROOF_REFUSED, "date": formatdate(NOW_S, usegmt=True)}, 1),
        ({"www-authenticate": PROOF_REFUSED, "date": formatdate(NOW_S + 900, usegmt=True)}, 2),
        ({"www-authenticate": PROOF_REFUSED}, 1),
    ],
)
def test_a_guard_that_goes_on_refusing_is_believed(
    world: World, headers: dict[str, str], attempts: int
) -> None:
    with world.client(world.says((401, headers))) as client:
        assert client.post(URL).status_code == 401
    assert len(world.sent) == attempts


@pytest.mark.parametrize("status", [400, 403, 429, 500, 503])
def test_no_other_status_is_repeated(world: World, status: int) -> None:
    says = world.says((status, {"www-authenticate": NONCE_WANTED, "dpop-nonce": "n1"}))
    with world.client(says) as client:
        assert client.post(URL).status_code == status
    assert len(world.sent) == 1


def test_a_wrong_clock_is_put_right_once_for_all_calls(world: World) -> None:
    world.now_s = NOW_S - 3600
    says = world.says(
        (401, {"www-authenticate": NONCE_WANTED, "dpop-nonce": "n1"}),
        (401, {"www-authenticate": PROOF_REFUSED, "date": formatdate(NOW_S, usegmt=True)}),
        (200, {}),
    )
    with world.client(says) as client:
        assert [client.post(URL).status_code for _ in range(2)] == [200] * 2
    made = [seen.claims["iat"] - NOW_S for seen in world.proofs()]
    assert made == [-3600, -3600, 0, 0]


@pytest.mark.parametrize("bind", ["dpop", "dpop+body"])
def test_a_body_goes_out_whole_with_every_attempt(world: World, bind: Bind) -> None:
    says = world.says((401, {"www-authenticate": NONCE_WANTED, "dpop-nonce": "n1"}), (200, {}))
    with world.client(says, bind) as client:
        file = io.BytesIO(b"sound" * 50_000)
        assert client.post(URL, files={"file": ("a.wav", file)}, data={"a": "b"}).status_code == 200
    first, second = world.sent
    assert first.body == second.body
    assert b"sound" * 50_000 in second.body
    for sent in world.sent:
        digest = content_digest_of(sent.body) if bind == "dpop+body" else None
        assert sent.headers.get("content-digest") == digest
        assert sent.proof.claims.get("content_digest") == digest


def pieces() -> Iterator[bytes]:
    yield b"one "
    yield b"two"


def test_a_bound_body_may_come_from_a_generator(world: World) -> None:
    says = world.says((401, {"www-authenticate": NONCE_WANTED, "dpop-nonce": "n1"}), (200, {}))
    with world.client(says, "dpop+body") as client:
        assert client.post(URL, content=pieces()).status_code == 200
    assert [sent.body for sent in world.sent] == [b"one two"] * 2
    assert world.proofs()[1].claims["content_digest"] == content_digest_of(b"one two")


def test_an_unbound_body_from_a_generator_is_sent_once_and_then_with_the_nonce(
    world: World,
) -> None:
    says = world.says((401, {"www-authenticate": NONCE_WANTED, "dpop-nonce": "n1"}), (200, {}))
    with world.client(says) as client:
        with pytest.raises(world.library.StreamConsumed):
            client.post(URL, content=pieces())
        assert client.post(URL, content=pieces()).status_code == 200


@pytest.mark.parametrize("bind", ["dpop", "dpop+body"])
async def test_async_calls_are_signed_alike(world: World, bind: Bind) -> None:
    says = world.says((401, {"www-authenticate": NONCE_WANTED, "dpop-nonce": "n1"}), (200, {}))
    async with (
        world.async_client(says, bind) as client,
        client.stream("POST", URL, json={"a": 1}) as answer,
    ):
        assert answer.status_code == 200
    first, second = world.proofs()
    assert (first.claims.get("nonce"), second.claims["nonce"]) == (None, "n1")
    assert ("content_digest" in second.claims) is (bind == "dpop+body")


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.test/v1/chat/completions",
        "http://guard.test/v1/chat/completions",
        "https://guard.test:8443/v1/chat/completions",
        "https://guard.test.evil.test/",
        "https://guard.test@evil.test/",
        "https://user@guard.test/",
    ],
)
def test_nothing_is_signed_or_sent_to_another_host(world: World, url: str) -> None:
    with (
        world.client(world.says((200, {}))) as client,
        pytest.raises(ForeignHostError, match="Nothing was signed or sent"),
    ):
        client.post(url)
    assert world.sent == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("target", ["https://evil.test/v1", "http://guard.test/v1"])
def test_a_redirect_takes_the_key_nowhere(world: World, status: int, target: str) -> None:
    def answer(sent: Sent) -> Any:
        if sent.url == URL:
            return world.library.Response(status, headers={"location": target})
        if sent.url.endswith("/again"):
            return world.library.Response(200)
        lure = {"www-authenticate": NONCE_WANTED, "dpop-nonce": "evil", "date": "evil"}
        return world.library.Response(401, headers=lure)

    with world.client(answer, follow_redirects=True) as client:
        assert client.post(URL, headers={"x-api-key": "tokenward"}).status_code == 401
        client.post(f"{GUARD}/v1/again", headers={"x-api-key": "tokenward"})
    _, redirected, again = world.sent
    assert KEY not in "".join(redirected.headers.values())
    assert "x-api-key" not in redirected.headers
    assert "nonce" not in again.proof.claims, "nothing is learnt elsewhere"


def test_threads_share_one(world: World) -> None:
    def answer(sent: Sent) -> Any:
        nonce = sent.proof.claims.get("nonce")
        headers = {"www-authenticate": NONCE_WANTED, "dpop-nonce": "n1"}
        return world.library.Response(200 if nonce == "n1" else 401, headers=headers)

    with world.client(answer, "dpop+body") as client, ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(client.post, URL, json={"n": n}) for n in range(64)]
        assert {call.result().status_code for call in calls} == {200}
    ids = [seen.claims["jti"] for seen in world.proofs()]
    assert len(set(ids)) == len(ids)
