"""An impatient caller: makes calls in all three dialects, leaves in mid-stream, and says exactly
what it was told. A body that breaks off is never taken for whole, and nothing is repeated but what
the guard refused because the disk was late, as that of a machine full of tests can be."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from guard import GuardProcess

CALL_LIMIT_S = 60.0
NOT_NOW = ("store:unavailable", "key:stale_view")
NOT_NOW_S = 0.1
IDLE_S = 2.0
"""Before the other end could close a connection that is not used."""


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


SHAPES = {
    "openai stream": chat(),
    "anthropic stream": claude(),
    "gemini stream": gemini(),
    "gemini array": gemini(verb="streamGenerateContent"),
    "openai document": chat(stream=False),
    "anthropic document": claude(stream=False),
    "gemini document": gemini(verb="generateContent"),
}
"""Every way an answer comes."""


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
    def subject(self) -> str:
        """Whose cap it was that refused."""
        details = self.error.get("details")
        facts = details[0]["metadata"] if details else self.error
        return str(facts["subject"])

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

    def __init__(self, base_url: str, session: aiohttp.ClientSession, tries_again: bool) -> None:
        self.base_url = base_url
        self._session = session
        self._tries_again = tries_again

    async def call(
        self,
        key: str,
        shape: Shape,
        script: str = "",
        *,
        leave_at: int | None = None,
        leave_when: Awaitable[object] | None = None,
        headers: dict[str, str] | None = None,
        on_piece: Callable[[], None] = lambda: None,
    ) -> Told:
        """One call. Hangs up when `leave_at` pieces came, or when `leave_when` is over, wherever
        it is then.

        `script` goes into `x-standin`; `headers` are added; `on_piece` hears of every piece of an
        answer that is no refusal.
        """
        given = {**({"x-standin": script} if script else {}), **(headers or {})}
        until_s = time.monotonic() + CALL_LIMIT_S
        while True:
            told = Told(on_piece=on_piece)
            await self._try(told, shape, shape.headers(key, given), leave_at, leave_when)
            is_late = self._tries_again and told.status == 503 and told.code in NOT_NOW
            if not is_late or time.monotonic() > until_s:
                return told
            await asyncio.sleep(NOT_NOW_S)

    async def _try(
        self,
        told: Told,
        shape: Shape,
        headers: dict[str, str],
        leave_at: int | None,
        leave_when: Awaitable[object] | None,
    ) -> None:
        sending = asyncio.ensure_future(self._exchange(told, shape, headers, leave_at))
        waits: list[asyncio.Future[Any]] = [sending]
        if leave_when is not None:
            waits.append(asyncio.ensure_future(leave_when))
        try:
            await asyncio.wait(waits, timeout=CALL_LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                assert waits[-1].done(), f"no end after {CALL_LIMIT_S} s: {told}"
                await waits[-1]
                told.left = True
        finally:
            for each in waits:
                each.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        if not sending.cancelled():
            with suppress(aiohttp.ClientError, ConnectionError):
                sending.result()  # else `status` and `is_whole` say it

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
                if told.status < 400:
                    told.on_piece()
            told.left = True
            answer.close()


@asynccontextmanager
async def calling(base_url: str, *, tries_again: bool = True) -> AsyncIterator[Caller]:
    """A caller with a connection pool of its own; without `tries_again` it repeats nothing."""
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_S)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield Caller(base_url, session, tries_again)


async def admin(guard: GuardProcess, method: str, path: str, **body: Any) -> Any:
    """One request to the guard's admin API; its value. Fails the test if it is refused for good."""
    until_s = time.monotonic() + CALL_LIMIT_S
    async with aiohttp.ClientSession() as session:
        while True:
            asked = session.request(
                method,
                f"{guard.base_url}/admin/v1{path}",
                json=body if method in ("POST", "PUT") else None,
                headers={"authorization": f"Bearer {guard.admin_token}"},
            )
            async with asked as answer:
                value = await answer.json()
            if answer.status < 300:
                return value
            assert value["error"]["code"] in NOT_NOW, value
            assert time.monotonic() < until_s, value
            await asyncio.sleep(NOT_NOW_S)


async def new_key(guard: GuardProcess, *caps: str, **wishes: Any) -> tuple[str, str]:
    """A new key of project `tests` unless wished otherwise: its id and its text."""
    made = await admin(guard, "POST", "/keys", **{"project": "tests", "caps": caps, **wishes})
    return made["id"], made["key"]


async def cap_of(guard: GuardProcess, subject: str) -> dict[str, Any]:
    """The one cap of a subject, as enforced now."""
    (cap,) = await admin(guard, "GET", f"/caps?subject={subject}")
    return dict(cap)
