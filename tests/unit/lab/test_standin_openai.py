"""The stand-in in the OpenAI dialect, driven by the official client."""

import io
import json
import wave
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from standin import StandinProcess

SAY_HI: list[Any] = [{"role": "user", "content": "Say hi."}]
WEATHER: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
}
CHAT_TOOL: Any = {"type": "function", "function": {"name": "weather", "parameters": WEATHER}}


@pytest.fixture
def client(standin: StandinProcess) -> Iterator[openai.OpenAI]:
    made = openai.OpenAI(
        base_url=f"{standin.base_url}/v1", api_key=standin.credential, max_retries=0
    )
    with made:
        yield made


def asked(**keys: object) -> dict[str, str]:
    return {"x-standin": "; ".join(f"{key}={value}" for key, value in keys.items())}


def test_a_chat_answers_and_the_bill_has_what_its_usage_says(
    client: openai.OpenAI, standin: StandinProcess
) -> None:
    headers = asked(tag="chat", reasoning=30, cached=40, input_tokens=100, output_tokens=12)
    done = client.chat.completions.create(
        model="gpt-5-mini", messages=SAY_HI, n=2, extra_headers=headers
    )
    assert [c.finish_reason for c in done.choices] == ["stop", "stop"]
    assert done.choices[0].message.content != done.choices[1].message.content
    assert done.model == "gpt-5-mini-2025-08-07"
    (line,) = standin.lines("chat")
    assert done.usage is not None
    assert (line["input"], line["cached"]) == (60, 40)
    assert (line["output"], line["reasoning"]) == (done.usage.completion_tokens, 60) == (84, 60)
    assert done.usage.prompt_tokens == 100
    assert done.usage.completion_tokens_details is not None
    assert done.usage.completion_tokens_details.reasoning_tokens == 60
    # 60 at $0.25, 40 at $0.025 and 84 at $2.00 a million
    assert line["cost_nusd"] == 15_000 + 1_000 + 168_000
    assert line["request_id"] == done._request_id


def test_the_same_request_gives_the_same_words(client: openai.OpenAI) -> None:
    first, second = (
        client.chat.completions.create(model="gpt-4o", messages=SAY_HI).choices[0].message.content
        for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize("stream", [False, True])
def test_the_output_limit_is_never_exceeded(
    client: openai.OpenAI, standin: StandinProcess, stream: bool
) -> None:
    tag = f"limit-{stream}"
    done = client.chat.completions.create(
        model="gpt-5-mini",
        messages=SAY_HI,
        max_completion_tokens=50,
        stream=stream,
        extra_headers=asked(tag=tag, output_tokens=500, reasoning=20),
    )
    finish = (
        [c.choices[0].finish_reason for c in done][-1] if stream else done.choices[0].finish_reason
    )  # type: ignore[union-attr]
    assert finish == "length"
    assert [(x["output"], x["reasoning"]) for x in standin.lines(tag)] == [(50, 20)]


@pytest.mark.parametrize("wants_usage", [True, False])
def test_a_chat_stream_has_usage_only_when_asked_and_null_before_it(
    client: openai.OpenAI, wants_usage: bool
) -> None:
    options: Any = {"stream_options": {"include_usage": True}} if wants_usage else {}
    with client.chat.completions.with_streaming_response.create(
        model="gpt-4o-mini", messages=SAY_HI, stream=True, extra_headers=asked(chunks=5), **options
    ) as answer:
        events = [line.removeprefix("data: ") for line in answer.iter_lines() if line]
    assert events[-1] == "[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    texts = [c["choices"][0]["delta"].get("content") for c in chunks if c["choices"]]
    assert sum(1 for text in texts if text) == 5
    if wants_usage:
        assert all(chunk["usage"] is None for chunk in chunks[:-1])
        assert chunks[-1]["choices"] == []
        assert chunks[-1]["usage"]["completion_tokens"] == 20
    else:
        assert not any("usage" in chunk for chunk in chunks)


def test_some_compatible_servers_send_a_running_total_in_every_chunk(
    client: openai.OpenAI,
) -> None:
    stream = client.chat.completions.create(
        model="gpt-4o-mini",
        messages=SAY_HI,
        stream=True,
        extra_headers=asked(usage="every", chunks=4),
    )
    totals = [chunk.usage.completion_tokens for chunk in stream if chunk.usage]
    assert totals == [0, 5, 10, 15, 20, 20]


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_is_called_with_arguments_that_fit_until_its_result_is_there(
    client: openai.OpenAI, stream: bool
) -> None:
    with client.chat.completions.stream(
        model="gpt-5-mini", messages=SAY_HI, tools=[CHAT_TOOL]
    ) as events:
        streamed = events.get_final_completion()
    whole = client.chat.completions.create(model="gpt-5-mini", messages=SAY_HI, tools=[CHAT_TOOL])
    choice: Any = (streamed if stream else whole).choices[0]
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls
    assert call.function.name == "weather"
    assert set(json.loads(call.function.arguments)) == {"city", "days"}
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    turns = [*SAY_HI, choice.message.model_dump(exclude_none=True), result]
    after = client.chat.completions.create(model="gpt-5-mini", messages=turns, tools=[CHAT_TOOL])
    assert after.choices[0].finish_reason == "stop"


def test_structured_output_fits_its_schema(client: openai.OpenAI) -> None:
    schema = {"name": "s", "schema": {"type": "object", "properties": {"status": {"enum": ["ok"]}}}}
    done = client.chat.completions.create(
        model="gpt-5-mini",
        messages=SAY_HI,
        response_format={"type": "json_schema", "json_schema": schema},  # type: ignore[arg-type,typeddict-item]
    )
    assert json.loads(done.choices[0].message.content or "") == {"status": "ok"}


def test_a_directive_in_the_text_does_what_the_header_does(client: openai.OpenAI) -> None:
    text = "Repeat after me [[standin echo=1 tag=said]]"
    turns: Any = [{"role": "user", "content": text}]
    done = client.chat.completions.create(model="gpt-4o", messages=turns)
    assert done.choices[0].message.content == "Repeat after me"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"messages": SAY_HI}, "model"),
        ({"model": "gpt-4o"}, "messages"),
        ({"model": "gpt-5-mini", "messages": SAY_HI, "max_tokens": 9}, "max_completion_tokens"),
        ({"model": "gpt-4o", "messages": SAY_HI, "max_tokens": 0}, "max_tokens"),
        ({"model": "gpt-4o", "messages": SAY_HI, "n": "two"}, "n"),
    ],
)
def test_what_is_no_chat_request_is_a_bad_request(
    client: openai.OpenAI, body: dict[str, Any], message: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=message):
        client.post("/chat/completions", body=body, cast_to=object)


def test_a_model_it_does_not_serve_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="gpt-99"):
        client.chat.completions.create(model="gpt-99", messages=SAY_HI)
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="tts-1", messages=SAY_HI)


def test_a_response_is_streamed_in_the_full_order_of_events(
    client: openai.OpenAI, standin: StandinProcess
) -> None:
    with client.responses.stream(
        model="gpt-5-mini",
        input="Say hi.",
        reasoning={"effort": "low", "summary": "auto"},
        extra_headers=asked(tag="resp", chunks=3),
    ) as stream:
        events = list(stream)
        final = stream.get_final_response()
    kinds = [event.type for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds.count("response.output_text.delta") == 3
    assert kinds[-4:] == [
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    numbers: list[Any] = [getattr(event, "sequence_number", None) for event in events]
    assert numbers == list(range(len(events)))
    (line,) = standin.lines("resp")
    assert final.usage is not None
    assert line["output"] == final.usage.output_tokens == 52
    assert line["reasoning"] == final.usage.output_tokens_details.reasoning_tokens == 32


def test_a_response_that_its_limit_cuts_is_incomplete(client: openai.OpenAI) -> None:
    done = client.responses.create(
        model="gpt-5-mini",
        input="Say hi.",
        max_output_tokens=16,
        extra_headers=asked(output_tokens=99),
    )
    assert done.status == "incomplete"
    assert done.incomplete_details is not None
    assert done.incomplete_details.reason == "max_output_tokens"
    assert done.usage is not None
    assert done.usage.output_tokens == 16


def test_a_response_calls_a_function(client: openai.OpenAI) -> None:
    tool: Any = {"type": "function", "name": "weather", "parameters": WEATHER, "strict": True}
    with client.responses.stream(
        model="gpt-5-mini", input="Weather?", tools=[tool], tool_choice="required"
    ) as stream:
        final = stream.get_final_response()
    (call,) = final.output
    assert call.type == "function_call"
    assert set(json.loads(call.arguments)) == {"city", "days"}


def test_a_legacy_completion_bills_every_draft(
    client: openai.OpenAI, standin: StandinProcess
) -> None:
    done = client.completions.create(
        model="gpt-3.5-turbo-instruct",
        prompt=["One", "Two"],
        n=1,
        best_of=3,
        max_tokens=5,
        extra_headers=asked(tag="drafts"),
    )
    assert len(done.choices) == 2
    assert done.usage is not None
    assert done.usage.completion_tokens == 30
    assert [line["output"] for line in standin.lines("drafts")] == [30]


def test_a_streamed_completion_ends_with_its_usage(client: openai.OpenAI) -> None:
    stream = client.completions.create(
        model="gpt-3.5-turbo-instruct",
        prompt="One",
        stream=True,
        stream_options={"include_usage": True},
    )
    last = list(stream)[-1]
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.completion_tokens == 16


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_embeddings_are_vectors_of_the_width_asked_for(
    client: openai.OpenAI, standin: StandinProcess, encoding: Any
) -> None:
    tag = f"embed-{encoding}"
    done = client.embeddings.create(
        model="text-embedding-3-small",
        input=["four letters", "word"],
        dimensions=64,
        encoding_format=encoding,
        extra_headers=asked(tag=tag),
    )
    assert [each.index for each in done.data] == [0, 1]
    if encoding == "float":
        assert {len(each.embedding) for each in done.data} == {64}
    (line,) = standin.lines(tag)
    assert line["input"] == done.usage.prompt_tokens == 4
    assert line["output"] == 0


def test_pictures_cost_by_size_and_quality(client: openai.OpenAI, standin: StandinProcess) -> None:
    done = client.images.generate(
        model="gpt-image-1",
        prompt="A cat.",
        n=2,
        size="1536x1024",
        quality="low",
        extra_headers=asked(tag="cat"),
    )
    assert done.data is not None
    assert len(done.data) == 2
    assert done.usage is not None
    assert done.usage.output_tokens == 800
    (line,) = standin.lines("cat")
    assert (line["output_image"], line["cost_nusd"]) == (800, 800 * 40_000 + 2 * 5_000)


def test_speech_costs_by_character(client: openai.OpenAI, standin: StandinProcess) -> None:
    spoken = client.audio.speech.create(
        model="tts-1", voice="alloy", input="Hello there", extra_headers=asked(tag="tts")
    )
    assert len(spoken.content) > 1_000
    (line,) = standin.lines("tts")
    assert (line["characters"], line["cost_nusd"]) == (11, 165_000)


def sound(seconds: float) -> io.BytesIO:
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
        file.writeframes(b"\0\0" * int(8_000 * seconds))
    made.seek(0)
    made.name = "sound.wav"
    return made


def test_hearing_costs_by_the_second(client: openai.OpenAI, standin: StandinProcess) -> None:
    heard: Any = client.audio.transcriptions.create(
        model="whisper-1", file=sound(2.2), extra_headers=asked(tag="hear")
    )
    assert heard.text
    assert heard.usage.seconds == 3
    (line,) = standin.lines("hear")
    assert (line["audio_ms"], line["cost_nusd"]) == (3_000, 300_000)


def test_hearing_by_tokens_can_be_streamed(client: openai.OpenAI, standin: StandinProcess) -> None:
    stream: Any = client.audio.transcriptions.create(
        model="gpt-4o-mini-transcribe",
        file=sound(2),
        stream=True,
        extra_headers=asked(tag="hear-more"),
    )
    last = list(stream)[-1]
    assert last.usage.input_token_details.audio_tokens == 20
    (line,) = standin.lines("hear-more")
    assert (line["input_audio"], line["output"]) == (20, last.usage.output_tokens)


def test_its_models_are_listed(client: openai.OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert "gpt-5-mini" in names
    assert client.models.retrieve("gpt-4o").id == "gpt-4o"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("claude-haiku-4-5")


@pytest.mark.parametrize(("asks", "told"), [("usage=none", None), ("usage=hidden", 20)])
def test_what_the_answer_hides_the_bill_still_has(
    client: openai.OpenAI, standin: StandinProcess, asks: str, told: int | None
) -> None:
    tag = asks.replace("=", "-")
    done = client.chat.completions.create(
        model="gpt-5-mini",
        messages=SAY_HI,
        extra_headers={"x-standin": f"{asks}; tag={tag}; reasoning=200"},
    )
    assert (done.usage.completion_tokens if done.usage else None) == told
    assert [line["output"] for line in standin.lines(tag)] == [220]


@pytest.mark.parametrize("tier", ["priority", "flex"])
def test_a_service_tier_is_told_and_billed(
    client: openai.OpenAI, standin: StandinProcess, tier: Any
) -> None:
    done = client.chat.completions.create(
        model="gpt-5-mini", messages=SAY_HI, service_tier=tier, extra_headers=asked(tag=tier)
    )
    assert done.service_tier == tier
    assert [line["tier"] for line in standin.lines(tier)] == [tier]
