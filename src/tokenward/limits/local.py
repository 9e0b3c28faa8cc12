"""Limits counted in this process: right wherever one process takes all calls."""

from typing import Final

from tokenward.kernel.clock import Clock
from tokenward.kernel.refusals import Refusal
from tokenward.limits.concurrency import Concurrency
from tokenward.limits.interfaces import KeyLimits, Place
from tokenward.limits.rates import Rates


class _Anywhere:
    """The place of a call whose key has no limit."""

    def leave(self) -> None:
        """There is nothing to give back."""


ANYWHERE: Final = _Anywhere()


class LocalLimiter:
    """Fulfils `limits.interfaces.Limiter`. One event loop, no locks."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rates = Rates()
        self._concurrency = Concurrency()

    async def enter(self, key_id: str, limits: KeyLimits) -> Place | Refusal:
        """A place, if the key is within its limits."""
        return self.enter_now(key_id, limits)

    def enter_now(self, key_id: str, limits: KeyLimits) -> Place | Refusal:
        """The same, without waiting. What one limit refuses, none counts."""
        now_s = self._clock.monotonic_s()
        refusal = self._rates.may_request(key_id, limits.rpm, now_s)
        if refusal is None:
            refusal = self._rates.may_use_tokens(key_id, limits.tpm, now_s)
        if refusal is not None:
            return refusal
        place: Place | Refusal = ANYWHERE
        if limits.concurrency is not None:
            place = self._concurrency.enter(key_id, limits.concurrency)
        if not isinstance(place, Refusal):
            taken = self._rates.take_request(key_id, limits.rpm, now_s)
            assert taken is None, "asked a moment ago, and nothing waited since"
        return place

    def use(self, key_id: str, tokens: int) -> None:
        """Count what a call has used."""
        self._rates.add_tokens(key_id, tokens, self._clock.monotonic_s())
