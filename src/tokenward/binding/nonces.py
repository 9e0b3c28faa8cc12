"""Was the proof made just now, for us? Nonces that every gateway knows without looking them up.

A nonce is a span of five minutes and its HMAC under a secret that changes whenever the replay
store has forgotten something, so that no proof outlives the memory of its use (RFC 9449 section 8
and 11.2: proofs cannot be made in advance).
"""

import hmac
from typing import Final

from tokenward.kernel import jws

SPAN_MS: Final = 300_000
_MAC_BYTES: Final = 16


class Nonces:
    """Makes and knows the nonces of the current and the previous five minutes."""

    def __init__(self, secret: bytes) -> None:
        assert len(secret) >= 32, "a nonce must not be guessed"
        self._secret = secret
        self._made: tuple[int, str] = (-1, "")

    def current(self, now_ms: int) -> str:
        """The nonce to hand out now."""
        span = now_ms // SPAN_MS
        if self._made[0] != span:
            self._made = (span, self._of(span))
        return self._made[1]

    def is_fresh(self, nonce: str, now_ms: int) -> bool:
        """Whether it is ours, of this span or the one before."""
        span = now_ms // SPAN_MS
        given = nonce.encode("utf-8", "replace")
        is_now = hmac.compare_digest(given, self.current(now_ms).encode("ascii"))
        return is_now or hmac.compare_digest(given, self._of(span - 1).encode("ascii"))

    def _of(self, span: int) -> str:
        when = span.to_bytes(8, signed=True)
        mac = hmac.digest(self._secret, when, "sha256")[:_MAC_BYTES]
        return jws.encode(when + mac).decode("ascii")
