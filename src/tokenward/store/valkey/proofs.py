"""Which proofs were used? Kept by the servers, for every gateway.

Memory of the servers: about 150 bytes a proof, for as long as it could be shown again (75 s for
those of calls): 12 MB at 1,000 bound calls a second.
"""

from typing import Final

from tokenward.binding.interfaces import Epoch
from tokenward.kernel.clock import Clock
from tokenward.kernel.errors import StoreError
from tokenward.store.valkey.epochs import Epochs, mark_key
from tokenward.store.valkey.resp import Reply
from tokenward.store.valkey.servers import TAGS, Servers

ANOTHER_EPOCH: Final = (
    "the memory of used proofs began anew; what was judged before must be judged again"
)


class ValkeyProofs:
    """Fulfils `binding.interfaces.ReplayStore`."""

    def __init__(self, servers: Servers, epochs: Epochs, clock: Clock) -> None:
        self._servers, self._epochs, self._clock = servers, epochs, clock

    @property
    def epoch(self) -> Epoch:
        """The epoch of now."""
        return self._epochs.now

    async def claim(self, key: bytes, until_ms: int, since_ms: int) -> bool:
        """Use a proof up: True for the first caller on any gateway, False for every other one.

        A caller that leaves in between, and one that gets a fault, may have used its proof up.
        """
        shard = key[0]
        keys, args = self.ask(shard, key, until_ms, since_ms)
        return self.read(await self._servers.run(shard, "claim", keys, args))

    def ask(
        self, shard: int, key: bytes, until_ms: int, since_ms: int
    ) -> tuple[tuple[bytes, bytes], tuple[bytes, bytes]]:
        """Keys and arguments of a claim, kept in that shard. Raises `StoreError`."""
        if since_ms != self._epochs.now.since_ms:
            raise StoreError(ANOTHER_EPOCH)
        keep_ms = max(1, until_ms - self._clock.now_ms())
        return (mark_key(shard), TAGS[shard] + b"p:" + key), (self._epochs.tag, b"%d" % keep_ms)

    def read(self, answer: Reply) -> bool:
        """What the claim met. Raises `StoreError`."""
        if answer == -1:
            self._epochs.doubt()
            raise StoreError(ANOTHER_EPOCH)
        assert answer in (0, 1), "the library says nothing else"
        return answer == 1
