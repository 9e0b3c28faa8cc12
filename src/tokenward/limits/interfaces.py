"""How fast a key may be, and who counts it: this process alone, or all gateways together."""

from typing import NamedTuple, Protocol

from tokenward.kernel.refusals import Refusal


class KeyLimits(NamedTuple):
    """What a key may do at once and in a minute. None: no limit of this kind."""

    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None


UNLIMITED = KeyLimits()


class Place(Protocol):
    """A place among a key's running calls, given back exactly once."""

    def leave(self) -> None:
        """Give the place back; a second time does nothing. Never raises, never waits."""
        ...


class Limiter(Protocol):
    """Counts requests, tokens and running calls of every key, for every gateway that shares it."""

    async def enter(self, key_id: str, limits: KeyLimits) -> Place | Refusal:
        """One more request of this key, in one step: within all of its limits, or refused and not
        counted. Raises `StoreError` where it cannot know."""
        ...

    def use(self, key_id: str, tokens: int) -> None:
        """Count what a call has used; only for keys with a limit of tokens. Never waits."""
        ...
