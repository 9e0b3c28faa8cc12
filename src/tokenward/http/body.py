"""A request's body, whole, within its limits."""

import asyncio
from typing import Final

from tokenward.http.exchange import WHOLE_BODY
from tokenward.http.lifespan import Message, Receive
from tokenward.kernel.refusals import Refusal

CALLER_GONE: Final = Refusal(
    "request:abandoned", 499, "The caller hung up before its request was complete."
)


TURNS: Final = 2
"""Of the loop: in the first one the socket is read, in the second one others have heard of it."""


async def has_come(scope: Message) -> bool:
    """Is the whole body here, and small? Many callers write it right behind its head, so it is
    given the time in which what is in the socket is read, and no more."""
    for _ in range(TURNS):
        if WHOLE_BODY in scope.get("extensions", ()):
            return True
        await asyncio.sleep(0)
    return WHOLE_BODY in scope.get("extensions", ())


async def read_body(
    receive: Receive,
    content_length: int | None,
    whole_body: bytes | None = None,
    *,
    limit_bytes: int,
    timeout_s: float,
) -> bytes | Refusal:
    """The body, or why not: `request:too_large` (413), `request:timeout` (408), or `CALLER_GONE`.

    `content_length` is what the head said, checked by the server; `whole_body` is there already if
    it came with the head, as most do, and then nothing is waited for. A body that says it is too
    large is refused before a byte of it is asked for (so `Expect: 100-continue` spares the
    sending); a chunked one as soon as it has passed the limit.
    """
    if content_length is not None and content_length > limit_bytes:
        return _too_large(limit_bytes)
    if whole_body is not None:
        return whole_body if len(whole_body) <= limit_bytes else _too_large(limit_bytes)
    try:
        async with asyncio.timeout(timeout_s):
            message = await receive()
            pieces = bytearray()
            while message["type"] == "http.request":
                pieces += message.get("body", b"")
                if len(pieces) > limit_bytes:
                    return _too_large(limit_bytes)
                if not message.get("more_body", False):
                    return bytes(pieces)
                message = await receive()
            return CALLER_GONE
    except TimeoutError:
        return Refusal(
            "request:timeout",
            408,
            f"The request's body did not arrive within {timeout_s:g} s. Nothing was sent to a "
            "provider.",
            should_retry=True,
        )


def _too_large(limit_bytes: int) -> Refusal:
    return Refusal(
        "request:too_large",
        413,
        f"The request's body is larger than {limit_bytes} bytes, the most this guard takes. Send "
        "less, or raise server.max_body_mb.",
    )
