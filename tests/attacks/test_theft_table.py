"""What does a thief get? Each thing is stolen from a running guard and tried in every way we know;
the provider's bill says what it was worth. The table is `docs/explanation/theft-table.md`."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

import pytest

from attacks.bound_calls import BoundKey, Call, new_bound_key, right_call
from attacks.probe import MESSAGES, Answer, Key, ask, new_key, settled_caps
from guard import GuardProcess, provider_settings, running_guard
from holder import Holder, claims_for
from house.thefts import THEFTS, TRIES_MAX
from standin import StandinProcess

SMALL = {**MESSAGES.body, "max_tokens": 1_000}
SMALL_SCRIPT = ("x-standin", "input_tokens=10; output_tokens=1000")
DEAR = {**SMALL, "model": "claude-opus-5-5", "max_tokens": 8_000}
DEAR_SCRIPT = ("x-standin", "input_tokens=10; output_tokens=8000")
CAP = "1000.00/day"
JSON = ("content-type", "application/json")


@pytest.fixture(scope="module")
def plain_guard(
    standin: StandinProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GuardProcess]:
    """A guard as it comes: with the default cap of keys that are bound to nobody."""
    settings = "[keys]\n\n" + provider_settings(standin.base_url)
    environ = {"PROVIDER_KEY": standin.credential}
    with running_guard(tmp_path_factory.mktemp("thefts"), settings, environ) as running:
        yield running


@dataclass(kw_only=True)
class Heist:
    """One theft: the guard, the thief's own private key, and how often something was tried."""

    guard: GuardProcess
    standin: StandinProcess
    thief: Holder = field(default_factory=Holder)
    tries: int = 0

    def victim(self, bind: str = "dpop") -> BoundKey:
        return new_bound_key(self.guard, bind, cap=CAP)

    def call_of(self, victim: BoundKey) -> Call:
        """What the victim is about to send."""
        call = right_call(self.guard, victim, MESSAGES, body=SMALL)
        call.more.append(SMALL_SCRIPT)
        call.proofs = [call.proof]
        return call

    def sent_call_of(self, victim: BoundKey) -> Call:
        """What the victim has sent, and paid for."""
        call = self.call_of(victim)
        assert call.send(self.guard).status == 200
        settled_caps(self.guard, victim.key)
        self.standin.reset()
        return call

    def send(self, call: Call) -> Answer:
        self.tries += 1
        return call.send(self.guard)

    def spend(self, *headers: tuple[str, str]) -> Answer:
        """Try to make the dear call with these."""
        self.tries += 1
        data = json.dumps(DEAR).encode()
        given = [JSON, DEAR_SCRIPT, *headers]
        return ask(self.guard.base_url, "POST", MESSAGES.path, given, data)

    def spend_in_every_way(self, credential: str, holder: Holder) -> None:
        """Seven ways to present a text whose private key one does not have."""
        self.spend(("authorization", f"Bearer {credential}"))
        self.spend(("authorization", f"DPoP {credential}"))
        for name in ("x-api-key", "x-goog-api-key", "api-key"):
            self.spend((name, credential))
        mine = BoundKey(key=Key("", credential), holder=self.thief, bind="dpop")
        for shown in (self.thief, holder):  # one's own key, and the right one that one cannot use
            call = right_call(self.guard, mine, MESSAGES, body=DEAR)
            call.header = shown.header()
            call.more.append(DEAR_SCRIPT)
            self.send(call)

    def token(self, holder: Holder, **form: str) -> Answer:
        """A request to the token endpoint; asks again with the guard's nonce."""
        url, nonce = self.guard.base_url + "/oauth/token", ""
        for _ in range(2):
            proof = holder.proof(claims_for("POST", url, nonce=nonce))
            headers = [("content-type", "application/x-www-form-urlencoded"), ("dpop", proof)]
            body = urlencode(form).encode()
            answer = ask(self.guard.base_url, "POST", "/oauth/token", headers, body)
            if (answer.json or {}).get("error") != "use_dpop_nonce":
                break
            nonce = answer.headers["dpop-nonce"]
        return answer

    def grant(self, victim: BoundKey) -> dict[str, Any]:
        """The victim's tokens."""
        answer = self.token(
            victim.holder,
            grant_type="client_credentials",
            scope="offline_access",
            client_id=victim.key.id,
            client_secret=victim.key.text,
        )
        assert answer.status == 200, answer
        granted: dict[str, Any] = answer.json
        return granted


def steal_unbound_key(heist: Heist, *caps: str) -> None:
    key = new_key(heist.guard, caps=list(caps))
    for _ in range(TRIES_MAX):
        heist.spend(("x-api-key", key.text))


def steal_unbound_request(heist: Heist) -> None:
    key = new_key(heist.guard, caps=["none"])
    headers = [JSON, SMALL_SCRIPT, ("x-api-key", key.text)]
    for _ in range(TRIES_MAX):
        heist.tries += 1
        ask(heist.guard.base_url, "POST", MESSAGES.path, headers, json.dumps(SMALL).encode())


def steal_key(heist: Heist, bind: str) -> None:
    victim = heist.victim(bind)
    heist.spend_in_every_way(victim.key.text, victim.holder)
    heist.tries += 1
    answer = heist.token(
        heist.thief,
        grant_type="client_credentials",
        client_id=victim.key.id,
        client_secret=victim.key.text,
    )
    assert answer.status >= 400, answer


def steal_access_token(heist: Heist) -> None:
    victim = heist.victim()
    heist.spend_in_every_way(heist.grant(victim)["access_token"], victim.holder)


def steal_access_token_of_unbound_key(heist: Heist) -> None:
    victim = BoundKey(key=new_key(heist.guard, caps=["none"]), holder=Holder(), bind="dpop")
    heist.spend_in_every_way(heist.grant(victim)["access_token"], victim.holder)


def steal_refresh_token(heist: Heist) -> None:
    victim = heist.victim()
    granted = heist.grant(victim)
    text = granted["refresh_token"]
    heist.spend(("authorization", f"Bearer {text}"))
    heist.spend(("authorization", f"DPoP {text}"))
    for form in ({}, {"client_id": victim.key.id}):
        heist.tries += 1
        answer = heist.token(heist.thief, grant_type="refresh_token", refresh_token=text, **form)
        assert answer.json["error"] == "invalid_grant", answer
    assert_family_ended(heist, victim, granted)


def steal_used_refresh_token(heist: Heist) -> None:
    """Even with the private key: two uses of one token are one too many."""
    victim = heist.victim()
    first = heist.grant(victim)
    form = {"grant_type": "refresh_token", "client_id": victim.key.id}
    second = heist.token(victim.holder, refresh_token=first["refresh_token"], **form)
    third = heist.token(victim.holder, refresh_token=second.json["refresh_token"], **form)
    assert (second.status, third.status) == (200, 200)
    heist.tries += 1
    answer = heist.token(victim.holder, refresh_token=first["refresh_token"], **form)
    assert answer.json["error"] == "invalid_grant", answer
    assert_family_ended(heist, victim, third.json)


def assert_family_ended(heist: Heist, victim: BoundKey, granted: dict[str, Any]) -> None:
    form = {"grant_type": "refresh_token", "refresh_token": granted["refresh_token"]}
    assert heist.token(victim.holder, **form).json["error"] == "invalid_grant"
    with_token = replace(victim, key=Key(victim.key.id, granted["access_token"]))
    plain = right_call(heist.guard, with_token, MESSAGES, nonce=nonce_of(heist))
    assert plain.send(heist.guard).status == 401


def nonce_of(heist: Heist) -> str:
    victim = heist.victim()
    nonce = right_call(heist.guard, victim, MESSAGES).claims["nonce"]
    return str(nonce)


def steal_proof(heist: Heist, bind: str) -> None:
    """The headers alone, from a log say: with a body, a path and a place of the thief's own."""
    call = heist.sent_call_of(heist.victim(bind))
    heist.send(with_dear_body(call))
    heist.send(replace(call, body=call.body.replace(b"hi", b"ho")))
    heist.send(replace(call, target=call.target + "?beta=true"))
    heist.send(replace(call, target="/v1/messages/count_tokens"))
    heist.send(replace(call, more=[*call.more, ("x-api-key", call.credential)]))


def steal_request(heist: Heist, bind: str) -> None:
    call = heist.sent_call_of(heist.victim(bind))
    for _ in range(10):
        heist.send(call)


def hold_back(heist: Heist, bind: str) -> None:
    call = heist.call_of(heist.victim(bind))
    for _ in range(10):
        heist.send(call)


def hold_back_and_change(heist: Heist, bind: str) -> None:
    call = with_dear_body(heist.call_of(heist.victim(bind)))
    for _ in range(10):
        heist.send(call)


def hold_back_too_long(heist: Heist) -> None:
    """As it would be seen a minute later: the guard's clock cannot be moved, so the proof's is."""
    victim = heist.victim("dpop+body")
    call = right_call(heist.guard, victim, MESSAGES, body=SMALL)
    call.claims["iat"] -= 61
    heist.send(call)


def steal_proofs_for_later(heist: Heist) -> None:
    victim = heist.victim()
    for minute in range(1, 101):
        call = right_call(heist.guard, victim, MESSAGES, body=DEAR)
        call.claims["iat"] += 60 * minute
        heist.send(call)


def with_dear_body(call: Call) -> Call:
    more = [pair for pair in call.more if pair != SMALL_SCRIPT]
    return replace(call, body=json.dumps(DEAR).encode(), more=[*more, DEAR_SCRIPT])


STEALS: dict[str, Callable[[Heist], None]] = {
    "key, uncapped": lambda heist: steal_unbound_key(heist, "none"),
    "key, none": steal_unbound_key,
    "request, none": steal_unbound_request,
    "key, dpop": lambda heist: steal_key(heist, "dpop"),
    "key, dpop+body": lambda heist: steal_key(heist, "dpop+body"),
    "access token": steal_access_token,
    "access token of an unbound key": steal_access_token_of_unbound_key,
    "refresh token": steal_refresh_token,
    "used refresh token": steal_used_refresh_token,
    "proof, dpop": lambda heist: steal_proof(heist, "dpop"),
    "proof, dpop+body": lambda heist: steal_proof(heist, "dpop+body"),
    "request, dpop": lambda heist: steal_request(heist, "dpop"),
    "request, dpop+body": lambda heist: steal_request(heist, "dpop+body"),
    "held back, dpop": lambda heist: hold_back(heist, "dpop"),
    "held back, dpop+body": lambda heist: hold_back(heist, "dpop+body"),
    "held back and changed, dpop": lambda heist: hold_back_and_change(heist, "dpop"),
    "held back and changed, dpop+body": lambda heist: hold_back_and_change(heist, "dpop+body"),
    "held back too long": hold_back_too_long,
    "proofs for later": steal_proofs_for_later,
}


@pytest.mark.req("K-9")
@pytest.mark.parametrize("name", THEFTS)
def test_a_thief_gets_what_the_table_says_and_nothing_more(
    plain_guard: GuardProcess, standin: StandinProcess, name: str
) -> None:
    standin.reset()
    heist = Heist(guard=plain_guard, standin=standin)
    STEALS[name](heist)
    totals = standin.bill()["totals"]
    expected = THEFTS[name]
    assert (heist.tries, totals["calls"], totals["cost_nusd"]) == (
        expected.tries,
        expected.calls,
        expected.cost_nusd,
    )


def test_every_row_of_the_table_is_measured() -> None:
    assert STEALS.keys() == THEFTS.keys()
