"""A provider that keeps what it is asked for, and remembers every request: for what the stand-in
does not play (stored objects, responses in the background)."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USAGE = {"input_tokens": 10, "output_tokens": 5, "prompt_tokens": 10, "completion_tokens": 5}
DONE = {"object": "response", "status": "completed", "model": "gpt-5-mini", "usage": USAGE}
QUEUED = {**DONE, "status": "queued", "usage": None}


@dataclass(frozen=True)
class Seen:
    """One request, as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Keeper:
    """Where it is, what it saw, and the events that its next stream is made of."""

    base_url: str
    seen: list[Seen] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)

    def take(self) -> list[tuple[str, str]]:
        """What it was asked since the last time: method and target."""
        asked = [(each.method, each.target) for each in self.seen]
        self.seen.clear()
        return asked


@contextmanager
def running_keeper() -> Iterator[Keeper]:
    """On a free port, until the context ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Nothing: tests show what they need."""

        def do_GET(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = self.rfile.read(length)
            headers = {name.lower(): value for name, value in self.headers.items()}
            keeper.seen.append(Seen(self.command, self.path, headers, body))
            asked = json.loads(body) if body else {}
            if asked.get("stream"):
                lines = [f"data: {json.dumps(event)}\n\n" for event in keeper.events]
                self.send("text/event-stream", "".join(lines).encode())
                return
            told = QUEUED if asked.get("background") else DONE
            self.send("application/json", json.dumps(told).encode())

        def send(self, kind: str, body: bytes) -> None:
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.do_GET()

        def do_DELETE(self) -> None:
            self.do_GET()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    keeper = Keeper(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield keeper
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
