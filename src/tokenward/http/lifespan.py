"""An app's beginning and end (ASGI lifespan), so that its own errors reach whoever starts it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


@asynccontextmanager
async def lifespan(app: App, *, stop_wait_s: float) -> AsyncIterator[None]:
    """Started inside, stopped after. What the app raises at either end is raised here.

    Not uvicorn's: that one logs a start-up error and exits the process. An app that does not stop
    within `stop_wait_s` is cancelled and TimeoutError raised.
    """
    asked: asyncio.Queue[Message] = asyncio.Queue()
    told: asyncio.Queue[Message] = asyncio.Queue()
    running = asyncio.ensure_future(
        app({"type": "lifespan", "asgi": {"version": "3.0"}}, asked.get, told.put)
    )
    try:
        await _ask(running, asked, told, "lifespan.startup")
        try:
            yield
        finally:
            async with asyncio.timeout(stop_wait_s):
                await _ask(running, asked, told, "lifespan.shutdown")
                await running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _ask(
    running: "asyncio.Future[None]",
    asked: "asyncio.Queue[Message]",
    told: "asyncio.Queue[Message]",
    what: str,
) -> None:
    asked.put_nowait({"type": what})
    answer = asyncio.ensure_future(told.get())
    try:
        await asyncio.wait((running, answer), return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            assert answer.result()["type"] == what + ".complete", "an app raises what went wrong"
        else:
            running.result()
            raise AssertionError(f"the app returned without answering {what}")
    finally:
        answer.cancel()
