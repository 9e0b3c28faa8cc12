"""Tell the operator's webhook what the ledger and the keys had to say.

At least once while the guard runs: events are read from the store in order, and the next one is
sent when the one before was taken or given up. What happened while no guard ran is not sent.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

import msgspec

from tokenward.kernel.errors import Fault, ProviderError
from tokenward.kernel.events import Event
from tokenward.ledger.interfaces import Books
from tokenward.pipeline.interfaces import Upstream

EVERY_S: Final = 1.0
TRIES_MAX: Final = 3
BATCH_MAX: Final = 100
PASSING: Final = frozenset((408, 425, 429))
"""Beside 5xx: the same POST may be taken a moment later (RFC 9110, RFC 8470, RFC 6585)."""

log = logging.getLogger("tokenward.alerts")


class Alerts:
    """A background loop; one POST an event: `{"number","ts","kind","subject","facts"}`.

    An event is `sent` when the webhook answered 2xx, and `given_up` when it answered what no
    repetition changes, or nothing better in `TRIES_MAX` tries. The first of a row that is given
    up is logged.
    """

    def __init__(self, books: Books, upstream: Upstream, url: str) -> None:
        self._books = books
        self._upstream = upstream
        self._url = url
        self._after = 0
        self._is_failing = False
        self.sent = 0
        self.given_up = 0

    async def run(self, is_leader: Callable[[], Awaitable[bool]]) -> None:
        """Until cancelled. A store or webhook that fails delays; it never stops the loop. Of many
        gateways the leader sends; who follows it goes on after what had happened by then."""
        is_behind = True
        while True:
            try:
                if is_behind or not await is_leader():
                    self._after, is_behind = await self._books.last_event(), False
                else:
                    await self._tell_new()
            except Fault:
                pass  # the store is away: try again at the next turn
            await asyncio.sleep(EVERY_S)

    async def _tell_new(self) -> None:
        for number, event in await self._books.events(self._after, BATCH_MAX):
            await self._tell(number, event)
            self._after = number

    async def _tell(self, number: int, event: Event) -> None:
        body = msgspec.json.encode({"number": number, **msgspec.to_builtins(event)})
        for attempt in range(TRIES_MAX):
            if attempt:
                await asyncio.sleep(EVERY_S * 2 ** (attempt - 1))
            status = await self._post(body)
            if 200 <= status < 300:
                self.sent += 1
                self._is_failing = False
                return
            if status and status < 500 and status not in PASSING:
                break
        self.given_up += 1
        if not self._is_failing:
            self._is_failing = True
            log.warning("%s", self._why_given_up(number, event, status))

    async def _post(self, body: bytes) -> int:
        """The answer's status, 0 if none came."""
        headers = ((b"content-type", b"application/json"), (b"user-agent", b"tokenward"))
        try:
            answer = await self._upstream.send("POST", self._url, headers, body)
        except ProviderError:
            return 0
        await answer.close()
        return answer.status

    def _why_given_up(self, number: int, event: Event, status: int) -> str:
        """Never the path or the query: what makes the address hard to guess stands there."""
        where = urlsplit(self._url)
        host = where.netloc.rpartition("@")[2]
        did = f"answered {status} to" if status else "did not answer"
        return (
            f"tokenward: the alerts webhook at {where.scheme}://{host} {did} event {number} "
            f"({event.kind}), so it is given up, and so are later ones until one is taken. "
            f"Check alerts.webhook; read them: tokenward events --after {number - 1}"
        )
