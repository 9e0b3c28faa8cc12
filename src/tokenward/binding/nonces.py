"""Was the proof made just now, for us? Nonces that every gateway knows without looking them up.

A nonce is a span of five minutes and its HMAC under a secret that changes whenever the replay
store has forgotten something, so that no proof outlives the memory of its use (RFC 9449 section 8
and 11.2: proofs cannot be made in advance).
"""

import hmac
from collections.abc import Callable
from typing import Final

from tokenward.binding.interfaces import Epoch
from tokenward.kernel import jws

SPAN_MS: Final = 300_000
_MAC_BYTES: Final = 16


class Nonces:
    """Makes and knows the nonces of the current and the previous five minutes.

    `read_epoch` says what the replay store's epoch is now: each epoch has nonces of its own.
    """

    def __init__(self, read_epoch: Callable[[], Epoch]) -> None:
        self._read_epoch = read_epoch
        self._made: tuple[Epoch | None, int, str] = (None, -1, "")

    @property
    def epoch(self) -> Epoch:
        """The epoch of now."""
        return self._read_epoch()

    def current(self, now_ms: int) -> str:
        """The nonce to hand out now."""
        return self._current(self.epoch, now_ms // SPAN_MS)

    def is_fresh(self, nonce: str, now_ms: int, epoch: Epoch) -> bool:
        """Whether it is of that epoch, and of this span or the one before."""
        span = now_ms // SPAN_MS
        given = nonce.encode("utf-8", "replace")
        is_now = hmac.compare_digest(given, self._current(epoch, span).encode("ascii"))
        return is_now or hmac.compare_digest(given, _made(epoch, span - 1).encode("ascii"))

    def _current(self, epoch: Epoch, span: int) -> str:
        if self._made[0] is not epoch or self._made[1] != span:
            self._made = (epoch, span, _made(epoch, span))
        return self._made[2]


def _made(epoch: Epoch, span: int) -> str:
    assert len(epoch.secret) >= 32, "a nonce must not be guessed"
    when = span.to_bytes(8, signed=True)
    mac = hmac.digest(epoch.secret, when, "sha256")[:_MAC_BYTES]
    return jws.encode(when + mac).decode("ascii")
