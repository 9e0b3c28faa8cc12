"""What one process learns of its guard from answer to answer, and signs the next request with."""

import time
from collections.abc import Callable, Mapping
from typing import Final, Literal

from tokenward.client.address import origin_of
from tokenward.client.errors import ForeignHostError
from tokenward.client.guard_clock import GuardClock
from tokenward.client.holder import Holder

Lesson = Literal["nonce", "clock"]
NONCE_CHARS_MAX: Final = 256
_NONCE_WANTED: Final = "use_dpop_nonce"
_PROOF_REFUSED: Final = "invalid_dpop_proof"


class Conversation:
    """One holder and one guard. Threads and tasks may share it: it keeps the newest nonce and the
    guard's time, each in one assignment, and a proof with an older one is only refused and made
    anew."""

    def __init__(self, holder: Holder, now_s: Callable[[], float] = time.time) -> None:
        self._clock = GuardClock(now_s)
        self._holder = holder
        self._signer = holder.signer(self._clock.now_s)
        self._origin = origin_of(holder.guard_url)
        self._nonce = ""

    @property
    def binds_body(self) -> bool:
        """Whether `sign` must be given the body."""
        return self._holder.binds_body

    def sign(self, method: str, url: str, body: bytes = b"") -> dict[str, str]:
        """The headers for this attempt and no other.

        Raises ForeignHostError when the request would go to another host than the guard's: the
        key must not be shown there.
        """
        try:
            origin = origin_of(url)
        except ValueError as error:
            raise ForeignHostError(f"Nothing was signed or sent: {error}") from None
        if origin != self._origin:
            raise ForeignHostError(
                f"Nothing was signed or sent: the request goes to {origin}, and this key was "
                f"enrolled at {self._origin}, so it is shown nowhere else. Set base_url to that "
                "address (localhost and 127.0.0.1 are two), or enrol at the other guard"
            )
        key = self._holder.key.reveal()
        return self._signer.headers(method, url, credential=key, nonce=self._nonce, body=body)

    def now_s(self) -> float:
        """The time that `sign` puts into a proof: Unix seconds, as the guard counts them."""
        return self._clock.now_s()

    def learn(self, status: int, headers: Mapping[str, str], signed_s: float) -> Lesson | None:
        """Keep what the guard's answer tells; what it taught if the request, signed at `signed_s`,
        was refused for the lack of it, so that signing again can help.

        `headers` finds names in lower case. Both lessons are of requests that the guard refused
        before it sent anything on; nothing else is worth repeating here.
        """
        given = headers.get("dpop-nonce", "")
        is_nonce = 0 < len(given) <= NONCE_CHARS_MAX
        if is_nonce:
            self._nonce = given
        if status != 401:
            return None
        challenge = headers.get("www-authenticate", "")
        if _NONCE_WANTED in challenge:
            return "nonce" if is_nonce else None
        if _PROOF_REFUSED in challenge and self._clock.learn(headers.get("date", ""), signed_s):
            return "clock"
        return None
