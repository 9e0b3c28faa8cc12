"""A proof is good for one request: at once, later, elsewhere, after a crash, and in a race."""

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from attacks.bound_calls import (
    NO_NONCE,
    REPLAYED,
    BoundKey,
    Call,
    assert_said,
    new_bound_key,
    record_of,
    refused_for_nothing,
    right_call,
)
from attacks.probe import CHAT, DIALECTS, GENERATE, Entrance, admin, assert_refused, settled_caps
from guard import GuardProcess, provider_settings, running_guard
from racing import race, send_all
from standin import StandinProcess

PUBLIC_URL = "https://guard.example/llm"
RACERS = 4
ROUNDS = 20
WARM_UP_S = 30.0
HIGH = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""The order of P-256: of a signature (r, s) the pair (r, HIGH - s) is one too."""


@pytest.fixture(scope="module")
def bound(guard: GuardProcess) -> BoundKey:
    return new_bound_key(guard)


def assert_used_up(
    guard: GuardProcess, standin: StandinProcess, bound: BoundKey, call: Call
) -> None:
    with refused_for_nothing(guard, standin, bound):
        answer = call.send(guard)
    assert_said(guard, answer, call, REPLAYED)


@pytest.mark.req("K-9")
@pytest.mark.parametrize("entrance", DIALECTS, ids=lambda entrance: entrance.name)
def test_a_captured_request_is_not_answered_twice(
    guard: GuardProcess, standin: StandinProcess, bound: BoundKey, entrance: Entrance
) -> None:
    call = right_call(guard, bound, entrance)
    call.proofs = [call.proof]
    assert call.send(guard).status == 200
    assert_used_up(guard, standin, bound, call)
    assert_used_up(guard, standin, bound, call)


@pytest.mark.parametrize("bind", ["dpop", "dpop+body"])
def test_a_captured_proof_is_not_good_for_another_query_body_or_address(
    guard: GuardProcess, standin: StandinProcess, bind: str
) -> None:
    bound = new_bound_key(guard, bind)
    call = right_call(guard, bound, GENERATE)
    call.proofs = [call.proof]
    assert call.send(guard).status == 200
    call.target += "?alt=sse"
    assert_used_up(guard, standin, bound, call)
    if bind == "dpop":  # with the body bound that is refused before, for what it is
        call.body = call.body.replace(b"hi", b"ho")
        assert_used_up(guard, standin, bound, call)
    call.target = CHAT.path
    call.entrance = CHAT
    with refused_for_nothing(guard, standin, bound):
        answer = call.send(guard)
    assert_refused(answer, CHAT, "proof:invalid", 401)


def test_a_jti_is_used_up_also_under_another_signature_and_at_another_name_of_the_guard(
    guard: GuardProcess, standin: StandinProcess, bound: BoundKey
) -> None:
    call = right_call(guard, bound, CHAT)
    assert call.send(guard).status == 200
    assert_used_up(guard, standin, bound, call)  # ES256 signs differently each time
    call.claims["htu"] = call.claims["htu"].replace("127.0.0.1", "localhost")
    assert_used_up(guard, standin, bound, call)
    call.claims["htu"] += "?query=1#fragment"
    assert_used_up(guard, standin, bound, call)


def test_a_captured_request_is_not_answered_at_another_spelling_of_its_address(
    guard: GuardProcess, standin: StandinProcess, bound: BoundKey
) -> None:
    """`%67` is `g`: the address is the same to every proof, and so must its use be."""
    call = right_call(guard, bound, GENERATE)
    call.proofs = [call.proof]
    assert call.send(guard).status == 200
    for spelled in ("%67emini-2.5-flash", "gemin%69-2.5-flash", "gemini-2.5-flas%68"):
        call.target = GENERATE.path.replace("gemini-2.5-flash", spelled)
        assert_used_up(guard, standin, bound, call)
    call.claims["jti"] += "2"
    call.proofs = None
    assert call.send(guard).status == 200, "a new proof is good there"


def test_the_twin_of_a_signature_is_the_same_proof(
    guard: GuardProcess, standin: StandinProcess, bound: BoundKey
) -> None:
    """JOSE does not forbid a high s, so both twins verify: they have one jti, and are one use."""
    call = right_call(guard, bound, CHAT)
    sign = call.sign

    def twin(signed: bytes) -> bytes:
        signature = sign(signed)
        s = HIGH - int.from_bytes(signature[32:])
        return signature[:32] + s.to_bytes(32)

    call.sign = twin
    assert call.send(guard).status == 200
    call.sign = sign
    assert_used_up(guard, standin, bound, call)


def test_a_refused_proof_is_not_used_up(
    guard: GuardProcess, standin: StandinProcess, bound: BoundKey
) -> None:
    """Junk cannot fill the memory of proofs, nor use up what the holder is about to send."""
    call = right_call(guard, bound, CHAT)
    proof = call.proof
    call.proofs = [proof[:-8] + "AAAAAAAA"]
    with refused_for_nothing(guard, standin, bound):
        assert call.send(guard).code == "proof:invalid"
    call.proofs = [proof]
    assert call.send(guard).status == 200


def test_one_proof_in_a_race_of_four_processes_reaches_the_provider_once(
    guard: GuardProcess, standin: StandinProcess, bound: BoundKey
) -> None:
    calls = [right_call(guard, bound, DIALECTS[n % 3]) for n in range(ROUNDS)]
    standin.reset()
    port = urlsplit(guard.base_url).port
    rounds = race(RACERS, send_all, port, [wire(call, guard) for call in calls])
    for statuses in rounds:
        assert sorted(statuses) == [b"HTTP/1.1 200 OK"] + [b"HTTP/1.1 401 Unauthorized"] * 3, rounds
    assert len(rounds) == len(standin.requests()) == len(standin.bill()["lines"]) == ROUNDS
    (cap,) = settled_caps(guard, bound.key)
    assert cap["held"] == 0


def wire(call: Call, guard: GuardProcess) -> bytes:
    """The request as it goes out."""
    head = [("host", urlsplit(guard.base_url).netloc), ("content-length", str(len(call.body)))]
    lines = [f"POST {call.target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in (*head, *call.headers())]
    return "\r\n".join([*lines, "connection: close", "", ""]).encode() + call.body


@pytest.fixture
def public_guard(
    standin: StandinProcess, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[GuardProcess]:
    """A guard that is known by one address, wherever it listens; a parameter adds settings."""
    settings = f'[server]\npublic_urls = ["{PUBLIC_URL}"]\n{getattr(request, "param", "")}\n'
    settings += provider_settings(standin.base_url)
    with running_guard(tmp_path / "guard", settings, {"PROVIDER_KEY": standin.credential}) as guard:
        yield guard


def test_a_used_proof_stays_used_when_the_guard_is_killed(
    public_guard: GuardProcess, standin: StandinProcess
) -> None:
    bound = new_bound_key(public_guard)
    used = right_call(public_guard, bound, CHAT, base_url=PUBLIC_URL)
    unused = right_call(public_guard, bound, CHAT, base_url=PUBLIC_URL, nonce=used.claims["nonce"])
    assert used.send(public_guard).status == 200
    for _ in range(2):
        public_guard.kill()
        public_guard.start()
        assert_used_up(public_guard, standin, bound, used)
    assert unused.send(public_guard).status == 200, "the nonces are the same as before"


def test_a_guard_that_lost_its_memory_of_proofs_takes_none_from_before(
    public_guard: GuardProcess, standin: StandinProcess
) -> None:
    bound = new_bound_key(public_guard)
    call = right_call(public_guard, bound, CHAT, base_url=PUBLIC_URL)
    assert call.send(public_guard).status == 200
    forget(public_guard)
    with refused_for_nothing(public_guard, standin, bound):
        answer = call.send(public_guard)
    assert_said(public_guard, answer, call, NO_NONCE)


@pytest.mark.parametrize("public_guard", ["[binding]\nrequire_nonce = false"], indirect=True)
def test_without_nonces_a_guard_that_lost_its_memory_asks_for_one_rather_than_guess(
    public_guard: GuardProcess, standin: StandinProcess
) -> None:
    """Also if the clock of whoever signed was a little ahead of ours."""
    bound = new_bound_key(public_guard)
    call = right_call(public_guard, bound, CHAT, base_url=PUBLIC_URL)
    del call.claims["nonce"]
    until = time.monotonic() + WARM_UP_S
    while (answer := call.send(public_guard)).status == 401 and time.monotonic() < until:
        assert_said(public_guard, answer, call, NO_NONCE)  # it has only just begun to remember
        time.sleep(0.5)
        call.claims["iat"] = int(time.time()) + 3
    assert answer.status == 200
    assert_used_up(public_guard, standin, bound, call)
    forget(public_guard)
    with refused_for_nothing(public_guard, standin, bound):
        answer = call.send(public_guard)
    assert_said(public_guard, answer, call, NO_NONCE)
    call.claims |= {"nonce": answer.headers["dpop-nonce"], "jti": "another"}
    assert call.send(public_guard).status == 200


def test_a_guard_that_cannot_remember_proofs_takes_none(
    public_guard: GuardProcess, standin: StandinProcess
) -> None:
    bound = new_bound_key(public_guard)
    call = right_call(public_guard, bound, CHAT, base_url=PUBLIC_URL)
    remove_proofs(public_guard)
    with refused_for_nothing(public_guard, standin, bound):
        answer = call.send(public_guard)
    assert answer.status == 503
    assert answer.code == "store:unavailable"


def test_the_nonce_of_another_guard_is_none(
    guard: GuardProcess, public_guard: GuardProcess, standin: StandinProcess, bound: BoundKey
) -> None:
    elsewhere = right_call(public_guard, new_bound_key(public_guard), CHAT, base_url=PUBLIC_URL)
    call = right_call(guard, bound, CHAT, nonce=elsewhere.claims["nonce"])
    with refused_for_nothing(guard, standin, bound):
        answer = call.send(guard)
    assert_said(guard, answer, call, NO_NONCE)


def test_a_replay_is_news_once_a_minute_and_a_record_each_time(
    guard: GuardProcess, standin: StandinProcess
) -> None:
    bound = new_bound_key(guard)
    call = right_call(guard, bound, CHAT)
    assert call.send(guard).status == 200
    for _ in range(3):
        assert_used_up(guard, standin, bound, call)
    told = admin(guard, "GET", "/events?limit=1000").json
    mine = [event for event in told if event["subject"] == f"key:{bound.key.id}"]
    (misused,) = [
        event
        for event in mine
        if event["kind"] == "key:misused" and event["facts"]["reason"] == "proof:replayed"
    ]
    assert misused["facts"]["class"] == "E1"


TWO_A_MINUTE = {"rpm": 2, "models": ["gpt-5-mini", "claude-haiku-4-5"], "cidrs": ["127.0.0.0/8"]}
HERE, COMING = "x", "x" * 200_000
"""Texts of bodies that come with their heads, and after them."""


@pytest.mark.parametrize("text", [HERE, COMING], ids=["here", "coming"])
@pytest.mark.parametrize("bind", ["dpop", "dpop+body"])
def test_of_a_key_with_limits_a_replay_is_told_first_and_counts_for_nothing(
    guard: GuardProcess, standin: StandinProcess, bind: str, text: str
) -> None:
    bound = new_bound_key(guard, bind, **TWO_A_MINUTE)
    body = {**CHAT.body, "messages": [{"role": "user", "content": text}]}
    call = right_call(guard, bound, CHAT, body=body)
    assert call.send(guard).status == 200
    for _ in range(3):
        assert_used_up(guard, standin, bound, call)
    assert right_call(guard, bound, CHAT, body=body).send(guard).status == 200
    late = right_call(guard, bound, CHAT, body=body)
    with refused_for_nothing(guard, standin, bound):
        assert late.send(guard).code == "rate:exceeded"
    assert_used_up(guard, standin, bound, late)


@pytest.mark.parametrize("text", [HERE, COMING], ids=["here", "coming"])
@pytest.mark.parametrize("why", ["model:not_allowed", "request:invalid", "network:not_allowed"])
def test_of_a_key_with_limits_what_is_refused_before_they_are_asked_uses_its_proof_up(
    guard: GuardProcess, standin: StandinProcess, why: str, text: str
) -> None:
    cidrs = ["192.0.2.0/24"] if why == "network:not_allowed" else ["127.0.0.0/8"]
    bound = new_bound_key(guard, **{**TWO_A_MINUTE, "cidrs": cidrs})
    body = {**CHAT.body, "messages": [{"role": "user", "content": text}]}
    if why == "model:not_allowed":
        body["model"] = "gpt-4o"
    call = right_call(guard, bound, CHAT, body=body)
    if why == "request:invalid":
        call.body = b"{" + text.encode()
    for _ in range(3):
        with refused_for_nothing(guard, standin, bound):
            answer = call.send(guard)
        assert answer.code == why
        record = record_of(guard, answer)
        assert record["proof_kind"] == "dpop"
        assert not [each for each in record.get("evidence", []) if each.startswith("E1 ")]
        assert_used_up(guard, standin, bound, call)
        call.claims["jti"] += "2"  # a new proof, of which nothing was counted either


def forget(guard: GuardProcess) -> None:
    """As when the machine was started anew: what was used is not known any more."""
    guard.kill()
    remove_proofs(guard)
    guard.start()


def remove_proofs(guard: GuardProcess) -> None:
    for path in (guard.folder / "data").glob("proofs.db*"):
        path.unlink()
