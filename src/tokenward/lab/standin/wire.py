"""One HTTP exchange: read the request, notice a hang-up, send, or break off for real."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
RawHeaders = list[tuple[bytes, bytes]]

BODY_MAX: Final = 64 * 2**20
RESET_KEY: Final = "standin.reset"
"""Where the server leaves, in the scope's state, what resets the connection."""
_FLUSH_S: Final = 0.02


class Wire:
    """An exchange seen from the provider's side."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._reset = scope.get("state", {}).get(RESET_KEY)
        self._receive = receive
        self._send = send
        self._watch: asyncio.Task[None] | None = None

    async def body(self) -> bytes | None:
        """The request's body; None when it is larger than 64 MiB or the client left meanwhile."""
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                return None
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > BODY_MAX:
                return None
            more = message.get("more_body", False)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def watch(self) -> None:
        """Begin to look out for a hang-up. Only after the body was read."""
        if self._watch is None:
            self._watch = asyncio.ensure_future(self._until_left())

    @property
    def is_left(self) -> bool:
        """The client has hung up, as far as it was noticed."""
        return self._watch is not None and self._watch.done()

    async def wait(self, wait_ms: float) -> bool:
        """Let time pass. True as soon as the client has hung up."""
        if wait_ms <= 0:
            return self.is_left
        self.watch()
        assert self._watch is not None
        done, _ = await asyncio.wait((self._watch,), timeout=wait_ms / 1000)
        return bool(done)

    async def head(self, status: int, headers: RawHeaders) -> None:
        """Status line and headers."""
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def part(self, data: bytes) -> None:
        """Some of the body."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        """The last of the body."""
        await self._send({"type": "http.response.body", "body": data, "more_body": False})

    async def document(self, status: int, headers: RawHeaders, data: bytes) -> None:
        """A whole answer."""
        await self.head(status, [*headers, (b"content-length", str(len(data)).encode())])
        await self.end(data)

    async def reset(self) -> None:
        """Reset the TCP connection, after what was sent is on its way."""
        assert self._reset is not None, "the server gave no way to reset a connection"
        self.watch()
        await asyncio.sleep(_FLUSH_S)
        self._reset()
        await self.wait(1_000)

    async def _until_left(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
