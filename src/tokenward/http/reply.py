"""The way back to the caller, over ASGI."""

import asyncio
from collections.abc import Callable

from tokenward.http.lifespan import Receive, Send
from tokenward.providers.interfaces import Headers


class AsgiReply:
    """`pipeline.interfaces.Reply` for one request. Nothing is sent to a caller that is gone.

    A caller that stops reading is gone too: the connection is reset after `write_wait_s`
    (`http/protocol.py`), which ends the waiting `write`. Belongs to one task.
    """

    def __init__(self, receive: Receive, send: Send) -> None:
        self.is_gone = False
        self._receive = receive
        self._send = send
        self._is_over = False
        self._watcher: asyncio.Task[None] | None = None
        self._on_gone: Callable[[], None]
        self._added: Headers = ()

    def watch(self, on_gone: Callable[[], None]) -> None:
        """From now on, call back once if the caller hangs up before the end; soon, if it has.

        Another watch takes the place of the one before. Only after the request's body was read:
        watching takes what is left of it.
        """
        if self._is_over:
            return
        self._on_gone = on_gone
        if self._watcher is None:
            self._watcher = asyncio.create_task(self._wait_for_hangup())
        elif self.is_gone:
            on_gone()

    def add_header(self, name: bytes, value: bytes) -> None:
        """Have the head carry this too, whatever it will be."""
        self._added += ((name, value),)

    async def start(self, status: int, headers: Headers) -> None:
        """Send the head. Names are lower case; without content-length the body is chunked."""
        if self._added:
            headers = (*headers, *self._added)
        await self._say({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, chunk: bytes) -> None:
        """Send a piece of the body now; waits while the caller reads slowly."""
        if chunk:
            await self._say({"type": "http.response.body", "body": chunk, "more_body": True})

    async def end(self, chunk: bytes = b"") -> None:
        """Send the last piece."""
        await self._say({"type": "http.response.body", "body": chunk, "more_body": False})
        self._close()

    def abandon(self) -> None:
        """Send nothing more. The server closes a connection whose answer has no end, so that a
        broken answer never looks whole."""
        self._close()

    async def _say(self, message: dict[str, object]) -> None:
        if not self.is_gone and not self._is_over:
            await self._send(message)

    def _close(self) -> None:
        self._is_over = True
        if self._watcher is not None:
            self._watcher.cancel()

    async def _wait_for_hangup(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self._is_over:
            self.is_gone = True
            self._on_gone()
