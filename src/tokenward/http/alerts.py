"""Tell the operator's webhook what the ledger and the keys had to say.

At least once while the guard runs: events are read from the store in order, and the next one is
sent when the one before was taken or given up. What happened while no guard ran is not sent.
"""

import asyncio
from typing import Final

import msgspec

from tokenward.kernel.errors import Fault, ProviderError
from tokenward.kernel.events import Event
from tokenward.ledger.interfaces import Books
from tokenward.pipeline.interfaces import Upstream

EVERY_S: Final = 1.0
TRIES_MAX: Final = 3
BATCH_MAX: Final = 100


class Alerts:
    """A background loop; one POST an event: `{"number","ts","kind","subject","facts"}`."""

    def __init__(self, books: Books, upstream: Upstream, url: str) -> None:
        self._books = books
        self._upstream = upstream
        self._url = url
        self._after = 0
        self.sent = 0
        self.given_up = 0

    async def run(self) -> None:
        """Until cancelled. A store or webhook that fails delays; it never stops the loop."""
        self._after = await self._books.last_event()
        while True:
            try:
                for number, event in await self._books.events(self._after, BATCH_MAX):
                    await self._tell(number, event)
                    self._after = number
            except Fault:
                pass  # the store is away: try again at the next turn
            await asyncio.sleep(EVERY_S)

    async def _tell(self, number: int, event: Event) -> None:
        body = msgspec.json.encode({"number": number, **msgspec.to_builtins(event)})
        headers = ((b"content-type", b"application/json"), (b"user-agent", b"tokenward"))
        for attempt in range(TRIES_MAX):
            try:
                answer = await self._upstream.send("POST", self._url, headers, body)
                await answer.close()
                if answer.status < 500:
                    self.sent += 1
                    return
            except ProviderError:
                pass  # counted below, after the last try
            await asyncio.sleep(EVERY_S * 2**attempt)
        self.given_up += 1
