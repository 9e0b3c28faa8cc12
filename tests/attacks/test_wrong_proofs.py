"""Wrong proofs against the running guard: each is refused with the standard's error, is recorded,
never reaches the provider and costs nothing. They take turns at the three dialects."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from attacks.bound_calls import (
    INVALID,
    MISSING,
    NO_NONCE,
    OTHER,
    OUT_OF_TIME,
    UNBOUND,
    BoundKey,
    Said,
    Spoil,
    assert_said,
    netloc_of,
    new_bound_key,
    record_of,
    refused_for_nothing,
    right_call,
)
from attacks.probe import CHAT, DIALECTS, GENERATE, assert_refused, new_key
from attacks.spoiling import (
    SMALL_ORDER,
    STRANGER,
    STRANGER_ED,
    bits_left_over,
    both,
    claims,
    claims_as,
    curve,
    flipped,
    header,
    hmac_with_public_key,
    htu,
    in_der,
    jwk,
    key_in,
    literal,
    more,
    moved,
    no_proof,
    off_curve,
    proof,
    proofs,
    rsa_jwk,
    rsa_sign,
    signed_by,
    twice,
    without_claim,
    without_header,
)
from guard import GuardProcess
from holder import ath_of, b64, dumped
from standin import StandinProcess

WRONG: dict[str, tuple[Said, Spoil]] = {
    # No proof, or the key in a place where no proof counts.
    "no proof beside the DPoP scheme": (MISSING, no_proof),
    "as Bearer, with a right proof": (MISSING, key_in("authorization", "Bearer {}")),
    "as Bearer, without a proof": (MISSING, both(key_in("authorization", "Bearer {}"), no_proof)),
    "in x-api-key": (MISSING, key_in("x-api-key")),
    "in x-goog-api-key": (MISSING, key_in("x-goog-api-key")),
    "in api-key": (MISSING, key_in("api-key")),
    # Another method.
    "htm of another method": (INVALID, claims(htm="GET")),
    "htm in lower case": (INVALID, claims(htm="post")),
    "htm missing": (INVALID, without_claim("htm")),
    "htm as a list": (INVALID, claims(htm=["POST"])),
    # Another address.
    "htu of another route": (INVALID, htu(lambda url: url.rsplit("/", 1)[0] + "/models")),
    "htu of another host": (INVALID, htu(lambda url: url.replace("127.0.0.1", "127.0.0.2"))),
    "htu of another port": (INVALID, htu(lambda url: url.replace(netloc_of(url), "127.0.0.1:1"))),
    "htu of another scheme": (INVALID, htu(lambda url: url.replace("http:", "https:"))),
    "htu of no scheme": (INVALID, htu(lambda url: url.removeprefix("http:"))),
    "htu with the path alone": (INVALID, htu(lambda url: url[url.index("/v1") :])),
    "htu with a path in upper case": (INVALID, htu(lambda url: url.replace("/v1", "/V1"))),
    "htu with a trailing slash": (INVALID, htu(lambda url: url + "/")),
    "htu with a doubled slash": (INVALID, htu(lambda url: url.replace("/v1", "//v1"))),
    "htu with dot segments": (INVALID, htu(lambda url: url.replace("/v1", "/v1/../v1"))),
    "htu with a parameter": (INVALID, htu(lambda url: url + ";a=b")),
    "htu with userinfo": (INVALID, htu(lambda url: url.replace("//", "//user:pw@"))),
    "htu that only starts like ours": (
        INVALID,
        htu(lambda url: url.replace("http://", "http://attacker.example/")),
    ),
    "htu with our host as userinfo": (
        INVALID,
        htu(lambda url: url.replace(netloc_of(url), netloc_of(url) + "@attacker.example")),
    ),
    "htu with our address in its query": (
        INVALID,
        htu(lambda url: "https://attacker.example/?" + url),
    ),
    "htu with a backslash": (INVALID, htu(lambda url: url.replace("/v1", "\\v1"))),
    "htu with a newline": (INVALID, htu(lambda url: url + "\n")),
    "htu with a port that is none": (
        INVALID,
        htu(lambda url: url.replace(netloc_of(url), "127.0.0.1:99999")),
    ),
    "htu missing": (INVALID, without_claim("htu")),
    "htu empty": (INVALID, claims(htu="")),
    "htu as a number": (INVALID, claims(htu=1)),
    "htu of the attacker, with Host": (INVALID, more(host="attacker.example")),
    "htu of the attacker, with X-Forwarded-Host": (
        INVALID,
        more(x_forwarded_host="attacker.example", x_forwarded_proto="https"),
    ),
    "htu of the attacker, with Forwarded": (
        INVALID,
        more(forwarded="host=attacker.example;proto=https"),
    ),
    # Another credential.
    "ath of another text": (INVALID, claims(ath=ath_of("tw_sk_another"))),
    "ath missing": (INVALID, without_claim("ath")),
    "ath padded": (INVALID, moved("ath", lambda ath: ath + "=")),
    "ath is the key itself": (INVALID, lambda call: call.claims.update(ath=call.credential)),
    "ath as a list": (INVALID, moved("ath", lambda ath: [ath])),
    # Another private key.
    "by another key": (
        OTHER,
        signed_by({}, STRANGER.sign, STRANGER.jwk),
    ),
    "by another key of another kind": (
        OTHER,
        signed_by({"alg": "EdDSA"}, STRANGER_ED.sign, STRANGER_ED.jwk),
    ),
    "by another key that claims to be ours": (INVALID, signed_by({}, STRANGER.sign)),
    "ours, signed by us, with another public key": (INVALID, header(jwk=dict(STRANGER.jwk))),
    # Another kind of token.
    "typ JWT": (INVALID, header(typ="JWT")),
    "typ at+jwt": (INVALID, header(typ="at+jwt")),
    "typ missing": (INVALID, without_header("typ")),
    "typ in upper case": (INVALID, header(typ="DPOP+JWT")),
    "typ as a media type": (INVALID, header(typ="application/dpop+jwt")),
    # Another algorithm.
    "alg none, without a signature": (
        INVALID,
        both(header(alg="none"), proof(lambda p: p.rpartition(".")[0] + ".")),
    ),
    "alg none, with a signature": (INVALID, header(alg="none")),
    "alg None": (INVALID, header(alg="None")),
    "alg HS256 with the public key as secret": (INVALID, hmac_with_public_key),
    "alg RS256 with an RSA key": (INVALID, signed_by({"alg": "RS256"}, rsa_sign, rsa_jwk())),
    "alg RS256 with our key": (INVALID, header(alg="RS256")),
    "alg ES384": (INVALID, header(alg="ES384")),
    "alg ES256K": (INVALID, curve("secp256k1", ec.SECP256K1(), "ES256K")),
    "alg EdDSA over a P-256 key": (INVALID, header(alg="EdDSA")),
    "alg ES256 over an Ed25519 key": (
        INVALID,
        signed_by({"alg": "ES256"}, STRANGER_ED.sign, STRANGER_ED.jwk),
    ),
    "alg missing": (INVALID, without_header("alg")),
    "alg as a list": (INVALID, header(alg=["ES256"])),
    "crit": (INVALID, header(crit=["exp"], exp=1)),
    "crit empty": (INVALID, header(crit=[])),
    "crit b64": (INVALID, header(crit=["b64"], b64=False)),
    # A key that is none.
    "jwk missing": (INVALID, without_header("jwk")),
    "jwk as text": (INVALID, lambda call: call.header.update(jwk=str(call.header["jwk"]))),
    "jwk null": (INVALID, header(jwk=None)),
    "jwk empty": (INVALID, header(jwk={})),
    "jwk with the private key": (INVALID, lambda call: jwk(d=call.holder.d)(call)),
    "jwk with the private Ed25519 key": (
        INVALID,
        signed_by({"alg": "EdDSA"}, STRANGER_ED.sign, {**STRANGER_ED.jwk, "d": STRANGER_ED.d}),
    ),
    "jwk with an RSA private part": (INVALID, jwk(p="AQAB")),
    "jwk symmetric": (INVALID, header(jwk={"kty": "oct", "k": "c2VjcmV0"})),
    "jwk with a symmetric part": (INVALID, jwk(k="c2VjcmV0")),
    "jwk of small order, which anybody signs for": (INVALID, signed_by(*SMALL_ORDER)),
    "jwk off its curve": (INVALID, off_curve),
    "jwk at infinity": (INVALID, jwk(x=b64(bytes(32)), y=b64(bytes(32)))),
    "jwk P-384": (INVALID, curve("P-384", ec.SECP384R1(), "ES384")),
    "jwk secp256k1 that says P-256": (INVALID, curve("P-256", ec.SECP256K1(), "ES256")),
    "jwk P-384 coordinates that say P-256": (INVALID, curve("P-256", ec.SECP384R1(), "ES256")),
    "jwk of kind OKP with P-256": (INVALID, jwk(kty="OKP")),
    "jwk coordinate too short": (
        INVALID,
        jwk(x=b64(b"\x01" * 31)),
    ),
    "jwk coordinate too long": (INVALID, jwk(x=b64(bytes(1) + b"\x01" * 32))),
    "jwk coordinate padded": (INVALID, lambda call: jwk(x=call.header["jwk"]["x"] + "=")(call)),
    "jwk coordinate with bits left over": (INVALID, bits_left_over),
    "jwk coordinate as a number": (INVALID, jwk(x=7)),
    "jwk coordinate outside ASCII": (INVALID, jwk(x="é" * 43)),
    "jku": (INVALID, header(jku="https://attacker.example/keys")),
    "x5u": (INVALID, header(x5u="https://attacker.example/cert")),
    "x5c": (INVALID, header(x5c=["MIIB"])),
    "kid alone": (INVALID, both(without_header("jwk"), header(kid="1"))),
    # Another time.
    "iat of more than a minute ago": (OUT_OF_TIME, moved("iat", lambda iat: iat - 62)),
    "iat in the future": (OUT_OF_TIME, moved("iat", lambda iat: iat + 30)),
    "iat in milliseconds": (OUT_OF_TIME, moved("iat", lambda iat: iat * 1000)),
    "iat as text": (INVALID, moved("iat", str)),
    "iat missing": (INVALID, without_claim("iat")),
    "iat true": (INVALID, claims(iat=True)),
    "iat null": (INVALID, claims(iat=None)),
    "iat 1e400": (OUT_OF_TIME, literal("iat", "1e400")),
    "iat of 300 digits": (OUT_OF_TIME, claims(iat=10**300)),
    "iat negative": (OUT_OF_TIME, claims(iat=-1)),
    "iat NaN": (INVALID, literal("iat", "NaN")),
    "iat Infinity": (INVALID, literal("iat", "Infinity")),
    # No name.
    "jti missing": (INVALID, without_claim("jti")),
    "jti empty": (INVALID, claims(jti="")),
    "jti of 129 characters": (INVALID, claims(jti="j" * 129)),
    "jti as a number": (INVALID, claims(jti=1)),
    "jti null": (INVALID, claims(jti=None)),
    # No nonce of ours.
    "nonce missing": (NO_NONCE, without_claim("nonce")),
    "nonce empty": (NO_NONCE, claims(nonce="")),
    "nonce of a foreign server": (NO_NONCE, claims(nonce=b64(bytes(24)))),
    "nonce as a number": (NO_NONCE, claims(nonce=7)),
    "nonce null": (NO_NONCE, claims(nonce=None)),
    "nonce padded": (NO_NONCE, moved("nonce", lambda nonce: nonce + "=")),
    "nonce outside ASCII": (NO_NONCE, claims(nonce="é")),
    # A token that is none.
    "a proof of white space": (INVALID, proofs("   ")),
    "an empty proof": (INVALID, proofs("")),
    "a proof of bytes outside ASCII": (INVALID, proofs(b"\xff\xfe.\xff.\xff")),
    "two proofs in two headers": (
        INVALID,
        lambda call: proofs(call.proof, call.proof)(call),
    ),
    "two proofs in one header": (INVALID, lambda call: proofs(f"{call.proof}, {call.proof}")(call)),
    "two parts": (INVALID, proof(lambda p: p.rpartition(".")[0])),
    "four parts": (INVALID, proof(lambda p: p + ".AAAA")),
    "an empty signature": (INVALID, proof(lambda p: p.rpartition(".")[0] + ".")),
    "an empty header": (INVALID, proof(lambda p: p[p.index(".") :])),
    "padding after the signature": (INVALID, proof(lambda p: p + "==")),
    "a quoted proof": (INVALID, proof(lambda p: f'"{p}"')),
    "the scheme before the proof": (INVALID, proof(lambda p: f"DPoP {p}")),
    "white space inside": (INVALID, proof(lambda p: p.replace(".", ". ", 1))),
    "the signature flipped": (INVALID, proof(flipped)),
    "the signature cut": (INVALID, proof(lambda p: p[:-8])),
    "the signature of zeros": (INVALID, signed_by({}, lambda _: bytes(64))),
    "the signature in DER": (INVALID, in_der),
    "the claims exchanged after signing": (
        INVALID,
        proof(lambda p: p.replace(p.split(".")[1], b64(b'{"jti":"another"}'))),
    ),
    "more than 4,096 bytes": (INVALID, claims(more="x" * 4096)),
    "jti twice": (INVALID, twice("jti", '"another"', 1)),
    "htu twice": (INVALID, twice("htu", '"https://attacker.example"', 1)),
    "jwk twice": (INVALID, twice("jwk", dumped(STRANGER.jwk).decode(), 0)),
    "alg twice": (INVALID, twice("alg", '"none"', 0)),
    "claims that are a list": (
        INVALID,
        claims_as(lambda _: b"[]"),
    ),
    "claims that are no JSON": (
        INVALID,
        claims_as(lambda _: b"{"),
    ),
    "claims nested deeply": (
        INVALID,
        claims_as(lambda _: b"[" * 2_000),
    ),
    "claims in UTF-16": (
        INVALID,
        claims_as(lambda text: text.decode().encode("utf-16")),
    ),
    "content_digest as a list": (INVALID, claims(content_digest=["sha-256=:AA==:"])),
}


@pytest.fixture(scope="module")
def bound(guard: GuardProcess) -> BoundKey:
    return new_bound_key(guard)


@pytest.mark.req("K-9")
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_proof_opens_nothing(
    guard: GuardProcess, standin: StandinProcess, bound: BoundKey, name: str
) -> None:
    said, spoil = WRONG[name]
    entrance = DIALECTS[list(WRONG).index(name) % len(DIALECTS)]
    call = right_call(guard, bound, entrance)
    spoil(call)
    with refused_for_nothing(guard, standin, bound):
        answer = call.send(guard)
    assert_said(guard, answer, call, said)
    assert answer.headers["dpop-nonce"], "an honest caller can go on from here"


@pytest.mark.parametrize("written", ["%3A", "%3a", "%253A"])
def test_a_colon_that_was_encoded_is_another_address(
    guard: GuardProcess, standin: StandinProcess, bound: BoundKey, written: str
) -> None:
    call = right_call(guard, bound, GENERATE)
    call.claims["htu"] = guard.base_url + GENERATE.path.replace(":", written)
    with refused_for_nothing(guard, standin, bound):
        answer = call.send(guard)
    assert_said(guard, answer, call, INVALID)


def test_a_proof_made_for_the_attackers_host_is_refused_also_where_the_request_names_it(
    guard: GuardProcess, standin: StandinProcess, bound: BoundKey
) -> None:
    """A relay at another name passes everything on as it got it."""
    call = right_call(guard, bound, CHAT, base_url="http://relay.example")
    call.more = [("host", "relay.example"), ("x-forwarded-host", "relay.example")]
    with refused_for_nothing(guard, standin, bound):
        answer = call.send(guard)
    assert_said(guard, answer, call, INVALID)


def test_another_tenant_cannot_use_the_key_with_a_proof_of_its_own(
    guard: GuardProcess, standin: StandinProcess, bound: BoundKey
) -> None:
    tenant = new_bound_key(guard)
    call = right_call(guard, bound, CHAT)
    call.header, call.sign = tenant.holder.header(), tenant.holder.sign
    with refused_for_nothing(guard, standin, bound):
        answer = call.send(guard)
    assert_said(guard, answer, call, OTHER)


def test_a_proof_for_one_key_opens_no_other_key_of_the_same_holder(
    guard: GuardProcess, standin: StandinProcess, bound: BoundKey
) -> None:
    wishes = {"bind": "dpop", "thumbprint": bound.holder.thumbprint, "caps": ["5.00/day"]}
    second = new_key(guard, **wishes)
    call = right_call(guard, bound, CHAT)
    call.authorization = [("authorization", f"DPoP {second.text}")]
    with refused_for_nothing(guard, standin, bound):
        answer = call.send(guard)
    assert_said(guard, answer, call, INVALID)


def test_the_dpop_scheme_with_a_key_that_is_bound_to_nobody_is_refused(
    guard: GuardProcess, standin: StandinProcess, bound: BoundKey
) -> None:
    plain = new_key(guard, caps=["5.00/day"])
    unbound = BoundKey(key=plain, holder=bound.holder, bind="none")
    call = right_call(guard, unbound, CHAT, nonce="none of this guard")
    with refused_for_nothing(guard, standin, unbound):
        answer = call.send(guard)
    assert_said(guard, answer, call, UNBOUND)


def test_a_key_without_a_holder_yet_opens_nothing(
    guard: GuardProcess, standin: StandinProcess, bound: BoundKey
) -> None:
    offered = new_key(guard, bind="dpop", caps=["5.00/day"])
    waiting = BoundKey(key=offered, holder=bound.holder, bind="dpop")
    call = right_call(guard, waiting, CHAT)
    with refused_for_nothing(guard, standin, waiting):
        answer = call.send(guard)
    assert_said(guard, answer, call, Said(code="proof:missing", error="invalid_token"))


@pytest.mark.parametrize("name", ["key", "api_key", "access_token"])
def test_a_key_in_the_query_string_opens_nothing_even_with_a_right_proof(
    guard: GuardProcess, standin: StandinProcess, bound: BoundKey, name: str
) -> None:
    call = right_call(guard, bound, CHAT)
    call.target += f"?{name}={bound.key.text}"
    call.authorization = []
    with refused_for_nothing(guard, standin, bound):
        answer = call.send(guard)
    assert_refused(answer, CHAT, "key:in_query", 401)
    assert record_of(guard, answer)["refusal"] == "key:in_query"


def test_two_different_keys_in_one_request_open_nothing(
    guard: GuardProcess, standin: StandinProcess, bound: BoundKey
) -> None:
    call = right_call(guard, bound, CHAT)
    call.more = [("x-api-key", new_key(guard, caps=["5.00/day"]).text)]
    with refused_for_nothing(guard, standin, bound):
        answer = call.send(guard)
    assert_refused(answer, CHAT, "key:invalid", 401)


def test_a_stranger_learns_nothing_from_a_proof(
    guard: GuardProcess, standin: StandinProcess, bound: BoundKey
) -> None:
    """Whoever guesses a key's id is told the same with a proof as without, and gets no nonce."""
    call = right_call(guard, bound, CHAT)
    wrong = bound.key.text[:-8] + "00000000"
    call.authorization = [("authorization", f"DPoP {wrong}")]
    with refused_for_nothing(guard, standin, bound):
        answer = call.send(guard)
    assert_refused(answer, CHAT, "key:invalid", 401)
    assert "dpop-nonce" not in answer.headers
