"""Honest calls with the official SDKs, and a thief who found the key in a repository."""

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from tokenward.client.keeping import FILE_VARIABLE
from tokenward.lab.demo.world import DemoError

THIEVES: Final = 8
"""Calls the thief keeps running at once."""
DEAR_MODEL: Final = "claude-opus-5-5"
DEAR_PROMPT: Final = (
    "Write the longest essay you can. [[standin output_tokens=4000 chunks=20 gap_ms=5]]"
)
STOPS: Final = ("cap:reached", "proof:missing", "stepup:required", "key:frozen")
"""Refusals that end a theft."""
GIVES_UP_AFTER: Final = 16
"""Refusals in a row after which the thief leaves the key alone."""


@dataclass(slots=True)
class Loot:
    """What the thief got. `refusals` counts codes; `stopped_s` is when the first came."""

    calls: int = 0
    refusals: dict[str, int] = field(default_factory=dict)
    first_refusal: str = ""
    stopped_s: float | None = None
    seconds: float = 0.0


def honest_calls(guard_url: str, key: str) -> list[tuple[str, str]]:
    """A call with each official SDK, plain and streamed: (what was called, what came back)."""
    try:
        import anthropic
        import openai
        from google import genai
    except ImportError as error:
        raise DemoError(
            f"the demonstration drives the official SDKs, and {error.name} is not installed: "
            "run it with `make demo`, or pip install openai anthropic google-genai"
        ) from None
    seen: list[tuple[str, str]] = []
    with openai.OpenAI(api_key=key, base_url=f"{guard_url}/v1") as client:
        answer = client.chat.completions.create(
            model="gpt-5-mini", messages=[{"role": "user", "content": "What is a token?"}]
        )
        seen.append(("openai, chat.completions", _words(answer.choices[0].message.content)))
        stream = client.chat.completions.create(
            model="gpt-5-mini",
            messages=[{"role": "user", "content": "And streamed?"}],
            stream=True,
        )
        pieces = [chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices]
        seen.append((f"openai, streamed in {len(pieces)} chunks", _words("".join(pieces))))
    with anthropic.Anthropic(api_key=key, base_url=guard_url) as claude:
        message = claude.messages.create(
            model="claude-haiku-4-5",
            max_tokens=64,
            messages=[{"role": "user", "content": "And here?"}],
        )
        seen.append(("anthropic, messages", _words(getattr(message.content[0], "text", ""))))
    gemini = genai.Client(api_key=key, http_options={"base_url": guard_url})
    reply = gemini.models.generate_content(model="gemini-2.5-flash", contents="And here?")
    seen.append(("google-genai, generate_content", _words(reply.text)))
    return seen


def bound_call(guard_url: str, code: str, folder: Path) -> tuple[str, str]:
    """Enrol as the holder of a bound key and call with an official SDK: as `honest_calls`, and
    the text of the key, which a thief may well copy.

    The private key is kept in `folder`, never in the keystore of whoever runs the demonstration.
    """
    import openai

    from tokenward import client

    before = os.environ.get(FILE_VARIABLE)
    os.environ[FILE_VARIABLE] = str(folder / "holder.json")
    try:
        holder = client.enrol(guard_url, code)
        signed = openai.DefaultHttpxClient(auth=client.auth())
    finally:
        os.environ.pop(FILE_VARIABLE)
        if before is not None:
            os.environ[FILE_VARIABLE] = before
    with openai.OpenAI(
        api_key="in-a-file", base_url=f"{guard_url}/v1", http_client=signed
    ) as caller:
        answer = caller.chat.completions.create(
            model="gpt-5-mini", messages=[{"role": "user", "content": "Only I can ask this."}]
        )
    return _words(answer.choices[0].message.content), holder.key.reveal()


async def drain(url: str, key: str, seconds: float, tell: Callable[[int], None]) -> Loot:
    """Spend the key as fast as it goes: the dearest model, long answers, many at once.

    `url` is the guard's, or the provider's own for the unguarded half. Ends after `seconds`, or
    when the thief meets nothing but refusals.
    """
    import aiohttp

    loot, began_s = Loot(), time.monotonic()
    in_a_row = 0
    body = {
        "model": DEAR_MODEL,
        "max_tokens": 4000,
        "messages": [{"role": "user", "content": DEAR_PROMPT}],
    }
    headers = {"x-api-key": key, "anthropic-version": "2023-06-01"}

    async def steal(client: aiohttp.ClientSession) -> None:
        nonlocal in_a_row
        while time.monotonic() < began_s + seconds and in_a_row < GIVES_UP_AFTER:
            async with client.post(f"{url}/v1/messages", json=body, headers=headers) as answer:
                said: Any = msgspec.json.decode(await answer.read())
            if answer.status == 200:
                loot.calls += 1
                in_a_row = 0
                tell(loot.calls)
                continue
            in_a_row += 1
            _note(loot, said["error"], time.monotonic() - began_s)
            await asyncio.sleep(0.05)

    async with aiohttp.ClientSession() as client:
        await asyncio.gather(*(steal(client) for _ in range(THIEVES)))
    loot.seconds = time.monotonic() - began_s
    return loot


def _note(loot: Loot, error: dict[str, Any], at_s: float) -> None:
    code = str(error.get("code", error.get("type", "?")))
    loot.refusals[code] = loot.refusals.get(code, 0) + 1
    if code in STOPS and not loot.first_refusal:
        loot.first_refusal, loot.stopped_s = str(error["message"]), at_s


def _words(text: str | None) -> str:
    words = (text or "").split()
    return " ".join(words[:6]) + (" …" if len(words) > 6 else "")
