from types import SimpleNamespace
from typing import Any

import cryptography.exceptions
import http_message_signatures
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from http_message_signatures import InvalidSignature
from joserfc.jwk import ECKey, OKPKey

from holder import ALGORITHMS, Holder, b64
from tokenward.kernel import jws
from tokenward.kernel.jwk import (
    PRIVATE_MEMBERS,
    PublicKey,
    PublicKeys,
    public_jwk,
    sign,
    thumbprint_of,
)

RFC8037 = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
RFC9449 = {
    "kty": "EC",
    "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
    "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
    "crv": "P-256",
}
P256 = Holder().jwk
ED = Holder("Ed25519").jwk


def test_thumbprints_are_those_of_the_standards_examples() -> None:
    assert thumbprint_of(RFC8037) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"  # RFC 8037 A.3
    assert thumbprint_of(RFC9449) == "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"  # RFC 9449 6.1


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_thumbprints_agree_with_another_library_whatever_else_the_jwk_says(algorithm: str) -> None:
    holder = Holder(algorithm)
    kind = ECKey if algorithm == "ES256" else OKPKey
    said = kind.import_key(holder.jwk).thumbprint()
    assert thumbprint_of(holder.jwk) == said == holder.thumbprint
    more = {"use": "sig", "kid": "1", "alg": "x", **dict(reversed(holder.jwk.items()))}
    assert thumbprint_of(more) == said
    assert PublicKeys().read(more).thumbprint == said
    assert public_jwk(holder.key) == holder.jwk


def test_the_signature_of_rfc_8037_a4_verifies() -> None:
    text = (
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-"
        "09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    )
    signed, _, signature = text.rpartition(".")
    key = PublicKeys().read(RFC8037)
    assert key.verify(signed.encode(), jws.decode(signature.encode()))
    assert not key.verify(b"x" + signed.encode(), jws.decode(signature.encode()))


class OurKey(http_message_signatures.HTTPSignatureAlgorithm):
    """Another library reads the headers and says what was signed; our key judges it."""

    algorithm_id = "ed25519"

    def __init__(self, public_key: PublicKey) -> None:
        self._key = public_key

    def verify(self, signature: bytes, message: bytes) -> None:
        if not self._key.verify(message, signature):
            raise InvalidSignature


class Resolver(http_message_signatures.HTTPSignatureKeyResolver):
    def resolve_public_key(self, key_id: str) -> PublicKey:
        assert key_id == "test-key-ed25519"
        return PublicKeys().read(
            {"kty": "OKP", "crv": "Ed25519", "x": "JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"}
        )


def test_the_message_signature_of_rfc_9421_b26_is_good_to_our_keys() -> None:
    covered = '("date" "@method" "@path" "@authority" "content-type" "content-length")'
    headers = {
        "host": "example.com",
        "date": "Tue, 20 Apr 2021 02:07:55 GMT",
        "content-type": "application/json",
        "content-length": "18",
        "signature-input": f'sig-b26={covered};created=1618884473;keyid="test-key-ed25519"',
        "signature": "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu"
        "4A0w6vuQv5lIp5WPpBKRCw==:",
    }
    message = SimpleNamespace(method="POST", url="https://example.com/foo?a=b", headers=headers)
    verifier = http_message_signatures.HTTPMessageVerifier(
        signature_algorithm=OurKey, key_resolver=Resolver()
    )
    (result,) = verifier.verify(message, max_age=None)
    assert '"@method"' in result.covered_components
    headers["date"] = "Tue, 20 Apr 2021 02:07:56 GMT"
    with pytest.raises(InvalidSignature):
        verifier.verify(message, max_age=None)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_only_the_raw_signature_of_the_very_text_is_good(algorithm: str) -> None:
    holder = Holder(algorithm)
    key = PublicKeys().read(holder.jwk)
    signature = sign(holder.key, b"text")
    assert key.verify(b"text", signature)
    assert key.verify(b"text", holder.sign(b"text"))
    assert not key.verify(b"texT", signature)
    assert not PublicKeys().read(Holder(algorithm).jwk).verify(b"text", signature)
    for wrong in (b"", signature[:-1], signature + b"\0", bytes(64), b"\xff" * 64):
        assert not key.verify(b"text", wrong)


def test_a_der_signature_is_none_and_a_high_s_is_one() -> None:
    """RFC 7518 section 3.4 has raw r and s only, and says nothing of a low s."""
    holder = Holder()
    key = PublicKeys().read(holder.jwk)
    assert not key.verify(b"text", holder.sign_der(b"text"))
    signature = holder.sign(b"text")
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    twin = signature[:32] + (order - int.from_bytes(signature[32:])).to_bytes(32)
    assert key.verify(b"text", twin)


def test_each_key_has_its_algorithm_and_no_other() -> None:
    assert PublicKeys().read(P256).algorithms == ("ES256",)
    assert PublicKeys().read(ED).algorithms == ("EdDSA", "Ed25519")


@pytest.mark.parametrize("name", sorted(PRIVATE_MEMBERS))
@pytest.mark.parametrize("jwk", [P256, ED, {"kty": "oct"}], ids=["EC", "OKP", "oct"])
def test_a_key_that_shows_something_private_is_refused(jwk: dict[str, Any], name: str) -> None:
    keys = PublicKeys()
    with pytest.raises(ValueError, match="private"):
        keys.read({**jwk, name: "AQAB"})
    assert len(keys) == 0


@pytest.mark.parametrize(
    "jwk",
    [
        {},
        {**P256, "kty": "ec"},
        {**P256, "kty": None},
        {**P256, "kty": "OKP"},
        {**P256, "crv": "P-384"},
        {**P256, "crv": "p-256"},
        {**P256, "crv": "secp256k1"},
        {**P256, "crv": ["P-256"]},
        {**P256, "x": None},
        {**P256, "x": 7},
        {**P256, "x": ""},
        {**P256, "x": P256["y"]},
        {**P256, "x": P256["x"] + "="},
        {**P256, "x": P256["x"][:-1]},
        {**P256, "x": b64(b"\0" * 33)},
        {**P256, "x": b64(b"\xff" * 32)},
        {**P256, "x": b64(bytes(32)), "y": b64(bytes(32))},
        {**P256, "x": "é" * 43},
        {**P256, "x": "\ud800" * 43},
        {name: value for name, value in P256.items() if name != "y"},
        {**ED, "crv": "Ed448"},
        {**ED, "crv": "X25519"},
        {**ED, "kty": "EC"},
        {**ED, "x": b64(bytes(31))},
        {**ED, "x": ED["x"] + "="},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        {"kty": "oct"},
    ],
)
def test_a_key_that_is_not_taken_is_a_plain_value_error_and_is_not_kept(
    jwk: dict[str, Any],
) -> None:
    keys = PublicKeys()
    for _ in range(2):
        with pytest.raises(ValueError):
            keys.read(jwk)
    assert len(keys) == 0


@pytest.mark.parametrize("sign", [0, 0x80])
@pytest.mark.parametrize(
    "point",
    [
        "01" + "00" * 31,
        "ec" + "ff" * 30 + "7f",
        "00" * 32,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
    ],
)
def test_an_ed25519_point_of_small_order_is_no_key(point: str, sign: int) -> None:
    """With such a key anybody signs: R = 1, S = 0 is good for one text in eight at least."""
    data = bytearray.fromhex(point)
    data[31] |= sign
    forged = b"\1" + bytes(63)
    library = ed25519.Ed25519PublicKey.from_public_bytes(bytes(data))
    assert any(is_good(library, forged, text) for text in range(200))
    with pytest.raises(ValueError, match="no key"):
        PublicKeys().read({"kty": "OKP", "crv": "Ed25519", "x": b64(bytes(data))})


def is_good(key: ed25519.Ed25519PublicKey, signature: bytes, text: int) -> bool:
    try:
        key.verify(signature, str(text).encode())
    except cryptography.exceptions.InvalidSignature:
        return False
    return True


def test_a_coordinate_that_starts_with_zeros_keeps_them() -> None:
    """RFC 7518 section 6.2.1.2: always 32 bytes. One key in 256 has such a coordinate."""
    for scalar in range(1, 2_000):
        key = ec.derive_private_key(scalar, ec.SECP256R1())
        if key.public_key().public_numbers().x >> 248 == 0:
            break
    jwk = public_jwk(key)
    assert len(jwk["x"]) == 43
    assert PublicKeys().read(jwk).verify(b"text", sign(key, b"text"))
    x = jws.decode(str(jwk["x"]).encode())
    for other in (x[1:], b"\0" + x):  # the same number, so the same key by two thumbprints
        with pytest.raises(ValueError, match="32 bytes"):
            PublicKeys().read({**jwk, "x": b64(other)})


def test_keys_seen_before_are_kept_up_to_a_limit_and_the_oldest_goes_first() -> None:
    keys = PublicKeys(3)
    jwks = [Holder("Ed25519").jwk for _ in range(5)]
    first = keys.read(jwks[0])
    for jwk in jwks[1:3]:
        keys.read(jwk)
    assert keys.read(dict(jwks[0])) is first  # and is the newest now
    keys.read(jwks[3])
    assert len(keys) == 3
    assert keys.read(jwks[0]) is first
    keys.read(jwks[4])
    keys.read(jwks[1])
    keys.read(jwks[2])
    assert keys.read(jwks[0]) is not first
    assert len(keys) == 3
