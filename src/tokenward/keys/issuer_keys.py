"""Another issuer's public keys: its JWK set (RFC 7517), read strictly; RSA and EC signatures.

Only what names the public key is taken out of each member of the set, so that nothing else that
stands there can change what the library makes of it.
"""

from dataclasses import dataclass
from typing import Final

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey
from joserfc.jws import JWSRegistry

from tokenward.kernel import jws
from tokenward.kernel.json_text import JsonObject, parse_object
from tokenward.kernel.jwk import PRIVATE_MEMBERS

KEYS_MAX: Final = 100
KID_CHARS_MAX: Final = 1_024
RSA_BITS: Final = range(2_048, 8_193)
_MEMBERS: Final = {"RSA": ("n", "e"), "EC": ("crv", "x", "y")}
_CURVES: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
_RSA: Final = tuple(name + size for name in ("RS", "PS") for size in ("256", "384", "512"))
_USES: Final = (None, "sig", "jwt-svid")


@dataclass(frozen=True, slots=True)
class IssuerKey:
    """A key that can verify. `algorithms` are those that it may be used with."""

    key: RSAKey | ECKey
    algorithms: tuple[str, ...]

    def verify(self, algorithm: str, signed: bytes, signature: bytes) -> bool:
        """Whether the signature is this key's, by an algorithm that is this key's."""
        if algorithm not in self.algorithms:
            return False
        return JWSRegistry.algorithms[algorithm].verify(signed, signature, self.key)


def read_key_set(body: bytes) -> dict[str, IssuerKey]:
    """The keys by `kid`; those of other kinds and uses, and too small ones, are left out.

    ValueError says why the set cannot be used: it is none, has a private key in it (whoever read
    it can sign), or two keys of one name.
    """
    listed = parse_object(body).get("keys")
    if not isinstance(listed, list) or len(listed) > KEYS_MAX:
        raise ValueError(f"it has no list of at most {KEYS_MAX} keys")
    keys: dict[str, IssuerKey] = {}
    for jwk in listed:
        if not isinstance(jwk, dict):
            raise ValueError("one of its keys is no object")
        if not PRIVATE_MEMBERS.isdisjoint(jwk):
            raise ValueError("there is a private key in it, which is leaked now")
        kid = jwk.get("kid")
        key = _read_key(jwk)
        if key is None or not isinstance(kid, str) or not 0 < len(kid) <= KID_CHARS_MAX:
            continue
        if kid in keys:
            raise ValueError(f"two of its keys are named {ascii(kid)[:80]}")
        keys[kid] = key
    if not keys:
        raise ValueError("it has no key with a kid that can verify a signature")
    return keys


def _read_key(jwk: JsonObject) -> IssuerKey | None:
    operations = jwk.get("key_ops")
    if jwk.get("use") not in _USES or not (operations is None or operations == ["verify"]):
        return None
    kind = jwk.get("kty")
    if not isinstance(kind, str) or kind not in _MEMBERS:
        return None
    members = {name: jwk.get(name) for name in _MEMBERS[kind]}
    if not all(isinstance(value, str) and value.isascii() for value in members.values()):
        return None
    try:
        key, algorithms = _import(kind, {name: str(value) for name, value in members.items()})
    except (ValueError, JoseError):  # the library raises both for numbers that are no key
        return None
    meant = jwk.get("alg")
    return IssuerKey(key, tuple(name for name in algorithms if meant in (None, name)))


def _import(kind: str, members: dict[str, str]) -> tuple[RSAKey | ECKey, tuple[str, ...]]:
    if kind == "EC":
        algorithm = _CURVES.get(members["crv"])
        if algorithm is None:
            raise ValueError("a curve that is not taken")
        return ECKey.import_key({"kty": "EC", **members}), (algorithm,)
    bits = int.from_bytes(jws.decode(members["n"].encode("ascii"))).bit_length()
    if bits not in RSA_BITS:
        raise ValueError("an RSA key of a size that is not taken")
    return RSAKey.import_key({"kty": "RSA", **members}), _RSA
