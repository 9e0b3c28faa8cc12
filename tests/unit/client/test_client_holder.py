"""A holder, kept as text and brought back."""

import pickle
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from tokenward.client.holder import (
    HOLDER_BYTES_MAX,
    Bind,
    draw_private_key,
    draw_proof_id,
    read_holder,
    write_holder,
)
from tokenward.kernel import jwk
from unit.client.holders import GUARD, KEY, KEY_ID, holder, verified


@pytest.mark.parametrize("bind", ["dpop", "dpop+body"])
@pytest.mark.parametrize("key", [draw_private_key(), ed25519.Ed25519PrivateKey.generate()])
def test_a_holder_comes_back_as_it_was_written(key: jwk.PrivateKey, bind: Bind) -> None:
    before = holder(bind=bind, private_key=key)
    text = write_holder(before)
    after = read_holder(text)
    assert len(text) < HOLDER_BYTES_MAX
    assert after.key.reveal() == KEY
    assert (after.guard_url, after.key_id, after.bind) == (GUARD, KEY_ID, bind)
    assert after.created_ms == before.created_ms
    assert after.binds_body is (bind == "dpop+body")
    assert after.signer().thumbprint == before.signer().thumbprint


def test_neither_secret_can_be_printed_or_pickled() -> None:
    shown = holder()
    for text in (repr(shown), str(shown), f"{shown}", repr(shown.signer())):
        assert KEY not in text
        assert "PRIVATE" not in text
    with pytest.raises(TypeError):
        pickle.dumps(shown)


def test_what_a_holder_signs_is_of_now_and_never_the_same() -> None:
    made = holder().signer(lambda: 7.9)
    seen = [verified(made.proof("GET", GUARD)) for _ in range(3)]
    assert {proof.claims["iat"] for proof in seen} == {7}
    assert len({proof.claims["jti"] for proof in seen}) == 3


def test_a_proof_id_has_128_random_bits() -> None:
    drawn = {draw_proof_id() for _ in range(1000)}
    assert len(drawn) == 1000
    assert {len(text) for text in drawn} == {22}


def pem(key: Any, word: bytes = b"") -> str:
    shut = BestAvailableEncryption(word) if word else NoEncryption()
    return str(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, shut).decode())


@pytest.mark.parametrize(
    "wrong",
    [
        {"version": 2},
        {"version": True},
        {"guard_url": "guard.test"},
        {"guard_url": 1},
        {"key": None},
        {"bind": "none"},
        {"bind": "mtls"},
        {"private_key": ""},
        {"private_key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"},
        {"private_key": pem(rsa.generate_private_key(65537, 2048))},
        {"private_key": pem(draw_private_key(), b"word")},
        {"private_key": pem(ec.generate_private_key(ec.SECP384R1()))},
        {"created_ms": "now"},
        {"more": 1},
    ],
)
def test_what_is_not_a_holder_is_refused_without_showing_it(wrong: dict[str, Any]) -> None:
    written = {**msgspec.json.decode(write_holder(holder())), **wrong}
    with pytest.raises(ValueError) as refused:
        read_holder(msgspec.json.encode(written))
    assert KEY not in str(refused.value)
    assert "PRIVATE" not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize("text", [b"", b"null", b"[]", b"{", b"\xff", b"{}"])
def test_what_is_not_even_json_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="not a holder"):
        read_holder(text)
