"""The published keys of another issuer: what is taken of a JWK set, and what it can verify."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from issuer import PrivateKey, jwk_of, number64, rsa_key, sign
from tokenward.keys.issuer_keys import KEYS_MAX, read_key_set

SIGNED = b"what was signed"
CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}


def key_set(*jwks: Any) -> bytes:
    return json.dumps({"keys": jwks}).encode()


def key_for(algorithm: str) -> PrivateKey:
    curve = CURVES.get(algorithm)
    return rsa_key() if curve is None else ec.generate_private_key(curve)


@pytest.mark.parametrize("size", ["256", "384", "512"])
@pytest.mark.parametrize("family", ["RS", "PS", "ES"])
def test_each_algorithm_verifies_its_own_signatures_and_no_others(family: str, size: str) -> None:
    algorithm = family + size
    key = key_for(algorithm)
    (read,) = read_key_set(key_set(jwk_of(key, "one"))).values()
    signature = sign(key, algorithm, SIGNED)
    assert read.verify(algorithm, SIGNED, signature)
    assert not read.verify(algorithm, SIGNED + b".", signature)
    assert not read.verify(algorithm, SIGNED, signature[:-1])
    assert not read.verify(algorithm, SIGNED, b"")
    flipped = bytes((signature[0] ^ 1, *signature[1:]))
    assert not read.verify(algorithm, SIGNED, flipped)
    others = {f + s for f in ("RS", "PS", "ES") for s in ("256", "384", "512")} - {algorithm}
    for other in sorted(others | {"none", "HS256", "EdDSA", "ES256K"}):
        assert not read.verify(other, SIGNED, signature)


def test_a_key_that_names_its_algorithm_is_good_for_that_alone() -> None:
    key = rsa_key()
    (read,) = read_key_set(key_set(jwk_of(key, "one", alg="RS256", use="sig"))).values()
    assert read.verify("RS256", SIGNED, sign(key, "RS256", SIGNED))
    assert not read.verify("PS256", SIGNED, sign(key, "PS256", SIGNED))


def test_keys_are_found_by_their_names() -> None:
    keys = read_key_set(key_set(jwk_of(rsa_key(), "one"), jwk_of(rsa_key(1), "two")))
    assert keys["two"].verify("RS256", SIGNED, sign(rsa_key(1), "RS256", SIGNED))
    assert not keys["one"].verify("RS256", SIGNED, sign(rsa_key(1), "RS256", SIGNED))


GOOD = jwk_of(rsa_key(), "good")
NUMBERS = rsa_key().public_key().public_numbers()


@pytest.mark.parametrize(
    "jwk",
    [
        jwk_of(rsa_key(0, 1024), "small"),
        {**GOOD, "kid": "huge", "n": number64(2**9000 + 1)},
        {**GOOD, "kid": "even", "e": number64(2)},
        {**GOOD, "kid": "one", "e": number64(1)},
        {**GOOD, "kid": "enc", "use": "enc"},
        {**GOOD, "kid": "ops", "key_ops": ["encrypt"]},
        {**GOOD, "kid": "ops", "key_ops": "verify"},
        {**GOOD, "kid": 7},
        {**GOOD, "kid": ""},
        {name: value for name, value in GOOD.items() if name != "kid"},
        {"kty": "RSA", "kid": "empty"},
        {"kty": "RSA", "kid": "list", "n": ["x"], "e": "AQAB"},
        {"kty": "RSA", "kid": "bad", "n": "!!!", "e": "AQAB"},
        {"kty": "RSA", "kid": "bad", "n": "ü", "e": "AQAB"},
        {"kty": "RSA", "kid": "bad", "n": GOOD["n"], "e": "!"},
        {"kty": "RSA", "kid": "bad", "n": GOOD["n"], "e": ""},
        {"kty": "EC", "kid": "off", "crv": "P-256", "x": number64(1, 32), "y": number64(1, 32)},
        {"kty": "EC", "kid": "k1", "crv": "secp256k1", "x": number64(1, 32), "y": "AQ"},
        {"kty": "EC", "kid": "no", "crv": "P-256", "x": "", "y": ""},
        {"kty": "OKP", "kid": "ed", "crv": "Ed25519", "x": number64(1, 32)},
        {"kty": "AKP", "kid": "new"},
        {"kty": ["RSA"], "kid": "odd"},
        {"kid": "none"},
        {},
    ],
    ids=lambda jwk: str(jwk.get("kid")),
)
def test_a_key_that_cannot_be_used_is_left_out_and_the_others_stay(jwk: dict[str, Any]) -> None:
    assert list(read_key_set(key_set(jwk, GOOD))) == ["good"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<!doctype html><title>Sign in</title>",
        b"{}",
        b"[]",
        b'{"keys":{}}',
        b'{"keys":[]}',
        b'{"keys":[7]}',
        b'{"keys":[],"keys":[]}',
        b"\xff\xfe",
        key_set(*(jwk_of(rsa_key(), str(number)) for number in range(KEYS_MAX + 1))),
        key_set(GOOD, {**GOOD, "n": number64(NUMBERS.n + 2)}),
        key_set(GOOD, {**GOOD, "kid": "leaked", "d": "AQAB"}),
        key_set(GOOD, {"kty": "oct", "kid": "hmac", "k": "c2VjcmV0"}),
        key_set(jwk_of(rsa_key(0, 1024), "small")),
    ],
    ids=lambda body: body[:20],
)
def test_a_set_that_cannot_be_used_is_a_fault_and_not_an_empty_one(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_key_set(body)


@given(st.dictionaries(st.sampled_from(["kty", "n", "e", "crv", "x", "y", "use", "alg", "key_ops"]),
                       st.sampled_from(["RSA", "EC", "AQAB", "P-256", "", "A", GOOD["n"]])
                       | st.integers() | st.lists(st.text(max_size=3), max_size=2)))  # fmt: skip
def test_no_member_of_a_set_breaks_its_reading(jwk: dict[str, Any]) -> None:
    assert "good" in read_key_set(key_set({**jwk, "kid": "odd"}, GOOD))
