"""The cheapest provider there can be, so that what is measured is the guard and not the stand-in.

    python -m benchmarks.provider        (prints its port; SIGTERM ends it)

Every POST is answered with a chat completion of 600 bytes. One whose body says `"stream":true`
gets 20 events, 5 ms apart, then the usage and `[DONE]`. One whose prompt says so fails: `REFUSED`
is answered with status 500, of `BROKEN` the connection is closed before there is an answer. Nothing
is checked.
"""

import asyncio
import json
from typing import Final

import uvloop

CHUNKS: Final = 20
GAP_S: Final = 0.005
REFUSED: Final = "Be the benchmark that is refused."
BROKEN: Final = "Be the benchmark that breaks off."
USAGE: Final = {
    "prompt_tokens": 19,
    "completion_tokens": 10,
    "total_tokens": 29,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
}
_NAMED: Final = {"id": "chatcmpl-benchmark", "created": 1_767_225_600, "model": "gpt-5-mini"}


def _document(text: str) -> bytes:
    message = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    answer = {**_NAMED, "object": "chat.completion", "choices": [choice], "usage": USAGE}
    return json.dumps({**answer, "service_tier": "default"}, separators=(",", ":")).encode()


def _event(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    chunk = {**_NAMED, "object": "chat.completion.chunk", "choices": [choice], "usage": None}
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


BODY: Final = _document("x" * (600 - len(_document(""))))
_PLAIN: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: req_provider\r\n"
    b"content-length: %d\r\n\r\n%s" % (len(BODY), BODY)
)
_STREAM_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"x-request-id: req_provider\r\ntransfer-encoding: chunked\r\n\r\n"
)
_WHY: Final = b'{"error":{"message":"as was asked"}}'
_ERROR: Final = (
    b"HTTP/1.1 500 Internal Server Error\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\n\r\n%s" % (len(_WHY), _WHY)
)
_CHUNK: Final = _framed(_event({"content": " benchmark"}))
_END: Final = (
    _framed(_event({}, "stop"))
    + _framed(
        b"data: "
        + json.dumps({**_NAMED, "object": "chat.completion.chunk", "choices": [], "usage": USAGE})
        .encode()
        + b"\n\n"
    )
    + _framed(b"data: [DONE]\n\n")
    + b"0\r\n\r\n"
)  # fmt: skip

_FAILS: Final = {REFUSED.encode(): _ERROR, BROKEN.encode(): b""}


def _says(read: bytearray, head_end: int, words: bytes) -> bool:
    """Whether the prompt begins so; a long one is not searched."""
    return read.find(words, head_end, head_end + 200) >= 0


class Connection(asyncio.Protocol):
    """One connection, one request after the other."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._read = bytearray()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        read = self._read
        read += data
        head_end = read.find(b"\r\n\r\n") + 4
        if head_end < 4:
            return
        said = read[:head_end].lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if len(read) < head_end + int(said or 0):
            return
        is_stream = b'"stream":true' in read
        fails = next((how for words, how in _FAILS.items() if _says(read, head_end, words)), None)
        read.clear()
        if fails is not None:
            self._transport.write(fails) if fails else self._transport.abort()
        elif is_stream:
            self._transport.write(_STREAM_HEAD + _CHUNK)
            self._loop.call_later(GAP_S, self._go_on, CHUNKS - 1, self._loop.time() + GAP_S)
        else:
            self._transport.write(_PLAIN)

    def _go_on(self, left: int, due_s: float) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(_CHUNK if left else _END)
        if left:
            due_s += GAP_S
            self._loop.call_at(due_s, self._go_on, left - 1, due_s)


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve())
