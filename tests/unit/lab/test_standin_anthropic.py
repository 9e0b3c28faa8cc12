"""The stand-in in the Anthropic dialect, driven by the official client."""

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest

from standin import StandinProcess

SAY_HI: Any = [{"role": "user", "content": "Say hi."}]
TOOL: Any = {
    "name": "weather",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


@pytest.fixture
def client(standin: StandinProcess) -> Iterator[anthropic.Anthropic]:
    made = anthropic.Anthropic(base_url=standin.base_url, api_key=standin.credential, max_retries=0)
    with made:
        yield made


def asked(**keys: object) -> dict[str, str]:
    return {"x-standin": "; ".join(f"{key}={value}" for key, value in keys.items())}


def test_a_message_counts_its_input_beside_the_cache(
    client: anthropic.Anthropic, standin: StandinProcess
) -> None:
    done = client.messages.create(
        model="claude-haiku-4-5",
        max_tokens=100,
        messages=SAY_HI,
        extra_headers=asked(
            tag="cache", input_tokens=1_000, cached=300, cache_write=200, cache_write_1h=100
        ),
    )
    usage = done.usage
    assert done.stop_reason == "end_turn"
    assert (usage.input_tokens, usage.cache_read_input_tokens) == (400, 300)
    assert usage.cache_creation_input_tokens == 300
    assert usage.cache_creation is not None
    assert usage.cache_creation.ephemeral_1h_input_tokens == 100
    (line,) = standin.lines("cache")
    assert line["request_id"] == done._request_id
    # $1.00 input, $0.10 read, $1.25 and $2.00 written, $5.00 output
    assert line["cost_nusd"] == 400_000 + 30_000 + 250_000 + 200_000 + 20 * 5_000


def test_a_stream_starts_with_the_input_and_ends_with_running_totals(
    client: anthropic.Anthropic, standin: StandinProcess
) -> None:
    stream = client.messages.create(
        model="claude-haiku-4-5",
        max_tokens=100,
        messages=SAY_HI,
        stream=True,
        extra_headers=asked(tag="stream", input_tokens=25, output_tokens=15, chunks=5),
    )
    events = list(stream)
    kinds = [event.type for event in events]
    assert kinds[0] == "message_start"
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert kinds.count("content_block_delta") == 5
    start: Any = events[0]
    delta: Any = events[-2]
    assert (start.message.usage.input_tokens, start.message.usage.output_tokens) == (25, 1)
    assert (delta.usage.input_tokens, delta.usage.output_tokens) == (25, 15)
    assert [(x["input"], x["output"]) for x in standin.lines("stream")] == [(25, 15)]


def test_thinking_is_shown_and_billed_as_output(
    client: anthropic.Anthropic, standin: StandinProcess
) -> None:
    with client.messages.stream(
        model="claude-haiku-4-5",
        max_tokens=4_000,
        messages=SAY_HI,
        thinking={"type": "enabled", "budget_tokens": 2_000},
        extra_headers=asked(tag="think", reasoning=500),
    ) as stream:
        done = stream.get_final_message()
    assert [block.type for block in done.content] == ["thinking", "text"]
    assert done.usage.output_tokens == 520
    assert [(x["output"], x["reasoning"]) for x in standin.lines("think")] == [(520, 500)]


def test_a_thinking_budget_must_leave_room(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match="budget_tokens"):
        client.messages.create(
            model="claude-haiku-4-5",
            max_tokens=1_500,
            messages=SAY_HI,
            thinking={"type": "enabled", "budget_tokens": 1_500},
        )


def test_the_limit_ends_a_message(client: anthropic.Anthropic) -> None:
    done = client.messages.create(
        model="claude-sonnet-5",
        max_tokens=7,
        messages=SAY_HI,
        extra_headers=asked(output_tokens=99),
    )
    assert (done.stop_reason, done.usage.output_tokens) == ("max_tokens", 7)


def test_a_tool_is_used_and_its_result_ends_it(client: anthropic.Anthropic) -> None:
    with client.messages.stream(
        model="claude-haiku-4-5", max_tokens=100, messages=SAY_HI, tools=[TOOL]
    ) as stream:
        done = stream.get_final_message()
    assert done.stop_reason == "tool_use"
    (block,) = done.content
    assert block.type == "tool_use"
    assert set(block.input) == {"city"}
    result = {"type": "tool_result", "tool_use_id": block.id, "content": "sunny"}
    turns = [
        *SAY_HI,
        {
            "role": "assistant",
            "content": [block.model_dump(include={"type", "id", "name", "input"})],
        },
        {"role": "user", "content": [result]},
    ]
    after = client.messages.create(
        model="claude-haiku-4-5", max_tokens=100, messages=turns, tools=[TOOL]
    )
    assert after.stop_reason == "end_turn"


def test_structured_output_fits_its_schema(client: anthropic.Anthropic) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    done = client.messages.create(
        model="claude-sonnet-5",
        max_tokens=100,
        messages=SAY_HI,
        output_config={"format": {"type": "json_schema", "schema": schema}},
    )
    (block,) = done.content
    assert block.type == "text"
    assert isinstance(json.loads(block.text)["n"], int)


def test_region_and_searches_are_told_and_billed(
    client: anthropic.Anthropic, standin: StandinProcess
) -> None:
    done = client.messages.create(
        model="claude-opus-5-5",
        max_tokens=100,
        messages=SAY_HI,
        extra_body={"inference_geo": "us", "speed": "fast"},
        extra_headers=asked(tag="us", searches=2, input_tokens=1_000),
    )
    usage = done.usage
    assert (usage.inference_geo, usage.speed) == ("us", "fast")
    assert usage.server_tool_use is not None
    assert usage.server_tool_use.web_search_requests == 2
    (line,) = standin.lines("us")
    # (1000 at $4 and 20 at $20), twice for fast, 1.1 times for the region; $0.01 a search
    assert line["cost_nusd"] == (4_000_000 + 400_000) * 2 * 11 // 10 + 20_000_000


def test_a_limit_must_be_given(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
        client.post(
            "/v1/messages", body={"model": "claude-haiku-4-5", "messages": SAY_HI}, cast_to=object
        )


def test_counting_tokens_is_free(client: anthropic.Anthropic, standin: StandinProcess) -> None:
    counted = client.messages.count_tokens(
        model="claude-haiku-4-5", messages=SAY_HI, extra_headers=asked(tag="count")
    )
    assert counted.input_tokens > 0
    assert standin.lines("count") == []


def test_an_overload_in_the_middle_of_a_stream_is_billed_so_far(
    client: anthropic.Anthropic, standin: StandinProcess
) -> None:
    stream = client.messages.create(
        model="claude-haiku-4-5",
        max_tokens=100,
        messages=SAY_HI,
        stream=True,
        extra_headers=asked(tag="overload", fail="error@2", chunks=4),
    )
    with pytest.raises(anthropic.APIStatusError, match="overloaded_error"):
        list(stream)
    (line,) = standin.lines("overload")
    assert (line["end"], line["output"]) == ("error", 10)


def test_an_overload_before_the_first_byte_is_not_billed(
    client: anthropic.Anthropic, standin: StandinProcess
) -> None:
    with pytest.raises(anthropic.APIStatusError) as raised:
        client.messages.create(
            model="claude-haiku-4-5",
            max_tokens=100,
            messages=SAY_HI,
            extra_headers=asked(tag="529", status=529, retry_after=7),
        )
    assert raised.value.status_code == 529
    assert raised.value.response.headers["retry-after"] == "7"
    assert standin.lines("529") == []


def test_its_models_are_listed(client: anthropic.Anthropic) -> None:
    assert "claude-opus-5-5" in [model.id for model in client.models.list()]
    assert client.models.retrieve("claude-sonnet-5").display_name == "claude-sonnet-5"
