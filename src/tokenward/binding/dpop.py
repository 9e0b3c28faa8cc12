"""Demonstrating proof of possession (RFC 9449): the verifier's checks of section 4.3, in order.

A pure function of what was sent and of now. Whether the proof was used before is for the replay
store to say, and asked last, so that junk cannot fill it.
"""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

from tokenward.binding import wording
from tokenward.binding.addresses import PublicUrls
from tokenward.binding.digest import CLAIM
from tokenward.binding.interfaces import Epoch
from tokenward.binding.nonces import Nonces
from tokenward.kernel import jws
from tokenward.kernel.json_text import JsonObject
from tokenward.kernel.jwk import PublicKey, PublicKeys
from tokenward.kernel.refusals import Refusal

PROOF_BYTES_MAX: Final = 4096
AGE_MS_MAX: Final = 60_000
AHEAD_MS_MAX: Final = 5_000
REMEMBERED_MS: Final = 75_000
"""Longer than a proof can be good: its window, and a clock that is put back a little."""
JTI_CHARS_MAX: Final = 128
TYPE: Final = "dpop+jwt"
_KEYS_ELSEWHERE: Final = ("jku", "x5u", "x5c", "crit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a request shows. `proofs` are its `DPoP` header fields; `path` is raw, as it came.

    `credential` is the text the proof must be made for, "" where there is none yet (the token
    endpoint); `thumbprint` is the key it must be made with, None where any will do.
    """

    proofs: tuple[bytes, ...]
    method: str
    path: str
    credential: str = ""
    thumbprint: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """A good proof, not yet used up. `replay_key` names it in the replay store; it is good in the
    store's epoch that began at `since_ms`."""

    thumbprint: str
    content_digest: str | None
    replay_key: bytes
    until_ms: int
    since_ms: int


class DpopVerifier:
    """Knows the guard's addresses, its nonces and the keys it saw lately."""

    def __init__(
        self,
        urls: PublicUrls,
        nonces: Nonces,
        keys: PublicKeys,
        *,
        requires_nonce: bool,
    ) -> None:
        self._urls = urls
        self._nonces = nonces
        self._keys = keys
        self._requires_nonce = requires_nonce

    def check(self, shown: Shown, now_ms: int) -> Proof | Refusal:
        """Is this a good proof for this request, now? Costs one signature verification."""
        if not shown.proofs:
            return wording.MISSING
        if len(shown.proofs) > 1:
            return wording.invalid("there is more than one DPoP header")
        try:
            token = jws.read_compact(shown.proofs[0].strip(b" \t"), PROOF_BYTES_MAX)
            key = self._read_key(token.header)
        except ValueError:
            return wording.invalid("it is not a signed token with a public key of a known kind")
        if not key.verify(token.signed, token.signature):
            return wording.invalid("its signature is not by the key in it")
        return self._check_claims(token.claims, key, shown, now_ms)

    def _read_key(self, header: JsonObject) -> PublicKey:
        if header.get("typ") != TYPE:
            raise ValueError("another kind of token")
        if any(name in header for name in _KEYS_ELSEWHERE):
            raise ValueError("a key from elsewhere, or an extension")
        jwk = header.get("jwk")
        if not isinstance(jwk, dict):
            raise ValueError("no key")
        key = self._keys.read(jwk)
        if header.get("alg") not in key.algorithms:
            raise ValueError("an algorithm that is not this key's")
        return key

    def _check_claims(
        self, claims: JsonObject, key: PublicKey, shown: Shown, now_ms: int
    ) -> Proof | Refusal:
        jti, htu, digest = claims.get("jti"), claims.get("htu"), claims.get(CLAIM)
        if not isinstance(jti, str) or not 0 < len(jti) <= JTI_CHARS_MAX:
            return wording.invalid(f"jti must be 1 to {JTI_CHARS_MAX} characters")
        if claims.get("htm") != shown.method:
            return wording.invalid("htm is not the method of this request")
        if not isinstance(htu, str) or not self._urls.is_at(htu, shown.path):
            return wording.invalid(
                "htu is not the public URL of this request (server.public_urls says where it is)"
            )
        if digest is not None and not isinstance(digest, str):
            return wording.invalid("content_digest is not text")
        epoch = self._nonces.epoch
        refusal = self._check_time(claims, now_ms, epoch) or _check_ath(claims, shown.credential)
        if refusal is not None:
            return refusal
        if shown.thumbprint is not None and not _same(key.thumbprint, shown.thumbprint):
            return wording.OTHER_HOLDER
        return Proof(
            thumbprint=key.thumbprint,
            content_digest=digest,
            replay_key=_replay_key(key.thumbprint, jti),
            until_ms=now_ms + REMEMBERED_MS,
            since_ms=epoch.since_ms,
        )

    def _check_time(self, claims: JsonObject, now_ms: int, epoch: Epoch) -> Refusal | None:
        nonce, made_s = claims.get("nonce"), claims.get("iat")
        if nonce is None and self._requires_nonce:
            return wording.NONCE_WANTED
        if nonce is not None and not (
            isinstance(nonce, str) and self._nonces.is_fresh(nonce, now_ms, epoch)
        ):
            return wording.NONCE_WANTED
        if not isinstance(made_s, int | float) or isinstance(made_s, bool):
            return wording.invalid("iat is not a number")
        if not now_ms - AGE_MS_MAX <= made_s * 1000 <= now_ms + AHEAD_MS_MAX:
            return wording.OUT_OF_TIME
        if nonce is None and made_s * 1000 < epoch.since_ms + AHEAD_MS_MAX:
            return wording.NONCE_WANTED  # perhaps used before the store forgot; a nonce tells
        return None


def _check_ath(claims: JsonObject, credential: str) -> Refusal | None:
    if not credential:
        return None
    said = claims.get("ath")
    if isinstance(said, str) and _same(said, access_token_hash(credential)):
        return None
    return wording.invalid("ath is not the hash of the credential that came with it")


def access_token_hash(credential: str) -> str:
    """RFC 9449 section 4.2: base64url of the SHA-256 of the credential's ASCII text."""
    digest = hashlib.sha256(credential.encode("utf-8")).digest()
    return jws.encode(digest).decode("ascii")


def _replay_key(thumbprint: str, jti: str) -> bytes:
    """By who signed and `jti`. The address is left out, which RFC 9449 section 11.1 would allow to
    keep apart: one address can be spelled in many ways, and each would be a use of its own."""
    parts = (part.encode("utf-8", "surrogatepass") for part in (thumbprint, jti))
    return jws.replay_key(*parts)


def _same(said: str, known: str) -> bool:
    return hmac.compare_digest(said.encode("utf-8", "replace"), known.encode("utf-8", "replace"))
