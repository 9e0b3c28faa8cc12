"""The one ASGI app the server runs: which part of the guard does a request belong to?"""

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from tokenward.http.gateway import Gateway, Receive, Scope, Send
from tokenward.http.metrics import Metrics
from tokenward.http.oauth.door import OauthDoor
from tokenward.kernel.errors import StoreError

App = Callable[[Scope, Receive, Send], Awaitable[None]]
JSON: Final = b"application/json"


class Door:
    """`/healthz`, `/readyz`, `/metrics`, `/admin/v1/…`, `/oauth/…` and its documents under
    `/.well-known/`; everything else is the gateway's."""

    def __init__(
        self,
        gateway: Gateway,
        oauth: OauthDoor,
        admin: App,
        metrics: Metrics,
        *,
        is_ready: Callable[[], str],
        start: Callable[[], Awaitable[None]],
        stop: Callable[[], Awaitable[None]],
    ) -> None:
        self._gateway = gateway
        self._oauth = oauth
        self._admin = admin
        self._metrics = metrics
        self._is_ready = is_ready
        self._start = start
        self._stop = stop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI 3: `http` and `lifespan`; a websocket is closed."""
        if scope["type"] == "http":
            path: str = scope["raw_path"].decode("ascii")  # decoded, /%61dmin/ would be a door too
            if path.startswith("/admin/"):
                await self._admin(scope, receive, send)
            elif self._oauth.owns(path):
                await self._oauth(scope, receive, send)
            elif path in ("/healthz", "/readyz", "/metrics") and scope["method"] in ("GET", "HEAD"):
                await self._operations(path, send)
            else:
                await self._gateway(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1003})

    async def _operations(self, path: str, send: Send) -> None:
        if path == "/metrics":
            try:
                text = await self._metrics.text()
            except StoreError as fault:
                await _answer(send, 503, b"text/plain", f"{fault}\n".encode())
                return
            await _answer(send, 200, b"text/plain; version=0.0.4", text)
            return
        why = "" if path == "/healthz" else self._is_ready()
        body = msgspec.json.encode({"ok": not why, "why": why} if why else {"ok": True})
        await _answer(send, 503 if why else 200, JSON, body)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await self._start()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._stop()
        await send({"type": "lifespan.shutdown.complete"})


async def _answer(send: Send, status: int, content_type: bytes, body: bytes) -> None:
    headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
