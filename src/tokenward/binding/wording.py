"""What is said to a caller whose proof is not good: RFC 9449 sections 5, 7.1 and 8."""

from typing import Final

from tokenward.kernel.refusals import Refusal

ALGORITHMS: Final = ("ES256", "Ed25519", "EdDSA")


def _refusal(code: str, error: str, said: str, message: str) -> Refusal:
    return Refusal(code, 401, message, challenge=challenge(error, said))


def challenge(error: str, said: str) -> str:
    """The value of `WWW-Authenticate`; `said` is plain ASCII without quotes."""
    algs = " ".join(ALGORITHMS)
    return f'DPoP error="{error}", error_description="{said}", algs="{algs}"'


MISSING: Final = _refusal(
    "proof:missing",
    "invalid_token",
    "the credential is bound to a key and no proof came with it",
    "This credential is bound to its holder's private key, and the request does not show that the "
    "caller has it, so nothing was sent. Sign each request (Authorization: DPoP … and a DPoP "
    "header; tokenward.client and tokenward agent do that). If you did not expect this, somebody "
    "may have copied the key: it is of no use without its private key.",
)
NONCE_WANTED: Final = _refusal(
    "proof:stale",
    "use_dpop_nonce",
    "the proof must carry the nonce of this answer",
    "The proof carries no nonce of this guard, or an old one. Sign again with the nonce in the "
    "DPoP-Nonce header of this answer; nothing was sent.",
)
OUT_OF_TIME: Final = _refusal(
    "proof:stale",
    "invalid_dpop_proof",
    "the time of the proof is not now",
    "The proof was made more than a minute ago, or in the future. Sign each attempt anew, and set "
    "the clock of the machine that signs; nothing was sent.",
)
REPLAYED: Final = _refusal(
    "proof:replayed",
    "invalid_dpop_proof",
    "the proof was used before",
    "This proof was used before, and each is good for one request. Sign every attempt anew, also "
    "repeated ones. A proxy that repeats requests by itself (retry_on, proxy_next_upstream "
    "non_idempotent) must not do so in front of this guard. Nothing was sent.",
)
OTHER_HOLDER: Final = _refusal(
    "proof:invalid",
    "invalid_token",
    "the proof is by another key than the credential is bound to",
    "The proof is good, but by another key than this credential is bound to. Sign with the key "
    "that was enrolled, or enrol this one: tokenward key enrol ID. Nothing was sent.",
)
NOT_BOUND: Final = _refusal(
    "proof:invalid",
    "invalid_token",
    "the credential is not bound to a key",
    "This key is bound to no private key, so it cannot be presented as Authorization: DPoP. Send "
    "it as Bearer; or bind it: tokenward key enrol ID --bind dpop. Nothing was sent.",
)
NOT_ENROLLED: Final = _refusal(
    "proof:missing",
    "invalid_token",
    "no holder is enrolled for this key yet",
    "This key must be bound to its holder and no holder is enrolled yet, so it opens nothing. "
    "Enrol with the code that came with it (tokenward agent --enrol CODE), or get a new code: "
    "tokenward key enrol ID.",
)
NO_CERTIFICATE: Final = Refusal(
    "proof:missing",
    401,
    "This credential is bound to its holder's TLS client certificate, and the connection shows "
    "none, so nothing was sent. Connect with that certificate (behind a proxy, the proxy must "
    "pass it on and be named in server.trusted_proxies).",
    challenge='Bearer error="invalid_token", error_description="a client certificate is needed"',
)
OTHER_CERTIFICATE: Final = Refusal(
    "proof:invalid",
    401,
    "The connection's client certificate is not the one that this credential is bound to. Nothing "
    "was sent.",
    challenge='Bearer error="invalid_token", error_description="another certificate is bound"',
)


def bad_certificate(why: str) -> Refusal:
    """The bound certificate, but not one to call with (any more); `why` is ours, as below."""
    return Refusal(
        "proof:invalid",
        401,
        f"The client certificate that this credential is bound to {why}. Nothing was sent. Bind "
        "the credential to another one: tokenward key enrol ID.",
        challenge=f'Bearer error="invalid_token", error_description="the certificate {why}"',
    )


def invalid(why: str) -> Refusal:
    """A proof that is none; `why` is ours, plain ASCII without quotes, never the caller's text."""
    return _refusal(
        "proof:invalid",
        "invalid_dpop_proof",
        why,
        f"The DPoP proof is not good: {why}. Nothing was sent. See RFC 9449 section 4.2 for what "
        "a proof must hold; tokenward.client and tokenward agent make such proofs.",
    )
