"""A proof's use and the limits of its key, asked together: where one store far away knows both, a
call costs one round trip instead of two."""

from typing import Protocol

from tokenward.binding.interfaces import ReplayStore
from tokenward.binding.wording import REPLAYED
from tokenward.kernel.refusals import Refusal
from tokenward.limits.interfaces import UNLIMITED, KeyLimits, Limiter, Place
from tokenward.limits.local import ANYWHERE


class Admission(Protocol):
    """Uses up the proofs of calls."""

    async def admit(
        self, key_id: str, limits: KeyLimits, proof: bytes, until_ms: int, since_ms: int
    ) -> Place | Refusal:
        """Use the proof up, as `ReplayStore.claim` does, and on its first use enter the limits.

        `REPLAYED` for one that was used before: then nothing was counted. What the limits refuse
        has used its proof up. What is used up here `claim` need not know, and the other way round:
        proofs of calls go this way, all others that one. Raises `StoreError` where it cannot know.
        """
        ...


class OneByOne:
    """Fulfils `Admission` where both are asked apart: the proof first."""

    def __init__(self, replays: ReplayStore, limiter: Limiter) -> None:
        self._replays, self._limiter = replays, limiter

    async def admit(
        self, key_id: str, limits: KeyLimits, proof: bytes, until_ms: int, since_ms: int
    ) -> Place | Refusal:
        """A place, on the proof's first use and within the limits."""
        if not await self._replays.claim(proof, until_ms, since_ms):
            return REPLAYED
        return ANYWHERE if limits == UNLIMITED else await self._limiter.enter(key_id, limits)
