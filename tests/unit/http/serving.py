"""A real server on loopback around a small app, for the length of a `with`."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import Any

from tokenward.http.lifespan import App, Message, Receive, Send
from tokenward.http.protocol import ConnectionLimits
from tokenward.http.server import Stopping, serve


class Served:
    """Where it listens, how to stop it, and the task that ends when it has stopped."""

    def __init__(self, port: int, stopping: Stopping, task: "asyncio.Task[None]") -> None:
        self.port = port
        self.stopping = stopping
        self.task = task


@contextlib.asynccontextmanager
async def served(
    app: App, *, drain_s: float = 5, tls: ssl.SSLContext | None = None, **limits: Any
) -> AsyncIterator[Served]:
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    stopping = Stopping()
    task = asyncio.create_task(
        serve(
            app,
            "127.0.0.1",
            0,
            drain_s=drain_s,
            limits=ConnectionLimits(**limits),
            on_ready=lambda _, port: ready.set_result(port),
            stopping=stopping,
            tls=tls,
        )
    )
    await asyncio.wait((ready, task), return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        await task
    try:
        yield Served(await ready, stopping, task)
    finally:
        stopping.ask()
        stopping.ask()
        await task


class Echo:
    """Answers each request with its method, path and body; keeps the scopes it saw."""

    def __init__(self) -> None:
        self.scopes: list[Message] = []

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await live(receive, send)
            return
        self.scopes.append(scope)
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            if not message["more_body"]:
                break
        said = b"%s %s %s" % (scope["method"].encode(), scope["raw_path"], body)
        await answer(send, said)


async def live(receive: Receive, send: Send) -> None:
    """The lifespan of an app that has nothing to start or stop."""
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def answer(send: Send, body: bytes, status: int = 200) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
