"""The provider: answers in OpenAI's dialect, has moods, and keeps a bill of its own.

Its prices and its sums are written here once more, in other units, so that a slip in ours shows.
It bills within what it documents: input at most the text it got, output at most the limit it was
told; errors cost nothing; what it generated before somebody hung up costs. Only `overbills` breaks
that, and then says so in its usage.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from sim.history import History
from sim.loop import Process, SimLoop, current_process
from sim.plan import Plan
from tokenward.kernel.errors import BrokenError, UnsentError, WithheldError
from tokenward.pipeline.interfaces import LastLook
from tokenward.providers.interfaces import Headers

MODEL = "sim-1"
INPUT_NUSD, OUTPUT_NUSD = 2_000, 8_000
"""A token. $2 and $8 a million."""
MOODS = ("rejects", "breaks", "dawdles", "no_usage", "overbills")
OUTPUT_MAX = 60
"""The model's own limit, where the caller sets none."""


@dataclass(slots=True)
class Work:
    """One request as the provider has it."""

    request_id: str
    sender: Process
    stream: bool
    input_tokens: int
    output_tokens: int
    mood: str
    pieces: "deque[bytes | None]" = field(default_factory=deque)
    """What is on its way back; None: the connection broke."""
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    is_let_go: bool = False

    def put(self, piece: bytes | None) -> None:
        """Send a piece; b"" is the end."""
        self.pieces.append(piece)
        self.arrived.set()

    @property
    def is_abandoned(self) -> bool:
        """Nobody listens any more."""
        return self.is_let_go or self.sender.is_dead


class SimProvider:
    """All gateways send to it. `bill` in nano-dollars by request id."""

    def __init__(
        self, loop: SimLoop, plan: Plan, history: History, is_held: Callable[[str], bool]
    ) -> None:
        """`is_held`: whether a request's hold is on the disk, asked at its first byte."""
        self.bill: dict[str, int] = {}
        self.served: set[str] = set()
        self.is_calm = False
        """After the healing it has no moods."""
        self.process = Process(loop, "provider")
        self._loop = loop
        self._plan = plan
        self._rng: Random = plan.rng("provider")
        self._history = history
        self._is_held = is_held

    async def send(
        self, method: str, url: str, headers: Headers, body: bytes, last_look: LastLook
    ) -> "SimAnswer":
        """Fulfils `pipeline.interfaces.Upstream`."""
        rng = self._rng
        await asyncio.sleep(rng.choice((0.0005, 0.003, 0.03)))
        if self._is_in_mood("dawdles"):  # a connection that takes its time
            await asyncio.sleep(rng.uniform(0.2, 2.0))
        if self._is_in_mood("unreachable"):
            raise UnsentError("connection refused")
        withheld = last_look()
        if withheld is not None:
            raise WithheldError(withheld)
        request_id = dict(headers)[b"x-request-id"].decode()
        where, is_held = current_process().name, self._is_held(request_id)
        self._note(where, "forwarded", request=request_id, held=is_held)
        work = self._take_on(request_id, json.loads(body))
        self.process.spawn(self._serve(work))
        while not work.pieces:
            work.arrived.clear()
            await work.arrived.wait()
        if work.pieces[0] is None:
            raise BrokenError("the connection broke before an answer came")
        kind = (
            b"text/event-stream" if work.stream and work.mood != "rejects" else b"application/json"
        )
        status = 503 if work.mood == "rejects" else 200
        return SimAnswer(work, status, ((b"content-type", kind),))

    def _take_on(self, request_id: str, document: Any) -> Work:
        rng = self._rng
        limit = document.get("max_completion_tokens") or document.get("max_tokens") or OUTPUT_MAX
        text = document["messages"][0]["content"]
        mood = next((mood for mood in MOODS if self._is_in_mood(mood)), "")
        assert request_id not in self.served, f"{request_id} was forwarded twice"
        self.served.add(request_id)
        output = rng.randint(0, limit) if mood != "overbills" else 3 * limit + rng.randint(1, 500)
        return Work(
            request_id,
            current_process(),
            bool(document.get("stream")),
            rng.randint(1, len(text)),
            output,
            mood,
        )

    def _is_in_mood(self, mood: str) -> bool:
        drawn = self._rng.random() < 0.15
        if self.is_calm or not drawn or not self._plan.has(mood):
            return False
        self._history.fire(mood)
        return True

    async def _serve(self, work: Work) -> None:
        rng, made = self._rng, 0
        await asyncio.sleep(rng.uniform(0.01, 0.3))
        if work.mood == "dawdles":
            await asyncio.sleep(rng.uniform(1.0, 9.0))
        if work.mood == "rejects":
            self._send_all(work, b'{"error": {"message": "overloaded", "type": "server_error"}}')
            return
        breaks_at = rng.randint(0, 6) if work.mood == "breaks" else -1
        if not work.stream:
            self._charge(work, work.output_tokens)
            if breaks_at >= 0:
                if breaks_at % 2:
                    work.put(_document(work, "no_usage")[:40])
                work.put(None)
            else:
                self._send_all(work, _document(work, work.mood))
            return
        async for number, piece, made in self._generate(work):
            if number == breaks_at or work.is_abandoned:
                self._charge(work, made)
                work.put(None)
                return
            work.put(piece)
        self._charge(work, work.output_tokens)
        work.put(b"")

    async def _generate(self, work: Work) -> AsyncIterator[tuple[int, bytes, int]]:
        """Numbered pieces of a stream, its usage and end included, and the tokens made so far."""
        steps = self._rng.randint(1, 6)
        pause_s = self._rng.choice((0.0, 0.02, 0.3, 1.0))
        for step in range(steps):
            await asyncio.sleep(pause_s)
            chunk = {
                "id": "x",
                "model": MODEL,
                "choices": [{"index": 0, "delta": {"content": "w"}}],
            }
            yield step, _event(chunk), work.output_tokens * (step + 1) // steps
        if work.mood != "no_usage":
            usage = {"id": "x", "model": MODEL, "choices": [], "usage": _usage(work)}
            yield steps, _event(usage), work.output_tokens
        yield steps + 1, b"data: [DONE]\n\n", work.output_tokens

    def _send_all(self, work: Work, body: bytes) -> None:
        half = len(body) // 2
        for piece in (body[:half], body[half:], b""):
            work.put(piece)

    def _charge(self, work: Work, output_tokens: int) -> None:
        nusd = work.input_tokens * INPUT_NUSD + output_tokens * OUTPUT_NUSD
        self.bill[work.request_id] = nusd
        self._note("provider", "billed", request=work.request_id, nusd=nusd, mood=work.mood)

    def _note(self, where: str, what: str, **facts: Any) -> None:
        self._history.note(self._loop.time(), where, what, **facts)


class SimAnswer:
    """Fulfils `pipeline.interfaces.Answer`."""

    def __init__(self, work: Work, status: int, headers: Headers) -> None:
        self.status = status
        self.headers = headers
        self._work = work

    async def read(self) -> bytes:
        """The next piece; b"" at the end."""
        work = self._work
        while not work.pieces:
            work.arrived.clear()
            await work.arrived.wait()
        piece = work.pieces[0]
        if piece is None:
            raise BrokenError("the answer broke off")
        if piece:
            work.pieces.popleft()
        return piece

    async def close(self) -> None:
        """Let go."""
        self._work.is_let_go = True


def _usage(work: Work) -> dict[str, int]:
    total = work.input_tokens + work.output_tokens
    return {
        "prompt_tokens": work.input_tokens,
        "completion_tokens": work.output_tokens,
        "total_tokens": total,
    }


def _document(work: Work, mood: str) -> bytes:
    message = {"role": "assistant", "content": "words"}
    document: dict[str, Any] = {
        "id": "x",
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
    }
    if mood != "no_usage":
        document["usage"] = _usage(work)
    return json.dumps(document).encode()


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"
