"""Callers that cost little: raw HTTP/1.1 over kept connections, one request at a time on each.

`Line` is one blocking connection, for latency without an event loop of our own in it. `Pool` is
many at once, for load. Both count an answer only when it is whole and has status 200.
"""

import asyncio
import json
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import cycle, repeat
from typing import Final
from urllib.parse import urlsplit

READ_BYTES: Final = 256 * 1024
_OK: Final = b"HTTP/1.1 200 "
_LAST_CHUNK: Final = b"0\r\n\r\n"


def request_bytes(
    base_url: str, key: str, *, text: str = "hi", stream: bool = False, model: str = "gpt-5-mini"
) -> bytes:
    """A chat completion as OpenAI's SDK would ask for it; no output limit where nothing is said."""
    body: dict[str, object] = {
        "model": model,
        "messages": [{"role": "user", "content": text}],
        "max_completion_tokens": 100,
    }
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    data = json.dumps(body, separators=(",", ":")).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {urlsplit(base_url).netloc}\r\n"
        f"authorization: Bearer {key}\r\naccept: application/json\r\n"
        "accept-encoding: gzip, deflate\r\ncontent-type: application/json\r\n"
        "user-agent: OpenAI/Python 2.8.0\r\nx-stainless-lang: python\r\n"
        "x-stainless-package-version: 2.8.0\r\nx-stainless-os: Linux\r\n"
        "x-stainless-arch: x64\r\nx-stainless-runtime: CPython\r\n"
        "x-stainless-runtime-version: 3.11.2\r\nx-stainless-async: async:asyncio\r\n"
        f"x-stainless-retry-count: 0\r\ncontent-length: {len(data)}\r\n\r\n"
    )
    return head.encode("ascii") + data


def is_whole(answer: bytes | bytearray, *, is_any_fine: bool = False) -> bool:
    """Has the answer come to its framed end? AssertionError unless its status is 200, or any is
    fine."""
    head_end = answer.find(b"\r\n\r\n")
    if head_end < 0:
        return False
    assert is_any_fine or answer.startswith(_OK), bytes(answer[:600])
    head = bytes(answer[:head_end]).lower()
    _, is_sized, rest = head.partition(b"\r\ncontent-length:")
    if is_sized:
        return len(answer) >= head_end + 4 + int(rest.partition(b"\r\n")[0])
    return answer.endswith(_LAST_CHUNK)


class Line:
    """One blocking connection. `request` is sent each time, or made before each clock starts."""

    def __init__(self, base_url: str, request: bytes | Callable[[], bytes]) -> None:
        at = urlsplit(base_url)
        self._request = request
        self._socket = socket.create_connection((at.hostname, at.port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def call_s(self) -> float:
        """Seconds from the first byte out to the last byte in."""
        return self.arrivals_s()[-1]

    def arrivals_s(self) -> list[float]:
        """Seconds from the first byte out to each piece of the answer."""
        answer, arrivals = bytearray(), []
        request = self._request if isinstance(self._request, bytes) else self._request()
        began_s = time.perf_counter()
        self._socket.sendall(request)
        while not is_whole(answer):
            piece = self._socket.recv(READ_BYTES)
            assert piece, f"cut: {bytes(answer[:600])!r}"
            arrivals.append(time.perf_counter() - began_s)
            answer += piece
        return arrivals

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


class _Caller(asyncio.Protocol):
    """One connection of a pool."""

    def __init__(
        self,
        on_answer: Callable[["_Caller", list[float]], None],
        on_fault: Callable[[str], None],
        on_lost: Callable[["_Caller", str], None],
        is_any_fine: bool,
    ) -> None:
        self._is_any_fine = is_any_fine
        self.was_refused = False
        self._on_answer = on_answer
        self._on_fault = on_fault
        self._on_lost = on_lost
        self._answer = bytearray()
        self._arrivals: list[float] = []
        self.due_s = 0.0
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._arrivals.append(time.perf_counter() - self.due_s)
        self._answer += data
        try:
            is_over = is_whole(self._answer, is_any_fine=self._is_any_fine)
        except AssertionError as refused:
            self._on_fault(str(refused))
            return
        if is_over:
            self.was_refused = not self._answer.startswith(_OK)
            arrivals, self._arrivals = self._arrivals, []
            self._answer.clear()
            self._on_answer(self, arrivals)

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_lost(self, f"a connection was closed: {exc}")


class Pool:
    """Many connections to one server, all sending the same request, or what `feed` gave them. Made
    on a running loop; any answer but a whole one of status 200 fails the measurement, unless
    `counts_refusals`: then they are in `refused`."""

    def __init__(self, base_url: str, request: bytes, *, counts_refusals: bool = False) -> None:
        self._counts_refusals = counts_refusals
        self.refused = 0
        self._places = cycle([urlsplit(base_url)])
        self._requests: Iterator[bytes] = repeat(request)
        self._idle: deque[_Caller] = deque()
        self._due: deque[float] = deque()
        self._left = self._unanswered = self._lost = 0
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.arrivals_s: list[list[float]] = []
        """Of each answer, seconds from when its call was due to each of its pieces."""

    async def open(self, connections: int, base_urls: Sequence[str] = ()) -> None:
        """Connect; to several servers in turn, where they are named."""
        if base_urls:
            self._places = cycle([urlsplit(url) for url in base_urls])
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            at = next(self._places)
            _, caller = await loop.create_connection(self._caller, at.hostname, at.port)
            self._idle.append(caller)

    def feed(self, requests: Iterable[bytes]) -> None:
        """Send these from now on, each once."""
        self._requests = iter(requests)

    async def saturate(self, calls: int) -> float:
        """Every connection calls again as soon as it has its answer; seconds it took."""
        await self._begin(calls)
        began_s = time.perf_counter()
        self._left = calls - len(self._idle)
        assert self._left >= 0, "fewer calls than connections"
        while self._idle:
            self._send(self._idle.popleft(), time.perf_counter())
        await self._done
        return time.perf_counter() - began_s

    async def pace(self, calls_a_s: float, calls: int) -> float:
        """Calls at a fixed rate whatever the answers do (open loop); seconds it took. A call that
        finds no connection free waits, and its wait counts."""
        await self._begin(calls)
        self._left = 0
        began_s = time.perf_counter()
        for number in range(calls):
            due_s = began_s + number / calls_a_s
            while (wait_s := due_s - time.perf_counter()) > 0:
                await asyncio.sleep(wait_s if wait_s > 0.002 else 0)
            if self._idle:
                self._send(self._idle.popleft(), time.perf_counter())
            else:
                self._due.append(due_s)
        await self._done
        return time.perf_counter() - began_s

    def close(self) -> None:
        """Hang up."""
        idle, self._idle = self._idle, deque()
        for caller in idle:
            caller.transport.close()

    async def _begin(self, calls: int) -> None:
        lost, self._lost = self._lost, 0
        await self.open(lost)  # servers close what was not used for some seconds
        self._unanswered = calls
        self.arrivals_s = []
        self._done = asyncio.get_running_loop().create_future()

    def _send(self, caller: _Caller, due_s: float) -> None:
        caller.due_s = due_s
        caller.transport.write(next(self._requests))

    def _caller(self) -> _Caller:
        return _Caller(self._answered, self._fail, self._lose, self._counts_refusals)

    def _answered(self, caller: _Caller, arrivals: list[float]) -> None:
        self.arrivals_s.append(arrivals)
        self.refused += caller.was_refused
        self._unanswered -= 1
        if self._due:
            self._send(caller, self._due.popleft())
        elif self._left:
            self._left -= 1
            self._send(caller, time.perf_counter())
        else:
            self._idle.append(caller)
        if not self._unanswered:
            self._done.set_result(None)

    def _lose(self, caller: _Caller, why: str) -> None:
        if caller in self._idle:
            self._idle.remove(caller)
            self._lost += 1
        else:
            self._fail(why)

    def _fail(self, why: str) -> None:
        if not self._done.done():
            self._done.set_exception(AssertionError(why))
