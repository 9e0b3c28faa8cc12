"""Is it the client? A signed assertion instead of a secret (RFC 7523, draft-ietf-oauth-rfc7523bis).

Made for this guard alone: the audience is its issuer identifier and nothing else, or another
server that a client trusts could replay here what it was given (audience injection).
"""

from dataclasses import dataclass
from typing import Final

from tokenward.kernel import jws
from tokenward.kernel.json_text import JsonObject
from tokenward.kernel.jwk import PublicKey

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
BYTES_MAX: Final = 8192
JTI_CHARS_MAX: Final = 128
LIFETIME_MS_MAX: Final = 300_000
SKEW_MS: Final = 30_000
_TYPES: Final = (None, "jwt", "client-authentication+jwt")
_NOT_TAKEN: Final = ("crit", "jku", "x5u", "x5c")


@dataclass(frozen=True, slots=True)
class Assertion:
    """An assertion taken apart, not verified: `client_id` is who it says it is of."""

    client_id: str
    compact: jws.Compact

    @property
    def jwk(self) -> JsonObject | None:
        """The public key in its header, if it carries one."""
        jwk = self.compact.header.get("jwk")
        return jwk if isinstance(jwk, dict) else None


@dataclass(frozen=True, slots=True)
class Claimed:
    """A good assertion, to be used up once: its name in the replay store, until when."""

    replay_key: bytes
    until_ms: int


def read_assertion(text: str) -> Assertion:
    """Take it apart; ValueError says what it is not."""
    compact = jws.read_compact(text.encode("ascii", "replace"), BYTES_MAX)
    kind = compact.header.get("typ")
    if (kind.lower() if isinstance(kind, str) else kind) not in _TYPES:
        raise ValueError("its typ is another token's")
    if any(name in compact.header for name in _NOT_TAKEN):
        raise ValueError("its header names a key from elsewhere, or an extension")
    issuer, subject = compact.claims.get("iss"), compact.claims.get("sub")
    if not isinstance(issuer, str) or issuer != subject:
        raise ValueError("iss and sub are not the client's id")
    return Assertion(issuer, compact)


def check_assertion(
    assertion: Assertion, key: PublicKey, issuer: str, now_ms: int, since_ms: int
) -> Claimed:
    """What remains is to use it up; ValueError says what is wrong with it. `since_ms`: what was
    used before is forgotten, so assertions made before are not taken."""
    claims = assertion.compact.claims
    if assertion.compact.header.get("alg") not in key.algorithms:
        raise ValueError("its algorithm is not that of the enrolled key")
    if not key.verify(assertion.compact.signed, assertion.compact.signature):
        raise ValueError("it is not signed by the enrolled key")
    if claims.get("aud") != issuer:
        raise ValueError("aud must be this issuer's identifier, alone")
    made_ms = jws.numeric_date_ms(claims.get("iat"))
    expires_ms = jws.numeric_date_ms(claims.get("exp"))
    if expires_ms is None or not now_ms < expires_ms <= now_ms + LIFETIME_MS_MAX + SKEW_MS:
        raise ValueError("exp must be in the future, and at most 5 minutes away")
    starts_ms = jws.numeric_date_ms(claims["nbf"]) if "nbf" in claims else made_ms
    if made_ms is None or starts_ms is None or max(made_ms, starts_ms) > now_ms + SKEW_MS:
        raise ValueError("iat and nbf must be moments that have come")
    if made_ms - SKEW_MS < since_ms:
        raise ValueError("it is older than what this guard remembers; sign again")
    jti = claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= JTI_CHARS_MAX:
        raise ValueError(f"jti must be 1 to {JTI_CHARS_MAX} characters")
    parts = (b"assertion", assertion.client_id.encode(), jti.encode("utf-8", "surrogatepass"))
    return Claimed(jws.replay_key(*parts), expires_ms + SKEW_MS)
