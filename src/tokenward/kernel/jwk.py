"""Whose signature is it? Public keys as JWK (RFC 7517, 8037), their thumbprints (RFC 7638).

One algorithm a key: ES256 for P-256, EdDSA for Ed25519 (which RFC 9864 also calls `Ed25519`).
"""

import hashlib
from collections import OrderedDict
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256

from tokenward.kernel import jws
from tokenward.kernel.json_text import JsonObject

PRIVATE_MEMBERS: Final = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth", "k"))
KEYS_MAX: Final = 10_000
_POINT_BYTES: Final = 32
_ES256: Final = ec.ECDSA(SHA256())
_ED25519_PRIME: Final = 2**255 - 19
_ORDER_8: Final = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER: Final = frozenset((0, 1, _ED25519_PRIME - 1, _ORDER_8, _ED25519_PRIME - _ORDER_8))
"""The y of every point whose order divides 8."""

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


class PublicKey:
    """A key that can verify, and nothing else. `algorithms` are its names in a JWS header."""

    __slots__ = ("_key", "algorithms", "thumbprint")

    def __init__(
        self, key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey, thumbprint: str
    ) -> None:
        self._key = key
        self.thumbprint = thumbprint
        self.algorithms = (
            ("ES256",) if isinstance(key, ec.EllipticCurvePublicKey) else ("EdDSA", "Ed25519")
        )

    def verify(self, signed: bytes, signature: bytes) -> bool:
        """Whether the raw signature (RFC 7518 section 3.4, RFC 8032) is this key's."""
        if len(signature) != 2 * _POINT_BYTES:
            return False
        try:
            if isinstance(self._key, ec.EllipticCurvePublicKey):
                r, s = signature[:_POINT_BYTES], signature[_POINT_BYTES:]
                encoded = encode_dss_signature(int.from_bytes(r), int.from_bytes(s))
                self._key.verify(encoded, signed, _ES256)
            else:
                self._key.verify(signature, signed)
        except InvalidSignature:
            return False
        return True


class PublicKeys:
    """Keys that were read before: reading one costs a fifth of a verification. Bounded."""

    def __init__(self, keys_max: int = KEYS_MAX) -> None:
        self._keys: OrderedDict[str, PublicKey] = OrderedDict()
        self._keys_max = keys_max

    def __len__(self) -> int:
        return len(self._keys)

    def read(self, jwk: JsonObject) -> PublicKey:
        """The public key in `jwk`; ValueError says why it is none that is taken here.

        A private or symmetric key is refused before anything is made of it.
        """
        if not PRIVATE_MEMBERS.isdisjoint(jwk):
            raise ValueError("the jwk holds a private key, which is leaked now; make a new one")
        thumbprint = thumbprint_of(jwk)
        key = self._keys.get(thumbprint)
        if key is not None:
            self._keys.move_to_end(thumbprint)
            return key
        key = PublicKey(_load(jwk), thumbprint)
        self._keys[thumbprint] = key
        if len(self._keys) > self._keys_max:
            self._keys.popitem(last=False)
        return key


def thumbprint_of(jwk: JsonObject) -> str:
    """RFC 7638 with SHA-256, base64url; ValueError for a kind of key that is not taken."""
    kind, curve, x, y = jwk.get("kty"), jwk.get("crv"), jwk.get("x"), jwk.get("y")
    if kind == "EC" and curve == "P-256" and isinstance(x, str) and isinstance(y, str):
        members: dict[str, str] = {"crv": "P-256", "kty": "EC", "x": x, "y": y}
    elif kind == "OKP" and curve == "Ed25519" and isinstance(x, str):
        members = {"crv": "Ed25519", "kty": "OKP", "x": x}
    else:
        raise ValueError("the jwk is neither a P-256 nor an Ed25519 key")
    canonical = msgspec.json.encode(members, order="sorted")
    return jws.encode(hashlib.sha256(canonical).digest()).decode("ascii")


def public_jwk(key: PrivateKey) -> JsonObject:
    """The public half, as it may be shown."""
    public = key.public_key()
    if isinstance(public, ed25519.Ed25519PublicKey):
        return {"kty": "OKP", "crv": "Ed25519", "x": _text(public.public_bytes_raw())}
    numbers = public.public_numbers()
    return {
        "kty": "EC",
        "crv": "P-256",
        "x": _text(numbers.x.to_bytes(_POINT_BYTES)),
        "y": _text(numbers.y.to_bytes(_POINT_BYTES)),
    }


def sign(key: PrivateKey, signed: bytes) -> bytes:
    """The raw signature that `PublicKey.verify` takes."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(signed)
    r, s = decode_dss_signature(key.sign(signed, _ES256))
    return r.to_bytes(_POINT_BYTES) + s.to_bytes(_POINT_BYTES)


def _load(jwk: JsonObject) -> ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey:
    x = _coordinate(jwk["x"])
    if jwk["kty"] == "OKP":
        return _load_ed25519(x)
    y = _coordinate(jwk["y"])
    numbers = ec.EllipticCurvePublicNumbers(int.from_bytes(x), int.from_bytes(y), ec.SECP256R1())
    try:
        return numbers.public_key()
    except ValueError:
        raise ValueError("the jwk's point is not on its curve") from None


def _load_ed25519(point: bytes) -> ed25519.Ed25519PublicKey:
    """A point of small order is nobody's: one signature would be good for every text, or for one
    in a few, and the standard verification (RFC 8032 section 5.1.7) takes it."""
    y = int.from_bytes(point, "little") & (2**255 - 1)
    if y >= _ED25519_PRIME or y in _SMALL_ORDER:
        raise ValueError("the jwk's point is no key")
    return ed25519.Ed25519PublicKey.from_public_bytes(point)


def _coordinate(text: object) -> bytes:
    if not isinstance(text, str) or not text.isascii():
        raise ValueError("a coordinate of the jwk is not base64url")
    data = jws.decode(text.encode("ascii"))
    if len(data) != _POINT_BYTES:
        raise ValueError(f"a coordinate of the jwk is not {_POINT_BYTES} bytes long")
    return data


def _text(data: bytes) -> str:
    return jws.encode(data).decode("ascii")
