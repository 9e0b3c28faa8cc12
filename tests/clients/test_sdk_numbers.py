"""The official SDKs, unmodified, and three counts of every call that agree (M-8)."""

import asyncio
import json
import time
import urllib.request
from typing import Any

import anthropic
import openai
import pytest
from google import genai

from guard import GuardProcess
from standin import StandinProcess

ASK = "Say something [[standin output_tokens=30 cached=4 tag={tag}]]"


def record_of(guard: GuardProcess, key_id: str) -> dict[str, Any]:
    """The one record of this key, as soon as it is written."""
    request = urllib.request.Request(
        f"{guard.base_url}/admin/v1/records?key={key_id}",
        headers={"authorization": f"Bearer {guard.admin_token}"},
    )
    for _ in range(100):
        with urllib.request.urlopen(request, timeout=10) as answer:
            found = json.load(answer)
        if found:
            assert len(found) == 1
            record: dict[str, Any] = found[0]
            return record
        time.sleep(0.05)
    raise AssertionError("no record was written")


def openai_plain(url: str, key: str, tag: str) -> tuple[int, int, int]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key=key) as client:
        answer = client.chat.completions.create(
            model="gpt-5-mini", messages=[{"role": "user", "content": ASK.format(tag=tag)}]
        )
    assert answer.choices[0].message.content
    usage = answer.usage
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    return (
        usage.prompt_tokens,
        usage.prompt_tokens_details.cached_tokens or 0,
        usage.completion_tokens,
    )


def openai_streamed(url: str, key: str, tag: str) -> tuple[int, int, int]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key=key) as client:
        chunks = list(
            client.chat.completions.create(
                model="gpt-5-mini",
                messages=[{"role": "user", "content": ASK.format(tag=tag)}],
                stream=True,
                stream_options={"include_usage": True},
            )
        )
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    return (
        usage.prompt_tokens,
        usage.prompt_tokens_details.cached_tokens or 0,
        usage.completion_tokens,
    )


def openai_responses(url: str, key: str, tag: str) -> tuple[int, int, int]:
    async def call() -> tuple[int, int, int]:
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key) as client:
            answer = await client.responses.create(model="gpt-5-mini", input=ASK.format(tag=tag))
        usage = answer.usage
        assert usage is not None
        cached = usage.input_tokens_details.cached_tokens
        return usage.input_tokens, cached, usage.output_tokens

    return asyncio.run(call())


def anthropic_plain(url: str, key: str, tag: str) -> tuple[int, int, int]:
    with anthropic.Anthropic(base_url=url, api_key=key) as client:
        usage = client.messages.create(
            model="claude-haiku-4-5",
            max_tokens=100,
            messages=[{"role": "user", "content": ASK.format(tag=tag)}],
        ).usage
    cached = usage.cache_read_input_tokens or 0
    return usage.input_tokens + cached, cached, usage.output_tokens


def anthropic_streamed(url: str, key: str, tag: str) -> tuple[int, int, int]:
    async def call() -> tuple[int, int, int]:
        async with (
            anthropic.AsyncAnthropic(base_url=url, api_key=key) as client,
            client.messages.stream(
                model="claude-haiku-4-5",
                max_tokens=100,
                messages=[{"role": "user", "content": ASK.format(tag=tag)}],
            ) as stream,
        ):
            assert await stream.get_final_text()
            usage = (await stream.get_final_message()).usage
        cached = usage.cache_read_input_tokens or 0
        return usage.input_tokens + cached, cached, usage.output_tokens

    return asyncio.run(call())


def gemini_plain(url: str, key: str, tag: str) -> tuple[int, int, int]:
    client = genai.Client(api_key=key, http_options={"base_url": url})
    usage = client.models.generate_content(
        model="gemini-2.5-flash", contents=ASK.format(tag=tag)
    ).usage_metadata
    assert usage is not None
    return (
        usage.prompt_token_count or 0,
        usage.cached_content_token_count or 0,
        usage.candidates_token_count or 0,
    )


def gemini_streamed(url: str, key: str, tag: str) -> tuple[int, int, int]:
    client = genai.Client(api_key=key, http_options={"base_url": url})
    stream = client.models.generate_content_stream(
        model="gemini-2.5-flash", contents=ASK.format(tag=tag)
    )
    usage = list(stream)[-1].usage_metadata
    assert usage is not None
    return (
        usage.prompt_token_count or 0,
        usage.cached_content_token_count or 0,
        usage.candidates_token_count or 0,
    )


CALLS = (
    openai_plain,
    openai_streamed,
    openai_responses,
    anthropic_plain,
    anthropic_streamed,
    gemini_plain,
    gemini_streamed,
)


@pytest.mark.req("M-8")
@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_the_client_the_record_the_cap_and_the_bill_show_the_same_numbers(
    call: Any, guard: GuardProcess, standin: StandinProcess
) -> None:
    key_id, key = guard.key("--cap", "1.00/day")
    tag = f"{call.__name__}-{key_id}"
    seen = call(guard.base_url, key, tag)
    record = record_of(guard, key_id)
    (line,) = standin.lines(tag)
    assert seen == (record["input_tokens"], record.get("cached_tokens", 0), record["output_tokens"])
    assert seen[1] == 4
    assert record["cost_nusd"] == line["cost_nusd"]
    (cap,) = guard.cli("cap", "list", f"key:{key_id}")
    assert (cap["spent"], cap["held"]) == (line["cost_nusd"], 0)
    assert standin.leaks() == []
