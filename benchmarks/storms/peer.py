"""What a storm asks of a gateway, whichever it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from benchmarks.storms.load import Told
from benchmarks.storms.processes import GatewayProcess
from benchmarks.storms.provider import Provider
from benchmarks.storms.stores import Stores


@dataclass(frozen=True, kw_only=True)
class Key:
    """A key with a budget: the name by which the gateway knows it, and what callers send."""

    id: str
    text: str


class Peer(Protocol):
    """Some gateway processes that share their stores. Made with `Setting`, gone with `stop`."""

    @property
    def gateways(self) -> Sequence[GatewayProcess]:
        """The processes; one that was killed can be started again."""
        ...

    @property
    def about(self) -> dict[str, str]:
        """Versions and settings, for the results."""
        ...

    def start(self) -> None:
        """Start all and wait until they are ready."""
        ...

    def stop(self) -> None:
        """Stop all; nothing of it stays."""
        ...

    async def new_key(self, budget_nusd: int) -> Key:
        """A key that may spend so much a day."""
        ...

    async def revoke(self, key: Key, gateway: int) -> None:
        """Stop a key for ever, by asking this gateway; done when this ends. Raises RefusedError
        when the gateway does not do it."""
        ...

    async def spent_nusd(self, key: Key) -> int:
        """What is written down as spent with this key, as its owner would see it."""
        ...

    async def held_nusd(self, key: Key) -> int | None:
        """What is set aside for calls that have not ended, if it can be asked."""
        ...

    def meaning(self, told: Told) -> str:
        """What an answer means: `ok`, `budget` (over it), `busy` (over it for now, ask again),
        `key` (not valid), `unavailable`, `provider` (its failure, passed on), `broken` (no whole
        answer), `other`."""
        ...


def outcome(peer: Peer, told: Told) -> str:
    """What came of a call: `left` when the caller hung up before there was an answer, else what
    the answer means."""
    return "left" if told.has_left and told.status == 0 else peer.meaning(told)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Where a peer stands: its folder, its stores, the provider behind it, and how many."""

    folder: str
    stores: Stores
    provider_url: str
    credential: str
    gateways: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class World:
    """What a storm rages in."""

    peer: Peer
    provider: Provider
    stores: Stores
    seed: int
