"""The official anthropic package, as installed, against the guard: nothing but the address is set.

What it shows its user, the guard's records and the provider's bill are the same numbers (M-8).
"""

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from pydantic import BaseModel

from guard import GuardProcess
from tab import Tab, Tokens

MODEL = "claude-haiku-4-5"
SAID = "Say exactly these words, please."
ASK: Any = {"model": MODEL, "max_tokens": 200, "messages": [{"role": "user", "content": SAID}]}
TOOL: Any = {
    "name": "weather",
    "description": "The weather of a city",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGD4DwABBAEAX5tabgAAAABJRU5ErkJg"
    "gg=="
)


class City(BaseModel):
    """What a structured answer must look like."""

    name: str
    inhabitants: int


@pytest.fixture
def client(guard: GuardProcess, tab: Tab) -> Iterator[anthropic.Anthropic]:
    """The package with its defaults."""
    with anthropic.Anthropic(api_key=tab.key, base_url=guard.base_url) as made:
        yield made


def used(usage: Any) -> Tokens:
    """What a message says was used; its input excludes the cache."""
    cached = usage.cache_read_input_tokens or 0
    written = usage.cache_creation_input_tokens or 0
    details = usage.output_tokens_details
    return Tokens(
        input=usage.input_tokens + cached + written,
        cached=cached,
        written=written,
        output=usage.output_tokens,
        reasoning=(details.thinking_tokens or 0) if details else 0,
    )


@pytest.mark.req("M-8")
def test_a_message_is_what_the_provider_said(client: anthropic.Anthropic, tab: Tab) -> None:
    message = client.messages.create(**ASK, system="Be brief.", extra_headers=tab.script("echo=1"))
    assert [block.text for block in message.content] == [SAID]
    assert message.stop_reason == "end_turn"
    (record,) = tab.settle(used(message.usage))
    assert (record["model"], record["model_answered"]) == (MODEL, message.model)


@pytest.mark.req("M-8")
def test_the_other_credential_header_is_taken_too(guard: GuardProcess, tab: Tab) -> None:
    with anthropic.Anthropic(auth_token=tab.key, base_url=guard.base_url) as client:
        message = client.messages.create(**ASK, extra_headers=tab.script())
    tab.settle(used(message.usage))


@pytest.mark.req("M-8", "M-3")
def test_a_stream_raw_and_with_the_helper(client: anthropic.Anthropic, tab: Tab) -> None:
    script = tab.script("echo=1; chunks=6; input_tokens=50; cached=20; cache_write=10")
    events = list(client.messages.create(**ASK, stream=True, extra_headers=script))
    deltas = [event.delta.text for event in events if event.type == "content_block_delta"]
    assert (len(deltas), "".join(deltas)) == (6, SAID)
    assert (events[0].type, events[-1].type) == ("message_start", "message_stop")
    with client.messages.stream(**ASK, extra_headers=script) as stream:
        assert "".join(stream.text_stream) == SAID
        final = stream.get_final_message()
    assert events[-2].usage.output_tokens == final.usage.output_tokens
    tab.settle(used(final.usage), used(final.usage))


@pytest.mark.req("M-8")
@pytest.mark.parametrize("streamed", [False, True])
def test_tools_are_called_and_their_results_taken(
    client: anthropic.Anthropic, tab: Tab, streamed: bool
) -> None:
    def ask(messages: Any) -> Any:
        wishes = {**ASK, "messages": messages, "tools": [TOOL]}
        if not streamed:
            return client.messages.create(**wishes, extra_headers=tab.script())
        with client.messages.stream(**wishes, extra_headers=tab.script()) as stream:
            return stream.get_final_message()

    first = ask(ASK["messages"])
    (call,) = first.content
    assert (call.name, first.stop_reason) == ("weather", "tool_use")
    assert set(call.input) == {"city"}
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "blue"}
    history = [{"role": "assistant", "content": first.content}]
    second = ask([*ASK["messages"], *history, {"role": "user", "content": [result]}])
    assert second.content[0].text
    tab.settle(used(first.usage), used(second.usage))


@pytest.mark.req("M-8")
@pytest.mark.parametrize("streamed", [False, True])
def test_thinking_is_shown_and_paid_as_output(
    client: anthropic.Anthropic, tab: Tab, streamed: bool
) -> None:
    wishes = {
        **ASK,
        "max_tokens": 4000,
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "extra_headers": tab.script("reasoning=700; output_tokens=30"),
    }
    if streamed:
        with client.messages.stream(**wishes) as stream:
            message = stream.get_final_message()
    else:
        message = client.messages.create(**wishes)
    assert [block.type for block in message.content] == ["thinking", "text"]
    assert message.content[0].signature
    seen = used(message.usage)
    assert (seen.output, seen.reasoning) == (730, 700)
    tab.settle(seen)


@pytest.mark.req("M-8")
def test_a_picture_is_looked_at(client: anthropic.Anthropic, tab: Tab) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
    content = [{"type": "image", "source": source}, {"type": "text", "text": SAID}]
    wishes = {**ASK, "messages": [{"role": "user", "content": content}]}
    message = client.messages.create(**wishes, extra_headers=tab.script("echo=1"))
    assert message.content[0].text == SAID
    assert message.usage.input_tokens > 1000
    tab.settle(used(message.usage))


@pytest.mark.req("M-8")
@pytest.mark.parametrize("streamed", [False, True])
def test_what_is_written_to_a_cache_costs_by_how_long_it_stays(
    client: anthropic.Anthropic, tab: Tab, streamed: bool
) -> None:
    control = {"type": "ephemeral", "ttl": "1h"}
    system = [{"type": "text", "text": "Be brief. " * 500, "cache_control": control}]
    seen = []
    for script in ("cache_write=300", "cache_write_1h=300", "cached=300; searches=0"):
        wishes = {
            **ASK,
            "system": system,
            "extra_headers": tab.script(f"input_tokens=315; {script}"),
        }
        if streamed:
            with client.messages.stream(**wishes) as stream:
                seen.append(used(stream.get_final_message().usage))
        else:
            seen.append(used(client.messages.create(**wishes).usage))
    assert [(each.cached, each.written) for each in seen] == [(0, 300), (0, 300), (300, 0)]
    records = tab.settle(*seen)
    short, long, read = [record["cost_nusd"] for record in records]
    assert read < short < long


@pytest.mark.req("M-8")
def test_structured_output_is_parsed(client: anthropic.Anthropic, tab: Tab) -> None:
    message = client.messages.parse(**ASK, output_format=City, extra_headers=tab.script())
    assert isinstance(message.parsed_output, City)
    tab.settle(used(message.usage))


@pytest.mark.req("M-8")
def test_a_search_is_paid_beside_its_tokens(client: anthropic.Anthropic, tab: Tab) -> None:
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
    message = client.messages.create(
        **ASK, tools=[search], extra_headers=tab.script("searches=2; input_tokens=9000")
    )
    assert message.usage.server_tool_use.web_search_requests == 2
    (record,) = tab.settle(used(message.usage))
    assert record["cost_nusd"] > 20_000_000


@pytest.mark.req("M-8", "M-9")
def test_counting_and_listing_cost_nothing(client: anthropic.Anthropic, tab: Tab) -> None:
    counted = client.messages.count_tokens(model=MODEL, messages=ASK["messages"])
    models = [model.id for model in client.models.list()]
    assert client.models.retrieve(models[0]).id == models[0]
    message = client.messages.create(**ASK, extra_headers=tab.script())
    assert counted.input_tokens == message.usage.input_tokens
    tab.settle(used(message.usage), free=3)


@pytest.mark.req("M-8")
async def test_the_async_client_sees_the_same(guard: GuardProcess, tab: Tab) -> None:
    script = tab.script("echo=1")
    async with anthropic.AsyncAnthropic(api_key=tab.key, base_url=guard.base_url) as client:
        whole = await client.messages.create(**ASK, extra_headers=script)
        async with client.messages.stream(**ASK, extra_headers=script) as stream:
            texts = [text async for text in stream.text_stream]
            final = await stream.get_final_message()
        raw = await client.messages.create(**ASK, stream=True, extra_headers=script)
        kinds = [event.type async for event in raw]
        counted = await client.messages.count_tokens(model=MODEL, messages=ASK["messages"])
    assert whole.content[0].text == "".join(texts) == SAID
    assert kinds[-1] == "message_stop"
    assert counted.input_tokens == whole.usage.input_tokens
    tab.settle(used(whole.usage), *[used(final.usage)] * 2, free=1)
