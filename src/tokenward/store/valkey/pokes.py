"""A word to all gateways: something changed, look now.

Nothing but a hint, by plain publish and subscribe, which every node of a cluster passes on to all:
rare enough for that. Whoever misses it sees the change at its next regular look.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from tokenward.kernel.errors import StoreError
from tokenward.store.valkey.address import Address
from tokenward.store.valkey.link import Link, heard
from tokenward.store.valkey.resp import Reply, pack
from tokenward.store.valkey.servers import Servers

CHANNEL: Final = b"tw:changed"
PROBE_EVERY_S: Final = 5.0
PAUSE_S: Final = (0.05, 2.0)
"""Between tries to listen; doubles."""


class _Listener(Link):
    """A connection on which the server speaks unasked."""

    def __init__(
        self, address: Address, limit_s: float, on_end: Callable[[Link], None],
        on_poke: Callable[[], None],
    ) -> None:  # fmt: skip
        super().__init__(address, limit_s, on_end, lambda _link, _error: None)
        self._on_poke = on_poke

    def take(self, reply: Reply) -> None:
        """A word, or the answer to a probe."""
        if isinstance(reply, list) and reply[:1] == [b"message"]:
            self._on_poke()
        else:
            super().take(reply)


class Pokes:
    """`on_poke` is called for every word of any gateway, this one's too, and whenever listening
    began anew. It must be quick, and may be called more often than anything changed."""

    def __init__(self, servers: Servers, limit_s: float, on_poke: Callable[[], None]) -> None:
        self._servers, self._limit_s, self._on_poke = servers, limit_s, on_poke
        self.is_listening = False

    def publish(self) -> None:
        """Tell everybody. Never waits, never raises."""
        for link in self._servers.links:
            with suppress(StoreError):
                link.send(pack(b"PUBLISH", CHANNEL, b"")).add_done_callback(heard)
                return

    async def listen(self) -> None:
        """Listen for ever, and after every break again."""
        pause_s, longest_s = PAUSE_S
        while True:
            with suppress(StoreError):
                await self._listen()
                pause_s, _ = PAUSE_S
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, longest_s)

    async def _listen(self) -> None:
        ended = asyncio.Event()
        link = await self._servers.dial(
            lambda at: _Listener(at, self._limit_s, lambda _link: ended.set(), self._on_poke)
        )
        try:
            await link.send(pack(b"SUBSCRIBE", CHANNEL))
            self.is_listening = True
            self._on_poke()
            while link.is_open:
                with suppress(TimeoutError):
                    async with asyncio.timeout(PROBE_EVERY_S):
                        await ended.wait()
                if link.is_open:
                    await link.send(pack(b"PING"))
        except StoreError:
            return
        finally:
            self.is_listening = False
            link.close()
