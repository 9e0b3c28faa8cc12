"""A key that signs for the body too: what was captured buys no other prompt and no dearer model.
And what a right proof may look like, so that refusing is not all that is shown."""

import json
from typing import Any

import pytest

from attacks.bound_calls import (
    INVALID,
    REPLAYED,
    BoundKey,
    Call,
    Spoil,
    assert_said,
    new_bound_key,
    record_of,
    refused_for_nothing,
    right_call,
)
from attacks.probe import CHAT, DIALECTS, GENERATE, MESSAGES, Entrance, ask
from attacks.spoiling import both, claims, header, without_claim
from guard import GuardProcess
from holder import ALGORITHMS, claims_for, digest_of
from standin import StandinProcess

DEARER = {CHAT: "gpt-5-pro", MESSAGES: "claude-opus-5-5", GENERATE: "gemini-2.5-pro"}


@pytest.fixture(scope="module")
def bound(guard: GuardProcess) -> BoundKey:
    return new_bound_key(guard, "dpop+body")


@pytest.fixture(scope="module")
def plain(guard: GuardProcess) -> BoundKey:
    """Bound, and its proofs need not cover the body."""
    return new_bound_key(guard, "dpop")


def body(**changes: Any) -> Spoil:
    """The body, changed after it was signed for."""

    def spoil(call: Call) -> None:
        call.proofs = [call.proof]
        call.body = json.dumps({**json.loads(call.body), **changes}).encode()

    return spoil


def replaced(old: bytes, new: bytes) -> Spoil:
    def spoil(call: Call) -> None:
        call.proofs = [call.proof]
        assert old in call.body
        call.body = call.body.replace(old, new)

    return spoil


def digest(*values: str) -> Spoil:
    """These Content-Digest headers; the claim stays as it is."""

    def spoil(call: Call) -> None:
        call.more = [("content-digest", value) for value in values]

    return spoil


def digest_and_claim(write: str) -> Spoil:
    """Header and claim agree; `{}` stands for the right digest."""

    def spoil(call: Call) -> None:
        value = write.format(digest_of(call.body))
        call.more = [("content-digest", value)]
        call.claims["content_digest"] = value

    return spoil


WRONG: dict[str, Spoil] = {
    "another prompt": body(messages=[{"role": "user", "content": "ho"}]),
    "another prompt of the same length": replaced(b'"hi"', b'"ho"'),
    "a higher limit of output": body(max_tokens=32_000),
    "a dearer model": body(model="gpt-5-pro"),
    "one more space": replaced(b"{", b"{ "),
    "no body": replaced(json.dumps(CHAT.body).encode(), b""),
    "the header missing": digest(),
    "the claim missing": without_claim("content_digest"),
    "neither": both(digest(), without_claim("content_digest")),
    "the header of another body": digest(digest_of(b"another")),
    "the header twice": lambda call: digest(digest_of(call.body), digest_of(call.body))(call),
    "both of another body": both(
        digest(digest_of(b"another")), claims(content_digest=digest_of(b"another"))
    ),
    "an algorithm that is not taken": digest_and_claim("md5=:sQqNsWTgdUEFt6mb5y4/5Q==:"),
    "a weak algorithm beside a good one": digest_and_claim("{}, md5=:sQqNsWTgdUEFt6mb5y4/5Q==:"),
    "two digests, the second wrong": digest_and_claim("{}, " + digest_of(b"another", "sha-512")),
    "two digests, the first wrong": digest_and_claim(digest_of(b"another", "sha-512") + ", {}"),
    "one algorithm twice, once wrong": digest_and_claim(digest_of(b"another") + ", {}"),
    "the digest without colons": digest_and_claim("sha-256=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NM="),
    "the digest in upper case": lambda call: digest_and_claim(digest_of(call.body).upper())(call),
    "an empty digest": digest_and_claim("sha-256=::"),
    "an empty header": digest_and_claim(""),
    "a parameter": digest_and_claim("{};a=1"),
}  # fmt: skip


@pytest.mark.req("K-9")
@pytest.mark.parametrize("name", WRONG)
def test_a_body_that_was_not_signed_for_opens_nothing(
    guard: GuardProcess, standin: StandinProcess, bound: BoundKey, name: str
) -> None:
    call = right_call(guard, bound, CHAT)
    WRONG[name](call)
    with refused_for_nothing(guard, standin, bound):
        answer = call.send(guard)
    assert_said(guard, answer, call, INVALID)


@pytest.mark.parametrize("entrance", DIALECTS, ids=lambda entrance: entrance.name)
def test_a_call_that_never_arrived_buys_no_dearer_model(
    guard: GuardProcess, standin: StandinProcess, bound: BoundKey, entrance: Entrance
) -> None:
    """Whoever holds a call back and delivers it itself can deliver that call, and no other."""
    call = right_call(guard, bound, entrance)
    call.proofs, right = [call.proof], call.body
    if entrance is GENERATE:  # the model stands in the address, which every proof covers
        call.target = call.target.replace("gemini-2.5-flash", DEARER[entrance])
    else:
        call.body = right.replace(entrance.body["model"].encode(), DEARER[entrance].encode())
    assert (call.target, call.body) != (entrance.path, right)
    with refused_for_nothing(guard, standin, bound):
        answer = call.send(guard)
    assert_said(guard, answer, call, INVALID)
    call.target, call.body = entrance.path, right
    assert call.send(guard).status == 200
    with refused_for_nothing(guard, standin, bound):
        answer = call.send(guard)
    assert_said(guard, answer, call, REPLAYED)


def test_a_digest_in_the_proof_counts_also_where_the_key_does_not_demand_one(
    guard: GuardProcess, standin: StandinProcess, plain: BoundKey
) -> None:
    call = right_call(guard, plain, CHAT)
    claims(content_digest=digest_of(b"another"))(call)
    for headers in ([], [("content-digest", digest_of(b"another"))]):
        call.more = headers
        with refused_for_nothing(guard, standin, plain):
            answer = call.send(guard)
        assert_said(guard, answer, call, INVALID)
    call.claims["content_digest"] = digest_of(call.body)
    call.more = [("content-digest", digest_of(call.body))]
    assert call.send(guard).status == 200


def test_a_call_without_a_body_is_signed_for_too(
    guard: GuardProcess, standin: StandinProcess, bound: BoundKey
) -> None:
    call = right_call(guard, bound, CHAT)
    url = guard.base_url + "/v1/models"
    for body, status in ((b"", 200), (b"{}", 401)):
        made = claims_for(
            "GET", url, credential=call.credential, nonce=call.claims["nonce"], body=body
        )
        headers = [
            *call.authorization,
            ("dpop", bound.holder.proof(made)),
            ("content-digest", digest_of(body)),
        ]
        assert ask(guard.base_url, "GET", "/v1/models", headers).status == status


# -- what is right --------------------------------------------------------------------------------


@pytest.mark.parametrize("bind", ["dpop", "dpop+body"])
@pytest.mark.parametrize("algorithm", [*ALGORITHMS, "EdDSA"])
@pytest.mark.parametrize("entrance", DIALECTS, ids=lambda entrance: entrance.name)
def test_a_right_proof_is_taken_recorded_and_kept_from_the_provider(
    guard: GuardProcess, standin: StandinProcess, entrance: Entrance, algorithm: str, bind: str
) -> None:
    bound = new_bound_key(guard, bind, algorithm)
    standin.reset()
    call = right_call(guard, bound, entrance)
    answer = call.send(guard)
    assert answer.status == 200
    assert answer.headers["dpop-nonce"]
    record = record_of(guard, answer)
    assert record["proof_kind"] == "dpop"
    assert record["proof_thumbprint"] == bound.holder.thumbprint
    assert not [each for each in record.get("evidence", []) if each.startswith("E1 ")]
    (seen,) = standin.requests()
    told = {name for name, _ in seen["headers"]}
    assert told.isdisjoint({"dpop", "content-digest", "signature", "signature-input"})
    assert standin.leaks() == []


def with_jti(jti: str) -> Spoil:
    return claims(jti=jti)


def scheme(text: str) -> Spoil:
    def change(call: Call) -> None:
        call.authorization = [("authorization", f"{text} {call.credential}")]

    return change


def at(change: Any) -> Spoil:
    return lambda call: call.claims.update(htu=change(call.url))


RIGHT: dict[str, Spoil] = {
    "htu with a query": at(lambda url: url + "?alt=sse"),
    "htu with a fragment": at(lambda url: url + "#there"),
    "htu with the scheme in upper case": at(lambda url: url.replace("http", "HTTP", 1)),
    "htu at localhost": at(lambda url: url.replace("127.0.0.1", "LOCALHOST")),
    "htu with an unreserved character encoded": at(lambda url: url.replace("/v1", "/%761")),
    "a query in the address": lambda call: setattr(call, "target", call.target + "?beta=true"),
    "a jti of one character": with_jti("\u2713"),
    "a jti of 128 characters": with_jti("j" * 128),
    "iat with a fraction": lambda call: call.claims.update(iat=call.claims["iat"] + 0.5),
    "claims and headers nobody knows": both(claims(exp=1, sub="x"), header(kid="1", cty="x")),
    "the scheme in lower case": scheme("dpop"),
    "the same key in another place too": lambda call: call.more.append(
        ("x-api-key", call.credential)
    ),
    "a body in pieces": lambda call: setattr(call, "is_chunked", True),
    "forwarding headers of a proxy": lambda call: call.more.extend(
        [("x-forwarded-host", "proxy.example"), ("forwarded", "host=proxy.example")]
    ),
}


@pytest.mark.parametrize("bind", ["dpop", "dpop+body"])
@pytest.mark.parametrize("name", RIGHT)
def test_what_the_standard_allows_is_taken(
    guard: GuardProcess, bound: BoundKey, plain: BoundKey, name: str, bind: str
) -> None:
    call = right_call(guard, plain if bind == "dpop" else bound, CHAT)
    RIGHT[name](call)
    answer = call.send(guard)
    assert answer.status == 200, answer


@pytest.mark.parametrize(
    "write", ["{0}", "{1}", "{0}, {1}", "{1},{0}"], ids=["256", "512", "256+512", "512+256"]
)
def test_digests_of_two_algorithms_may_stand_side_by_side(
    guard: GuardProcess, bound: BoundKey, write: str
) -> None:
    call = right_call(guard, bound, CHAT)
    value = write.format(digest_of(call.body), digest_of(call.body, "sha-512"))
    call.more = [("content-digest", value)]
    call.claims["content_digest"] = value
    assert call.send(guard).status == 200


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_large_body_is_covered_too(
    guard: GuardProcess, standin: StandinProcess, bound: BoundKey, is_chunked: bool
) -> None:
    words = [{"role": "user", "content": "word " * 100_000}]
    call = right_call(guard, bound, CHAT, body={**CHAT.body, "messages": words})
    call.is_chunked, call.proofs = is_chunked, [call.proof]
    right = call.body
    call.body = right[:-200] + b"W" + right[-199:]
    with refused_for_nothing(guard, standin, bound):
        answer = call.send(guard)
    assert_said(guard, answer, call, INVALID)
    call.body = right
    assert call.send(guard).status == 200
