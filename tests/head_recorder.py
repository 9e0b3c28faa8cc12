"""A server that keeps each request as it came, head and body, and answers what its dialect expects.

Raw on purpose: what clients are told apart by (order, case, blanks) is what servers throw away.
"""

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tokenward.kernel.signals import Client
from tokenward.signals import read_client

HEAD_BYTES_MAX = 64 * 1024
WAIT_S = 20


@dataclass(frozen=True)
class Recorded:
    """One request, its names in wire case."""

    method: str
    path: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def client(self, ja4: str = "", *, is_forwarded: bool = False) -> Client:
        """What the guard reads of it, perhaps from a trusted proxy."""
        lower = tuple((name.lower(), value) for name, value in self.headers)
        wire = tuple(name for name, _ in self.headers)
        return read_client(lower, wire, self.body, ja4, is_forwarded=is_forwarded)


@dataclass
class HeadRecorder:
    """What was asked so far, and where."""

    url: str
    seen: list[Recorded] = field(default_factory=list)

    def take(self, count: int) -> list[Recorded]:
        """The requests since the last time, of which there must be so many."""
        seen, self.seen = self.seen, []
        assert len(seen) == count, [(each.method, each.path) for each in seen]
        return seen


@contextmanager
def head_recorder() -> Iterator[HeadRecorder]:
    """A recorder on loopback."""
    recorder = HeadRecorder("")

    class _Door(socketserver.StreamRequestHandler):
        timeout = WAIT_S

        def handle(self) -> None:
            while (request := _read(self.rfile)) is not None:
                recorder.seen.append(request)
                self.wfile.write(_answer(request))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Door) as server:
        server.daemon_threads = True
        server.block_on_close = False
        recorder.url = f"http://127.0.0.1:{server.server_address[1]}"
        running = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        running.start()
        try:
            yield recorder
        finally:
            server.shutdown()
            running.join(WAIT_S)


def _read(wire: Any) -> Recorded | None:
    try:
        line = wire.readline(HEAD_BYTES_MAX)
        if not line.strip():
            return None
        method, path, _ = line.decode("ascii").split(" ", 2)
        headers = []
        while (line := wire.readline(HEAD_BYTES_MAX).rstrip(b"\r\n")) != b"":
            name, _, value = line.partition(b":")
            headers.append((name, value.strip()))
    except (ConnectionError, TimeoutError):
        return None
    return Recorded(method, path, tuple(headers), _body(wire, headers))


def _body(wire: Any, headers: list[tuple[bytes, bytes]]) -> bytes:
    lower = {name.lower(): value for name, value in headers}
    if b"chunked" not in lower.get(b"transfer-encoding", b""):
        body: bytes = wire.read(int(lower.get(b"content-length", b"0")))
        return body
    parts = []
    while size := int(wire.readline().split(b";")[0], 16):
        parts.append(wire.read(size))
        wire.readline()
    wire.readline()
    return b"".join(parts)


def _answer(request: Recorded) -> bytes:
    asked = json.loads(request.body) if request.body.startswith(b"{") else {}
    if asked.get("stream"):
        kind, text = "text/event-stream", _stream(request)
    else:
        kind, text = "application/json", json.dumps(_whole(request))
    body = text.encode("utf-8")
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode("ascii") + body


def _whole(request: Recorded) -> dict[str, Any]:
    if request.method == "GET":
        return {"object": "list", "data": [], "has_more": False, "models": []}
    if "generateContent" in request.path:
        part = {"content": {"role": "model", "parts": [{"text": "hi"}]}, "finishReason": "STOP"}
        return {"candidates": [part], "usageMetadata": {"totalTokenCount": 2}}
    if request.path.endswith("/messages"):
        return {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": [{"type": "text", "text": "hi"}],
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 1, "output_tokens": 1},
        }
    choice = {"index": 0, "finish_reason": "stop"}
    message = {"role": "assistant", "content": "hi"}
    return {
        "id": "c_1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{**choice, "message": message}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }


def _stream(request: Recorded) -> str:
    if request.path.endswith("/messages"):
        message = {**_whole(request), "content": []}
        events = (
            {"type": "message_start", "message": message},
            {"type": "message_stop"},
        )
        return "".join(f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in events)
    choice = {"index": 0, "delta": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    chunk = {"id": "c_1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return f"data: {json.dumps({**chunk, 'choices': [choice]})}\n\ndata: [DONE]\n\n"
