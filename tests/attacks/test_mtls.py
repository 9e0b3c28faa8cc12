"""Keys that are bound to a TLS client certificate (RFC 8705), TLS ended by the guard. Whoever has
the key and not the certificate reaches nothing and costs nothing."""

import http.client
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from attacks.mtls_world import FORMS, WAIT_S, World, ask, escaped, is_refused, tls_world
from attacks.probe import CHAT, DIALECTS, Answer, Entrance
from certificates import HOUR, SERVERS, Pair, authority, make
from holder import Holder, claims_for
from standin import StandinProcess

SECOND = HOUR / 3600
STREAM = {**CHAT.body, "stream": True}


@pytest.fixture(scope="module")
def world(standin: StandinProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with tls_world(tmp_path_factory.mktemp("mtls"), standin) as made:
        yield made


@pytest.fixture(scope="module")
def right(world: World) -> Pair:
    return world.client("right")


@pytest.fixture(scope="module")
def key(world: World, right: Pair) -> str:
    return world.key_of(right)[1]


@pytest.mark.req("K-9")
@pytest.mark.parametrize("entrance", DIALECTS, ids=lambda entrance: entrance.dialect)
def test_the_holder_of_the_certificate_gets_through(
    world: World, right: Pair, key: str, entrance: Entrance
) -> None:
    answer = world.call(key, right, entrance=entrance)
    assert answer.status == 200
    record = world.record_of(answer)
    assert (record["proof_kind"], record["proof_thumbprint"]) == ("mtls", right.thumbprint)


def test_a_pinned_certificate_that_nobody_signed_gets_through(world: World) -> None:
    pinned = make(world.folder, "pinned-too")  # not the one that is in the settings
    with world.nothing_happens(), pytest.raises((OSError, http.client.HTTPException)):
        world.call("tw_sk_none", pinned)
    pem, key_pem = world.folder / "pinned.pem", world.folder / "pinned-key.pem"
    made = world.guard.cli(
        *("key", "create", "--project", "tests", "--cap", "5.00/day"),
        *("--bind", "mtls", "--certificate", str(pem)),
    )
    context = world.context()
    context.load_cert_chain(pem, key_pem)
    with httpx.Client(verify=context, base_url=world.guard.base_url) as client:
        answer = client.post(CHAT.path, json=CHAT.body, headers=dict(CHAT.headers(made["key"])))
    assert answer.status_code == 200


@pytest.mark.parametrize("entrance", DIALECTS, ids=lambda entrance: entrance.dialect)
def test_a_copied_key_without_a_certificate_is_refused(
    world: World, key: str, entrance: Entrance
) -> None:
    with world.nothing_happens():
        answer = world.call(key, entrance=entrance)
        assert is_refused(answer, "proof:missing", "client certificate")
    record = world.record_of(answer)
    assert record["evidence"] == ["E1 proof:missing"]
    assert not record.get("proof_thumbprint")


def test_a_copied_key_with_another_certificate_is_refused_and_told_of(
    world: World, right: Pair
) -> None:
    key_id, text = world.key_of(right)
    with world.nothing_happens():
        answer = world.call(text, world.client("other"))
        assert is_refused(answer, "proof:invalid", "is not the one")
    assert world.record_of(answer)["evidence"] == ["E1 proof:invalid"]
    told = [event for event in world.guard.cli("events") if event["subject"] == f"key:{key_id}"]
    assert "key:misused" in [event["kind"] for event in told]


@pytest.mark.parametrize(
    "wish",
    [{"usage": SERVERS}, {"begins": -9 * HOUR, "ends": -HOUR}, {"begins": HOUR}],
    ids=["for servers", "expired", "not yet valid"],
)
def test_the_bound_certificate_does_not_get_in_when_it_does_not_count(
    world: World, wish: dict[str, Any]
) -> None:
    pair = world.client("uncounted", **wish)
    _, text = world.key_of(pair)
    with world.nothing_happens(), pytest.raises((OSError, http.client.HTTPException)):
        world.call(text, pair)


def test_the_bound_certificate_of_an_unknown_authority_does_not_get_in(world: World) -> None:
    pair = make(world.folder, "stranger", authority(world.folder, "unknown"))
    _, text = world.key_of(pair)
    with world.nothing_happens(), pytest.raises((OSError, http.client.HTTPException)):
        world.call(text, pair)


def test_an_authoritys_certificate_is_no_callers(world: World) -> None:
    below = world.client("below", is_ca=True, usage=None)
    for pair in (world.authority, below):
        _, text = world.key_of(pair)
        with world.nothing_happens():
            answer = world.call(text, pair)
            assert is_refused(answer, "proof:invalid", "certificate authority")


def test_a_connection_does_not_outlive_its_certificate(world: World) -> None:
    for lifetime in (SECOND * 4, SECOND * 40):  # a busy machine may need longer to begin
        pair = world.client("brief", ends=lifetime)
        _, text = world.key_of(pair)
        line = world.line(pair)
        try:
            answers = [ask(line, text)]
            until = time.monotonic() + lifetime.total_seconds() + WAIT_S
            while answers[-1].status == 200 and time.monotonic() < until:
                time.sleep(0.2)
                answers.append(ask(line, text))
        except OSError:
            continue
        finally:
            line.close()
        if len(answers) > 1:
            break
    assert answers[0].status == 200
    assert is_refused(answers[-1], "proof:invalid", "has expired")


def test_a_key_bound_to_a_certificate_is_not_sent_as_dpop(
    world: World, right: Pair, key: str
) -> None:
    with world.nothing_happens():
        answer = world.call(key, right, ("authorization", f"DPoP {key}"))
        assert (answer.status, answer.code) == (401, "proof:invalid")


@pytest.mark.parametrize("name", ["client-cert", "x-forwarded-client-cert", "x-ssl-client-cert"])
def test_a_certificate_in_a_header_is_nobodys_word(
    world: World, right: Pair, key: str, name: str
) -> None:
    forged = (name, FORMS.get(name, escaped)(right))
    with world.nothing_happens():
        assert is_refused(world.call(key, None, forged), "proof:missing")
        assert is_refused(world.call(key, world.client("other"), forged), "proof:invalid")
    _, bearer = world.guard.key("--cap", "5.00/day")
    assert world.call(bearer, None, forged).status == 200
    (seen,) = world.standin.requests()
    assert name not in {header.lower() for header, _ in seen["headers"]}


def test_a_bearer_key_needs_no_certificate_and_minds_none(world: World, right: Pair) -> None:
    _, bearer = world.guard.key("--cap", "5.00/day")
    for pair in (None, right):
        answer = world.call(bearer, pair)
        assert answer.status == 200
        assert world.record_of(answer)["proof_kind"] == "none"


def test_streams_come_piece_by_piece_and_are_settled(world: World, right: Pair, key: str) -> None:
    with httpx.Client(verify=world.context(right), base_url=world.guard.base_url) as client:
        headers = {**dict(CHAT.headers(key)), "x-standin": "tag=mtls-stream; gap_ms=20"}
        with client.stream("POST", CHAT.path, json=STREAM, headers=headers) as answer:
            assert answer.status_code == 200
            lines = [line for line in answer.iter_lines() if line]
    assert len(lines) > 2
    assert lines[-1] == "data: [DONE]"
    assert all(cap["held"] == 0 for cap in world.guard.wait_until_settled())
    assert world.standin.line("mtls-stream")


def test_a_caller_who_leaves_in_mid_stream_owes_what_was_made(
    world: World, right: Pair, key: str
) -> None:
    with httpx.Client(verify=world.context(right), base_url=world.guard.base_url) as client:
        headers = {**dict(CHAT.headers(key)), "x-standin": "tag=mtls-left; gap_ms=20"}
        with client.stream("POST", CHAT.path, json=STREAM, headers=headers) as answer:
            next(answer.iter_lines())
    world.guard.wait_until_settled()
    assert world.standin.line("mtls-left")


def test_a_holder_enrols_with_the_certificate_it_shows(world: World, right: Pair) -> None:
    made = world.guard.cli("key", "create", "--project", "tests", "--bind", "mtls")
    form, path = {"code": made["enrolment_code"]}, "/oauth/enrolment"
    base_url = world.guard.base_url
    with httpx.Client(verify=world.context(), base_url=base_url) as nobody:
        assert nobody.post(path, data=form).status_code == 400
    with httpx.Client(verify=world.context(right), base_url=base_url) as holder:
        enrolled = holder.post(path, data=form)
        assert enrolled.status_code == 200, enrolled.text
        assert enrolled.json()["thumbprint"] == right.thumbprint
    thief = world.client("thief")
    with httpx.Client(verify=world.context(thief), base_url=base_url) as other:
        assert other.post(path, data=form).status_code == 400, "the code has its holder"
    assert world.call(enrolled.json()["key"], right).status == 200
    assert is_refused(world.call(enrolled.json()["key"], thief), "proof:invalid")


def test_proofs_are_for_the_guards_https_address(world: World) -> None:
    holder = Holder()
    words = ("--bind", "dpop", "--thumbprint", holder.thumbprint, "--cap", "5.00/day")
    _, text = world.guard.key(*words)
    nonce = world.call(text).headers["dpop-nonce"]

    def call(base_url: str) -> Answer:
        claims = claims_for("POST", base_url + CHAT.path, credential=text, nonce=nonce)
        proof = ("dpop", holder.proof(claims))
        return world.call(text, None, ("authorization", f"DPoP {text}"), proof)

    with world.nothing_happens():
        assert call(world.guard.base_url.replace("https:", "http:")).code == "proof:invalid"
    assert call(world.guard.base_url).status == 200
