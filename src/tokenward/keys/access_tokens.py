"""Is this an access token of ours, and may it be used now? JWTs for a key (RFC 9068).

A good signature says that we made it, minutes ago. Whether the key, the secret it was got with,
its family and the token itself are still good is asked again at each use (R1-R4).
"""

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tokenward.kernel import jws
from tokenward.kernel.json_text import JsonObject, JsonValue
from tokenward.kernel.jwk import PublicKeys, public_jwk, sign, thumbprint_of
from tokenward.kernel.refusals import Refusal
from tokenward.keys.authenticate import usable
from tokenward.keys.records import KeyRecord
from tokenward.keys.scopes import Scope, read_scope

TYPE: Final = "at+jwt"
ALGORITHM: Final = "ES256"
TOKEN_BYTES_MAX: Final = 4096
CACHED_MAX: Final = 10_000
AHEAD_MS_MAX: Final = 60_000
"""How far another gateway's clock may be ahead."""
_DOTS: Final = 2
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_LABEL: Final = b"tokenward access tokens, ES256"
CONFIRMED_BY: Final = {"dpop": "jkt", "mtls": "x5t#S256"}
"""The member of `cnf` that names the holder (RFC 9449 section 6.1, RFC 8705 section 3.1)."""
_CHALLENGE: Final = (
    'DPoP error="invalid_token", error_description="the access token is not good (any more)", '
    'algs="ES256 Ed25519 EdDSA"'
)

Kind = Literal["dpop", "mtls"]
HOLDER: Final = "holder"
"""`got_by` of a token whose client proved itself with the private key its key is bound to."""


def _stranger(code: str) -> Refusal:
    return Refusal(
        code,
        401,
        "The access token is not one of this guard that is good now, so nothing was sent to a "
        "provider. Get a new one: POST /oauth/token.",
        public_code="key:invalid",
        challenge=_CHALLENGE,
    )


INVALID: Final = _stranger("token:invalid")
EXPIRED: Final = _stranger("token:expired")
REVOKED: Final = _stranger("token:revoked")


class AccessToken(msgspec.Struct, frozen=True, kw_only=True):
    """What a token says. Times are Unix ms, whole seconds.

    `kind` and `thumbprint` name the holder (`cnf`). `got_by` says what it was got with: the mark
    of a key's secret, `HOLDER`, or `workload:` and the rule's name. `family` is that of the
    refresh token beside it, `parent` the `jti` of the token it was exchanged for, each "" if none.
    """

    key_id: str
    jti: str
    kind: Kind
    thumbprint: str
    got_by: str
    scope: Scope
    issued_ms: int
    expires_ms: int
    family: str = ""
    parent: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """By which it can be revoked, and its running calls cut."""
        names = [token_name(self.jti)]
        if self.family:
            names.append(family_name(self.family))
        if self.parent:
            names.append(token_name(self.parent))
        return tuple(names)


def token_name(jti: str) -> str:
    """The name of one access token among what is revoked."""
    return f"token:{jti}"


def family_name(family_id: str) -> str:
    """The name of all access tokens of a family."""
    return f"family:{family_id}"


def is_token(presented: str) -> bool:
    """Whether a credential looks like an access token; keys have no dots."""
    return presented.count(".") == _DOTS


def secret_mark(digest: bytes) -> str:
    """Names the secret with this digest inside tokens; says nothing of it."""
    marked = hashlib.sha256(b"tokenward secret" + digest).digest()
    return "secret:" + urlsafe_b64encode(marked[:12]).decode("ascii")


def signing_key(master: bytes) -> ec.EllipticCurvePrivateKey:
    """The key that signs tokens, the same wherever the same master secret is: nothing else has to
    be kept or carried to another gateway. 48 bytes for 32, so that no value is likelier than
    another (FIPS 186-5 A.2.1)."""
    drawn = HKDF(SHA256(), length=48, salt=None, info=_LABEL).derive(master)
    return ec.derive_private_key(int.from_bytes(drawn) % (_ORDER - 1) + 1, ec.SECP256R1())


class AccessTokens:
    """Makes tokens, and knows its own again. Bounded memory: the last `CACHED_MAX` good ones."""

    def __init__(
        self,
        signing: ec.EllipticCurvePrivateKey,
        others: Sequence[ec.EllipticCurvePrivateKey],
        issuer: Callable[[], str],
    ) -> None:
        """`others` still verify: the keys before a change of the master secret."""
        self._signing = signing
        self._issuer = issuer
        self._published = [public_jwk(key) for key in (signing, *others)]
        keys = PublicKeys()
        self._verifying = {thumbprint_of(jwk): keys.read(jwk) for jwk in self._published}
        self.kid = thumbprint_of(self._published[0])
        self._cached: OrderedDict[bytes, AccessToken] = OrderedDict()

    @property
    def issuer(self) -> str:
        """Who signs, and for whom: the guard is both (RFC 9068 section 3)."""
        return self._issuer()

    def jwks(self) -> JsonObject:
        """The public keys (RFC 7517)."""
        return {
            "keys": [
                {**jwk, "kid": thumbprint_of(jwk), "alg": ALGORITHM, "use": "sig"}
                for jwk in self._published
            ]
        }

    def mint(self, token: AccessToken) -> str:
        """The token's text."""
        claims: JsonObject = {
            "iss": self.issuer,
            "aud": self.issuer,
            "sub": token.key_id,
            "client_id": token.key_id,
            "jti": token.jti,
            "iat": token.issued_ms // 1000,
            "exp": token.expires_ms // 1000,
            "cnf": {CONFIRMED_BY[token.kind]: token.thumbprint},
            "tw_by": token.got_by,
        }
        optional = {
            "scope": token.scope.text,
            "tw_family": token.family,
            "tw_parent": token.parent,
        }
        claims.update({name: value for name, value in optional.items() if value})
        header: JsonObject = {"typ": TYPE, "alg": ALGORITHM, "kid": self.kid}
        return jws.write_compact(header, claims, lambda signed: sign(self._signing, signed))

    def read(self, text: str) -> AccessToken | None:
        """The token, if this guard signed it, whenever that was. One verification for each text,
        while it is remembered."""
        name = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        known = self._cached.get(name)
        if known is not None:
            self._cached.move_to_end(name)
            return known
        try:
            token = self._verified(text)
        except ValueError:
            return None
        self._cached[name] = token
        if len(self._cached) > CACHED_MAX:
            self._cached.popitem(last=False)
        return token

    def _verified(self, text: str) -> AccessToken:
        """ValueError for a token that is not ours."""
        compact = jws.read_compact(text.encode("ascii"), TOKEN_BYTES_MAX)
        header, claims = compact.header, compact.claims
        if header.get("typ") != TYPE or header.get("alg") != ALGORITHM or "crit" in header:
            raise ValueError("another kind of token")
        kid = header.get("kid")
        key = self._verifying.get(kid) if isinstance(kid, str) else None
        if key is None or not key.verify(compact.signed, compact.signature):
            raise ValueError("not signed by this guard")
        if claims.get("iss") != self.issuer or claims.get("aud") != self.issuer:
            raise ValueError("of another guard, or for another one")
        kind, thumbprint = _holder(claims.get("cnf"))
        return AccessToken(
            key_id=_text(claims, "sub"),
            jti=_text(claims, "jti"),
            kind=kind,
            thumbprint=thumbprint,
            got_by=_text(claims, "tw_by"),
            scope=read_scope(_text(claims, "scope", "")),
            issued_ms=_moment_ms(claims, "iat"),
            expires_ms=_moment_ms(claims, "exp"),
            family=_text(claims, "tw_family", ""),
            parent=_text(claims, "tw_parent", ""),
        )


def authenticate_token(
    token: AccessToken, record: KeyRecord | None, now_ms: int
) -> KeyRecord | Refusal:
    """May this token be used now, as far as its key says? `record` is that key's, as it is now."""
    if now_ms >= token.expires_ms:
        return EXPIRED
    if token.issued_ms > now_ms + AHEAD_MS_MAX or record is None:
        return INVALID
    if not is_still_good(token.got_by, token.kind, token.thumbprint, record, now_ms):
        return REVOKED
    state = usable(record, now_ms)
    if isinstance(state, Refusal) and state.status == 401:
        return replace(state, challenge=_CHALLENGE)
    return state


def is_still_good(got_by: str, kind: Kind, thumbprint: str, record: KeyRecord, now_ms: int) -> bool:
    """Whether what a token was got with still opens its key: a secret that was rotated away takes
    its tokens along, and so does a holder who was replaced."""
    if got_by.startswith("workload:"):
        return True
    if got_by != HOLDER:
        living = [old.digest for old in record.old_secrets if now_ms < old.until_ms]
        if got_by not in [secret_mark(digest) for digest in (record.digest, *living)]:
            return False
    elif record.caveats.bind == "none":
        return False
    return fits_holder(record, kind, thumbprint)


def fits_holder(record: KeyRecord, kind: Kind, thumbprint: str) -> bool:
    """Whether a token for this holder may be given on this key: any, if it is bound to nobody."""
    if record.caveats.bind == "none":
        return True
    is_same = hmac.compare_digest(record.holder.encode(), thumbprint.encode())
    return bool(record.holder) and fits_kind(record, kind) and is_same


def fits_kind(record: KeyRecord, kind: Kind) -> bool:
    """Whether a holder of this kind can be one of the key's, whoever it is."""
    bind = record.caveats.bind
    return bind == "none" or (bind == "mtls") == (kind == "mtls")


def binding_of(token: AccessToken, record: KeyRecord) -> str:
    """What a call with this token must show: one of `records.BINDINGS`."""
    covers_body = token.kind == "dpop" and record.caveats.bind == "dpop+body"
    return "dpop+body" if covers_body else token.kind


def _holder(cnf: JsonValue) -> tuple[Kind, str]:
    if isinstance(cnf, dict) and len(cnf) == 1:
        jkt, certificate = cnf.get("jkt"), cnf.get("x5t#S256")
        if isinstance(jkt, str) and jkt:
            return "dpop", jkt
        if isinstance(certificate, str) and certificate:
            return "mtls", certificate
    raise ValueError("bound to nobody")


def _text(claims: JsonObject, name: str, absent: str | None = None) -> str:
    value = claims.get(name, absent)
    if not isinstance(value, str):
        raise ValueError(f"{name} is missing")
    return value


def _moment_ms(claims: JsonObject, name: str) -> int:
    value = claims.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{name} is missing")
    return value * 1000
