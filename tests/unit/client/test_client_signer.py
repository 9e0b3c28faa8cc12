"""Proofs as other people's code reads them, and as RFC 9449 writes them."""

import hashlib
from base64 import b64encode
from itertools import count

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from tokenward.client.signer import Signer, content_digest_of
from tokenward.kernel import jwk
from unit.client.holders import KEY, NOW_S, verified

# RFC 9449: the key of the proofs in section 4.1, its thumbprint in section 6.1, section 7.1's token
RFC_JWK = {
    "kty": "EC",
    "crv": "P-256",
    "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
    "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
}
RFC_THUMBPRINT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
RFC_TOKEN = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
RFC_ATH = "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"
URL = "https://guard.test/v1/chat/completions"


def signer(private_key: jwk.PrivateKey | None = None, *, binds_body: bool = False) -> Signer:
    numbers = count(1)
    return Signer(
        private_key or ec.generate_private_key(ec.SECP256R1()),
        binds_body=binds_body,
        now_s=lambda: NOW_S + 0.7,
        draw_id=lambda: f"jti-{next(numbers)}",
    )


def test_a_proof_says_what_rfc_9449_asks_and_nothing_more() -> None:
    made = signer()
    seen = verified(made.proof("POST", URL + "?x=1", credential=KEY, nonce="n-1"))
    assert seen.header.keys() == {"typ", "alg", "jwk"}
    assert (seen.header["typ"], seen.header["alg"]) == ("dpop+jwt", "ES256")
    assert seen.header["jwk"].keys() == {"kty", "crv", "x", "y"}
    ath = seen.claims.pop("ath")
    assert seen.claims == {
        "jti": "jti-1",
        "htm": "POST",
        "htu": URL,
        "iat": int(NOW_S),
        "nonce": "n-1",
    }
    assert len(ath) == 43
    assert made.thumbprint == seen.thumbprint


def test_what_is_not_there_is_not_claimed() -> None:
    assert verified(signer().proof("GET", URL)).claims.keys() == {"jti", "htm", "htu", "iat"}


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
def test_an_ed25519_key_signs_too() -> None:
    made = signer(ed25519.Ed25519PrivateKey.generate())
    seen = verified(made.proof("GET", URL))
    assert seen.header["alg"] == "EdDSA"
    assert made.thumbprint == seen.thumbprint


def test_the_access_token_hash_is_the_one_of_the_rfc() -> None:
    assert verified(signer().proof("GET", URL, credential=RFC_TOKEN)).claims["ath"] == RFC_ATH


def test_the_thumbprint_of_the_rfcs_key_is_the_rfcs() -> None:
    assert jwk.thumbprint_of({**RFC_JWK}) == RFC_THUMBPRINT


def test_two_proofs_of_one_request_are_two() -> None:
    made = signer()
    first, second = (verified(made.proof("GET", URL)) for _ in range(2))
    assert first.claims["jti"] != second.claims["jti"]


@pytest.mark.parametrize("body", [b"", b'{"hello": "world"}\n', bytes(range(256)) * 1000])
def test_a_bound_body_is_named_in_the_header_and_in_the_proof(body: bytes) -> None:
    sent = signer(binds_body=True).headers("POST", URL, credential=KEY, body=body)
    assert sent.keys() == {"authorization", "dpop", "content-digest"}
    assert sent["authorization"] == f"DPoP {KEY}"
    digest = f"sha-256=:{b64encode(hashlib.sha256(body).digest()).decode()}:"
    assert sent["content-digest"] == verified(sent["dpop"]).claims["content_digest"] == digest


def test_the_digest_is_the_one_of_rfc_9530() -> None:
    rfc = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"  # appendix D, with its newline
    assert content_digest_of(b'{"hello": "world"}\n') == rfc


def test_a_body_that_is_not_bound_is_not_looked_at() -> None:
    sent = signer().headers("POST", URL, credential=KEY, nonce="n", body=b"secret")
    assert sent.keys() == {"authorization", "dpop"}
    assert "content_digest" not in verified(sent["dpop"]).claims


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP256K1()])
def test_another_curve_is_refused(curve: ec.EllipticCurve) -> None:
    with pytest.raises(ValueError, match="P-256 or an Ed25519"):
        signer(ec.generate_private_key(curve))


def test_a_signer_does_not_show_its_key() -> None:
    assert not hasattr(signer(), "__dict__")
    assert "PRIVATE" not in repr(signer())
