"""An impatient caller: makes calls in all three dialects, leaves in mid-stream, and says exactly
what it was told. Nothing is repeated, and a body that breaks off is never taken for whole."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from guard import GuardProcess

CALL_LIMIT_S = 60.0
PIECE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One way to ask: path, where the key goes, and the body."""

    path: str
    key_header: str
    body: dict[str, Any]

    def headers(self, key: str, more: dict[str, str]) -> dict[str, str]:
        """The key where this dialect puts it, and what the test adds."""
        value = f"Bearer {key}" if self.key_header == "authorization" else key
        return {self.key_header: value, **more}


def chat(*, stream: bool = True, output: int | None = 1000, **more: Any) -> Shape:
    """OpenAI chat completions, gpt-5-mini."""
    limit = {} if output is None else {"max_completion_tokens": output}
    messages = [{"role": "user", "content": "hi"}]
    body = {"model": "gpt-5-mini", "messages": messages, "stream": stream, **limit, **more}
    return Shape(path="/v1/chat/completions", key_header="authorization", body=body)


def claude(*, stream: bool = True, output: int = 1000, **more: Any) -> Shape:
    """Anthropic messages, claude-opus-5-5: two cents for 1,000 tokens of output."""
    messages = [{"role": "user", "content": "hi"}]
    body = {"model": "claude-opus-5-5", "max_tokens": output, "messages": messages, **more}
    return Shape(path="/v1/messages", key_header="x-api-key", body={**body, "stream": stream})


def gemini(*, verb: str = "streamGenerateContent?alt=sse", output: int = 1000) -> Shape:
    """Gemini, gemini-2.5-flash; without `alt=sse` a stream comes as a JSON array."""
    body = {
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "generationConfig": {"maxOutputTokens": output},
    }
    path = f"/v1beta/models/gemini-2.5-flash:{verb}"
    return Shape(path=path, key_header="x-goog-api-key", body=body)


@dataclass(slots=True, kw_only=True)
class Told:
    """What came back. `status` 0: no head came. `is_whole`: the body came to its framed end."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    is_whole: bool = False
    left: bool = False
    """The caller hung up by itself."""
    on_piece: Callable[[], None] = lambda: None
    arrivals: list[tuple[float, int]] = field(default_factory=list)
    """Of each piece of the body: seconds since the call began, and how long the body was then."""

    @property
    def error(self) -> dict[str, Any]:
        """What stands under `error` in a JSON answer; {} if nothing does."""
        try:
            error: dict[str, Any] = json.loads(self.body).get("error", {})
        except (ValueError, AttributeError):
            return {}
        return error

    @property
    def code(self) -> str:
        """The refusal's code; "" if the guard refused nothing."""
        error = self.error
        details = error.get("details")  # Google's envelope has the reason there
        return str(details[0]["reason"] if details else error.get("code") or "")

    @property
    def events(self) -> list[Any]:
        """The `data:` of each server-sent event, decoded where it is JSON."""
        found = []
        for line in self.body.decode().splitlines():
            if line.startswith("data: "):
                text = line.removeprefix("data: ")
                found.append(json.loads(text) if text.startswith("{") else text)
        return found


class Caller:
    """Calls one guard (or, to compare, one provider)."""

    def __init__(self, base_url: str, session: aiohttp.ClientSession) -> None:
        self.base_url = base_url
        self._session = session

    async def call(
        self,
        key: str,
        shape: Shape,
        script: str = "",
        *,
        leave_at: int | None = None,
        leave_s: float | None = None,
        headers: dict[str, str] | None = None,
        on_piece: Callable[[], None] = lambda: None,
    ) -> Told:
        """One call. Hangs up when `leave_at` pieces came, or after `leave_s` wherever it is.

        `script` goes into `x-standin`; `headers` are added; `on_piece` hears of every piece.
        """
        told = Told(on_piece=on_piece)
        given = {**({"x-standin": script} if script else {}), **(headers or {})}
        sending = self._exchange(told, shape, shape.headers(key, given), leave_at)
        try:
            await asyncio.wait_for(sending, CALL_LIMIT_S if leave_s is None else leave_s)
        except TimeoutError:
            assert leave_s is not None, f"no end after {CALL_LIMIT_S} s: {told}"
            told.left = True
        except (aiohttp.ClientError, ConnectionError):
            pass  # `status` and `is_whole` say it
        return told

    async def _exchange(
        self, told: Told, shape: Shape, headers: dict[str, str], leave_at: int | None
    ) -> None:
        began_s = time.monotonic()
        url = self.base_url + shape.path
        async with self._session.post(
            url, json=shape.body, headers=headers, allow_redirects=False
        ) as answer:
            told.status = answer.status
            told.headers = {name.lower(): value for name, value in answer.headers.items()}
            while leave_at is None or len(told.arrivals) < leave_at:
                piece = await answer.content.readany()
                if not piece:
                    told.is_whole = True
                    return
                told.body += piece
                told.arrivals.append((time.monotonic() - began_s, len(told.body)))
                told.on_piece()
            told.left = True
            answer.close()


@asynccontextmanager
async def calling(base_url: str) -> AsyncIterator[Caller]:
    """A caller with a connection pool of its own."""
    connector = aiohttp.TCPConnector(limit=0, force_close=False)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield Caller(base_url, session)


async def admin(guard: GuardProcess, method: str, path: str, **body: Any) -> Any:
    """One request to the guard's admin API; its value. Fails the test if it is refused."""
    async with aiohttp.ClientSession() as session:
        asked = session.request(
            method,
            f"{guard.base_url}/admin/v1{path}",
            json=body if method in ("POST", "PUT") else None,
            headers={"authorization": f"Bearer {guard.admin_token}"},
        )
        async with asked as answer:
            value = await answer.json()
            assert answer.status < 300, value
            return value


async def new_key(guard: GuardProcess, *caps: str, **wishes: Any) -> tuple[str, str]:
    """A new key of project `tests` unless wished otherwise: its id and its text."""
    made = await admin(guard, "POST", "/keys", **{"project": "tests", "caps": caps, **wishes})
    return made["id"], made["key"]


async def cap_of(guard: GuardProcess, subject: str) -> dict[str, Any]:
    """The one cap of a subject, as enforced now."""
    (cap,) = await admin(guard, "GET", f"/caps?subject={subject}")
    return dict(cap)
