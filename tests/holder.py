"""Whoever holds a private key, in tests: right proofs, and what wrong ones are made of.

Written on `json`, `base64` and `cryptography` alone, so that our verifier never judges what our own
code signed; joserfc, which nobody here wrote, makes and reads the same proofs as an oracle.
"""

import hashlib
import json
import time
import uuid
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from joserfc import jwk as oracle_jwk
from joserfc import jwt as oracle_jwt

ALGORITHMS = ("ES256", "Ed25519")


def b64(data: bytes) -> str:
    """base64url without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def ath_of(credential: str) -> str:
    """RFC 9449 section 4.2."""
    return b64(hashlib.sha256(credential.encode()).digest())


def digest_of(body: bytes, algorithm: str = "sha-256") -> str:
    """The value of Content-Digest (RFC 9530)."""
    digest = hashlib.new(algorithm.replace("-", ""), body).digest()
    return f"{algorithm}=:{b64encode(digest).decode('ascii')}:"


def dumped(value: Any) -> bytes:
    """A part of a token before it is encoded."""
    return json.dumps(value, separators=(",", ":")).encode()


class Holder:
    """A private key; `algorithm` is the name that stands in its proofs."""

    def __init__(self, algorithm: str = "ES256") -> None:
        self.algorithm = algorithm
        self.key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
        if algorithm == "ES256":
            self.key = ec.generate_private_key(ec.SECP256R1())
            numbers = self.key.private_numbers()
            public = numbers.public_numbers
            x, y = (b64(number.to_bytes(32)) for number in (public.x, public.y))
            self.jwk: dict[str, Any] = {"kty": "EC", "crv": "P-256", "x": x, "y": y}
            self.d = b64(numbers.private_value.to_bytes(32))
        else:
            self.key = ed25519.Ed25519PrivateKey.generate()
            x = b64(self.key.public_key().public_bytes_raw())
            self.jwk = {"kty": "OKP", "crv": "Ed25519", "x": x}
            self.d = b64(self.key.private_bytes_raw())

    @property
    def thumbprint(self) -> str:
        """RFC 7638, by hand: the required members, sorted, without spaces."""
        canonical = json.dumps(self.jwk, separators=(",", ":"), sort_keys=True)
        return b64(hashlib.sha256(canonical.encode()).digest())

    def sign(self, signed: bytes) -> bytes:
        """The raw signature that a JWS carries."""
        if isinstance(self.key, ed25519.Ed25519PrivateKey):
            return self.key.sign(signed)
        r, s = decode_dss_signature(self.sign_der(signed))
        return r.to_bytes(32) + s.to_bytes(32)

    def sign_der(self, signed: bytes) -> bytes:
        """The signature as X.509 writes it, which no JWS may carry."""
        assert isinstance(self.key, ec.EllipticCurvePrivateKey)
        return self.key.sign(signed, ec.ECDSA(hashes.SHA256()))

    def header(self) -> dict[str, Any]:
        """Of a right proof."""
        return {"typ": "dpop+jwt", "alg": self.algorithm, "jwk": dict(self.jwk)}

    def proof(self, claims: dict[str, Any]) -> str:
        """A right token with these claims."""
        signed = f"{b64(dumped(self.header()))}.{b64(dumped(claims))}"
        return f"{signed}.{b64(self.sign(signed.encode()))}"

    def oracle_key(self) -> oracle_jwk.ECKey | oracle_jwk.OKPKey:
        """The private key as joserfc has it."""
        jwk = {**self.jwk, "d": self.d}
        if self.jwk["kty"] == "EC":
            return oracle_jwk.ECKey.import_key(jwk)
        return oracle_jwk.OKPKey.import_key(jwk)

    def proof_by_oracle(self, claims: dict[str, Any]) -> str:
        """The same token, made by joserfc."""
        names = [self.algorithm]
        return oracle_jwt.encode(self.header(), claims, self.oracle_key(), algorithms=names)


def claims_for(
    method: str, url: str, *, credential: str = "", nonce: str = "", body: bytes | None = None
) -> dict[str, Any]:
    """What a right proof says now of a request; with `body` it covers that too."""
    claims: dict[str, Any] = {
        "jti": uuid.uuid4().hex,
        "htm": method,
        "htu": url,
        "iat": int(time.time()),
    }
    if credential:
        claims["ath"] = ath_of(credential)
    if nonce:
        claims["nonce"] = nonce
    if body is not None:
        claims["content_digest"] = digest_of(body)
    return claims


def is_good_to_oracle(proof: str) -> bool:
    """Whether joserfc verifies the token with the key inside it."""
    part = proof.partition(".")[0]
    header = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    kind = oracle_jwk.ECKey if header["jwk"]["kty"] == "EC" else oracle_jwk.OKPKey
    try:
        oracle_jwt.decode(proof, kind.import_key(header["jwk"]), algorithms=[header["alg"]])
    except Exception:
        return False
    return True
