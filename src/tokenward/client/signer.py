"""Who sends this? One DPoP proof (RFC 9449 section 4.2) for one attempt of one request."""

import hashlib
from base64 import b64encode
from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from tokenward.client.address import htu_of
from tokenward.kernel import jwk, jws
from tokenward.kernel.json_text import JsonObject

_TYPE: Final = "dpop+jwt"


class Signer:
    """Signs with the holder's private key, which it never shows. Safe to use in many threads.

    `now_s` is Unix time in seconds; `draw_id` gives a text that was never given before, 1 to 128
    characters. `binds_body`: each proof also says which body it is for. ValueError when the key
    is neither P-256 nor Ed25519.
    """

    __slots__ = ("_draw_id", "_header", "_key", "_now_s", "_thumbprint", "binds_body")

    def __init__(
        self,
        private_key: jwk.PrivateKey,
        *,
        binds_body: bool = False,
        now_s: Callable[[], float],
        draw_id: Callable[[], str],
    ) -> None:
        algorithm = "EdDSA"
        if isinstance(private_key, ec.EllipticCurvePrivateKey):
            algorithm = "ES256"
            if not isinstance(private_key.curve, ec.SECP256R1):
                raise ValueError("a proof is signed with a P-256 or an Ed25519 key, no other")
        public = jwk.public_jwk(private_key)
        self._header: JsonObject = {"typ": _TYPE, "alg": algorithm, "jwk": public}
        self._key = private_key
        self._thumbprint = jwk.thumbprint_of(public)
        self._now_s = now_s
        self._draw_id = draw_id
        self.binds_body = binds_body

    @property
    def thumbprint(self) -> str:
        """RFC 7638 of the public half: what the guard has written down of this holder."""
        return self._thumbprint

    def proof(
        self,
        method: str,
        url: str,
        *,
        credential: str = "",
        nonce: str = "",
        content_digest: str = "",
    ) -> str:
        """A proof that is good once: a new `jti` and the time of now.

        `url` may have a query and a fragment, which no proof names; `credential` is what stands
        in Authorization beside it (none at enrolment); `content_digest` the exact value of that
        header. ValueError for a URL that nothing can be sent to.
        """
        claims: JsonObject = {
            "jti": self._draw_id(),
            "htm": method,
            "htu": htu_of(url),
            "iat": int(self._now_s()),
        }
        if credential:
            claims["ath"] = jws.encode(hashlib.sha256(credential.encode()).digest()).decode()
        if nonce:
            claims["nonce"] = nonce
        if content_digest:
            claims["content_digest"] = content_digest
        return jws.write_compact(self._header, claims, lambda signed: jwk.sign(self._key, signed))

    def headers(
        self, method: str, url: str, *, credential: str, nonce: str = "", body: bytes = b""
    ) -> dict[str, str]:
        """What to send with this attempt and no other; names in lower case.

        `body` is the whole of it as it goes out; it is read only where the body is bound.
        """
        signed = {"authorization": f"DPoP {credential}"}
        digest = ""
        if self.binds_body:
            digest = signed["content-digest"] = content_digest_of(body)
        signed["dpop"] = self.proof(
            method, url, credential=credential, nonce=nonce, content_digest=digest
        )
        return signed


def content_digest_of(body: bytes) -> str:
    """The value of Content-Digest (RFC 9530 section 2) with SHA-256."""
    return f"sha-256=:{b64encode(hashlib.sha256(body).digest()).decode('ascii')}:"
