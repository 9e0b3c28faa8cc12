"""The official openai package, as installed, against the guard: nothing but the address is set.

What it shows its user, the guard's records and the provider's bill are the same numbers (M-8).
"""

import io
import wave
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from guard import GuardProcess
from tab import Tab, Tokens

MODEL = "gpt-5-mini"
SAID = "Say exactly these words, please."
MESSAGES: Any = [{"role": "user", "content": SAID}]
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGD4DwABBAEA"
    "X5tabgAAAABJRU5ErkJggg=="
)


class City(BaseModel):
    """What a structured answer must look like."""

    name: str
    inhabitants: int


@pytest.fixture
def client(guard: GuardProcess, tab: Tab) -> Iterator[openai.OpenAI]:
    """The package with its defaults."""
    with openai.OpenAI(api_key=tab.key, base_url=f"{guard.base_url}/v1") as made:
        yield made


def of_chat(usage: Any) -> Tokens:
    """What a chat completion says was used."""
    into, out = usage.prompt_tokens_details, usage.completion_tokens_details
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    return Tokens(
        input=usage.prompt_tokens,
        cached=into.cached_tokens or 0,
        written=into.cache_write_tokens or 0,
        output=usage.completion_tokens,
        reasoning=out.reasoning_tokens or 0,
    )


def of_response(usage: Any) -> Tokens:
    """What a response says was used."""
    return Tokens(
        input=usage.input_tokens,
        cached=usage.input_tokens_details.cached_tokens,
        written=usage.input_tokens_details.cache_write_tokens or 0,
        output=usage.output_tokens,
        reasoning=usage.output_tokens_details.reasoning_tokens,
    )


@pytest.mark.req("M-8")
def test_a_chat_completion_is_what_the_provider_said(client: openai.OpenAI, tab: Tab) -> None:
    answer = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "system", "content": "Be brief."}, *MESSAGES],
        reasoning_effort="low",
        extra_headers=tab.script("echo=1"),
    )
    assert answer.choices[0].message.content == SAID
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.completion_tokens_details.reasoning_tokens > 0
    (record,) = tab.settle(of_chat(answer.usage))
    assert (record["model"], record["model_answered"]) == (MODEL, answer.model)


@pytest.mark.req("M-8", "M-2")
def test_a_stream_comes_in_pieces_with_usage_only_for_those_who_ask(
    client: openai.OpenAI, tab: Tab
) -> None:
    said = [[], []]
    seen = []
    for got, options in zip(said, (openai.omit, {"include_usage": True}), strict=True):
        stream = client.chat.completions.create(
            model=MODEL,
            messages=MESSAGES,
            stream=True,
            stream_options=options,
            extra_headers=tab.script("echo=1; chunks=6"),
        )
        for chunk in stream:
            if chunk.usage is not None:
                assert chunk.choices == []
                seen.append(of_chat(chunk.usage))
                continue
            (choice,) = chunk.choices
            got += [choice.delta.content] if choice.delta.content else []
    assert ["".join(got) for got in said] == [SAID, SAID]
    assert [len(got) for got in said] == [6, 6]
    assert len(seen) == 1, "nobody is told of usage without having asked"
    tab.settle(seen[0], seen[0])


@pytest.mark.req("M-8")
def test_the_stream_helper_puts_a_chat_together(client: openai.OpenAI, tab: Tab) -> None:
    with client.chat.completions.stream(
        model=MODEL,
        messages=MESSAGES,
        stream_options={"include_usage": True},
        extra_headers=tab.script("echo=1"),
    ) as stream:
        kinds = {event.type for event in stream}
        whole = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert whole.choices[0].message.content == SAID
    tab.settle(of_chat(whole.usage))


@pytest.mark.req("M-8")
@pytest.mark.parametrize("streamed", [False, True])
def test_tools_are_called_and_their_results_taken(
    client: openai.OpenAI, tab: Tab, streamed: bool
) -> None:
    def ask(messages: Any) -> Any:
        wishes = {"model": MODEL, "messages": messages, "tools": [TOOL]}
        if not streamed:
            return client.chat.completions.create(**wishes, extra_headers=tab.script())
        options = {"include_usage": True}
        with client.chat.completions.stream(
            **wishes, stream_options=options, extra_headers=tab.script()
        ) as stream:
            return stream.get_final_completion()

    first = ask(MESSAGES)
    (call,) = first.choices[0].message.tool_calls
    assert (call.function.name, first.choices[0].finish_reason) == ("weather", "tool_calls")
    result = {"role": "tool", "tool_call_id": call.id, "content": '{"sky": "blue"}'}
    told = {"role": "assistant", "tool_calls": [call.model_dump(include={"id", "type"})]}
    told["tool_calls"][0]["function"] = {
        "name": call.function.name,
        "arguments": call.function.arguments,
    }
    second = ask([*MESSAGES, told, result])
    assert second.choices[0].message.content
    tab.settle(of_chat(first.usage), of_chat(second.usage))


@pytest.mark.req("M-8")
def test_structured_output_is_parsed(client: openai.OpenAI, tab: Tab) -> None:
    chat = client.chat.completions.parse(
        model=MODEL, messages=MESSAGES, response_format=City, extra_headers=tab.script()
    )
    response = client.responses.parse(
        model=MODEL, input=SAID, text_format=City, extra_headers=tab.script()
    )
    assert isinstance(chat.choices[0].message.parsed, City)
    assert isinstance(response.output_parsed, City)
    tab.settle(of_chat(chat.usage), of_response(response.usage))


@pytest.mark.req("M-8")
def test_pictures_choices_caches_and_tiers_are_counted_as_the_provider_counts(
    client: openai.OpenAI, tab: Tab
) -> None:
    picture = [
        {"type": "text", "text": SAID},
        {"type": "image_url", "image_url": {"url": PIXEL}},
    ]
    calls: Any = [
        ({"messages": [{"role": "user", "content": picture}]}, ""),
        ({"messages": MESSAGES, "n": 3}, "output_tokens=11; reasoning=5"),
        ({"messages": MESSAGES}, "input_tokens=6074; cached=3456; output_tokens=285"),
        ({"messages": MESSAGES, "service_tier": "priority"}, "output_tokens=50"),
        ({"messages": MESSAGES, "service_tier": "flex"}, "output_tokens=50"),
        ({"messages": MESSAGES, "service_tier": "auto"}, "output_tokens=50; tier=priority"),
    ]
    answers = [
        client.chat.completions.create(model=MODEL, **more, extra_headers=tab.script(script))
        for more, script in calls
    ]
    assert [len(answer.choices) for answer in answers] == [1, 3, 1, 1, 1, 1]
    assert answers[1].usage.completion_tokens == 3 * (11 + 5)
    assert answers[2].usage.prompt_tokens_details.cached_tokens == 3456
    assert [answer.service_tier for answer in answers[3:]] == ["priority", "flex", "priority"]
    tab.settle(*(of_chat(answer.usage) for answer in answers))


@pytest.mark.req("M-8")
def test_what_is_written_to_a_cache_is_on_every_account(client: openai.OpenAI, tab: Tab) -> None:
    script = tab.script("input_tokens=1000; cached=400; cache_write=100; output_tokens=10")
    model = "gpt-6-astra"
    chat = client.chat.completions.create(model=model, messages=MESSAGES, extra_headers=script)
    response = client.responses.create(model=model, input=SAID, extra_headers=script)
    seen = [of_chat(chat.usage), of_response(response.usage)]
    assert seen == [Tokens(input=1000, cached=400, written=100, output=10)] * 2
    tab.settle(*seen)


@pytest.mark.req("M-8")
def test_a_response_whole_and_streamed(client: openai.OpenAI, tab: Tab) -> None:
    wishes: Any = {
        "model": MODEL,
        "input": SAID,
        "instructions": "Be brief.",
        "reasoning": {"effort": "low", "summary": "auto"},
        "extra_headers": tab.script("echo=1; cached=3; input_tokens=20"),
    }
    whole = client.responses.create(**wishes)
    kinds, final = [], None
    for event in client.responses.create(**wishes, stream=True):
        kinds.append(event.type)
        final = event.response if event.type == "response.completed" else final
    with client.responses.stream(**wishes) as stream:
        helped = stream.until_done().get_final_response()
    assert kinds[0] == "response.created"
    assert "response.output_text.delta" in kinds
    assert [each.output_text for each in (whole, final, helped)] == [SAID] * 3
    tab.settle(*(of_response(each.usage) for each in (whole, final, helped)))


@pytest.mark.req("M-8")
def test_a_response_calls_tools(client: openai.OpenAI, tab: Tab) -> None:
    tool: Any = {"type": "function", "strict": False, **TOOL["function"]}
    first = client.responses.create(
        model=MODEL, input=SAID, tools=[tool], extra_headers=tab.script()
    )
    (call,) = [item for item in first.output if item.type == "function_call"]
    asked: Any = [
        {"role": "user", "content": SAID},
        call.to_dict(),
        {"type": "function_call_output", "call_id": call.call_id, "output": "blue"},
    ]
    second = client.responses.create(
        model=MODEL, input=asked, tools=[tool], extra_headers=tab.script()
    )
    assert call.name == "weather"
    assert second.output_text
    tab.settle(of_response(first.usage), of_response(second.usage))


@pytest.mark.req("M-8")
def test_completions_of_the_old_kind(client: openai.OpenAI, tab: Tab) -> None:
    wishes: Any = {
        "model": "gpt-3.5-turbo-instruct",
        "prompt": ["Once", "Twice"],
        "max_tokens": 9,
        "n": 2,
        "extra_headers": tab.script("output_tokens=7"),
    }
    whole = client.completions.create(**wishes)
    streamed = list(client.completions.create(**wishes, stream=True))
    assert [choice.index for choice in whole.choices] == [0, 1, 2, 3]
    texts = {choice.index: "" for choice in whole.choices}
    for chunk in streamed:
        for choice in chunk.choices:
            texts[choice.index] += choice.text
    assert texts == {choice.index: choice.text for choice in whole.choices}
    seen = Tokens(input=whole.usage.prompt_tokens, output=whole.usage.completion_tokens)
    assert seen.output == 4 * 7
    tab.settle(seen, seen)


@pytest.mark.req("M-8")
def test_embeddings(client: openai.OpenAI, tab: Tab) -> None:
    model = "text-embedding-3-small"
    answers = [
        client.embeddings.create(
            model=model, input=what, dimensions=64, extra_headers=tab.script(), **more
        )
        for what, more in (
            ("one", {}),
            (["one", "two"], {"encoding_format": "float"}),
            ([1, 2, 3], {"encoding_format": "base64"}),
        )
    ]
    assert [len(answer.data) for answer in answers] == [1, 2, 1]
    assert len(answers[0].data[0].embedding) == 64
    assert answers[0].data[0].embedding == pytest.approx(answers[1].data[0].embedding)
    tab.settle(*(Tokens(input=answer.usage.prompt_tokens) for answer in answers))


@pytest.mark.req("M-8")
def test_a_picture_is_made(client: openai.OpenAI, tab: Tab) -> None:
    made = client.images.generate(
        model="gpt-image-1",
        prompt="A guard at a gate",
        size="1024x1024",
        quality="low",
        n=2,
        extra_headers=tab.script(),
    )
    assert [bool(each.b64_json) for each in made.data] == [True, True]
    assert made.usage.output_tokens == 2 * 272
    tab.settle(Tokens(input=made.usage.input_tokens, output=made.usage.output_tokens))


@pytest.mark.req("M-8")
def test_speech_is_made_whole_and_streamed(client: openai.OpenAI, tab: Tab) -> None:
    wishes: Any = {"model": "tts-1", "voice": "alloy", "input": SAID}
    whole = client.audio.speech.create(**wishes, extra_headers=tab.script()).content
    streaming = client.audio.speech.with_streaming_response
    with streaming.create(**wishes, extra_headers=tab.script()) as answer:
        assert b"".join(answer.iter_bytes()) == whole
    assert len(whole) == len(SAID) * 240
    tab.settle(Tokens(), Tokens())


@pytest.mark.req("M-8")
def test_speech_is_heard(client: openai.OpenAI, tab: Tab) -> None:
    sound = io.BytesIO()
    with wave.open(sound, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(2 * 8000 * 3))
    named = ("speech.wav", sound.getvalue(), "audio/wav")
    by_length = client.audio.transcriptions.create(
        model="whisper-1", file=named, extra_headers=tab.script()
    )
    by_tokens = client.audio.transcriptions.create(
        model="gpt-4o-mini-transcribe", file=named, extra_headers=tab.script()
    )
    events = list(
        client.audio.transcriptions.create(
            model="gpt-4o-mini-transcribe", file=named, stream=True, extra_headers=tab.script()
        )
    )
    assert by_length.usage.seconds == 3
    assert events[-1].text == by_tokens.text
    usages = [by_tokens.usage, events[-1].usage]
    seen = [Tokens(input=each.input_tokens, output=each.output_tokens) for each in usages]
    tab.settle(Tokens(), *seen)


def test_models_are_listed_and_shown_for_nothing(client: openai.OpenAI, tab: Tab) -> None:
    names = [model.id for model in client.models.list()]
    assert MODEL in names
    assert client.models.retrieve(MODEL).id == MODEL
    assert {record["outcome"] for record in tab.records(2)} == {"complete"}
    assert tab.spent_nusd() == 0


@pytest.mark.req("M-8")
async def test_the_async_client_sees_the_same(guard: GuardProcess, tab: Tab) -> None:
    chunks, seen = [], []
    script = tab.script("echo=1")
    async with openai.AsyncOpenAI(api_key=tab.key, base_url=f"{guard.base_url}/v1") as client:
        whole = await client.chat.completions.create(
            model=MODEL, messages=MESSAGES, extra_headers=script
        )
        async for chunk in await client.chat.completions.create(
            model=MODEL,
            messages=MESSAGES,
            stream=True,
            stream_options={"include_usage": True},
            extra_headers=script,
        ):
            chunks += [choice.delta.content or "" for choice in chunk.choices]
            seen += [of_chat(chunk.usage)] if chunk.usage else []
        response = await client.responses.create(model=MODEL, input=SAID, extra_headers=script)
        async with client.responses.stream(model=MODEL, input=SAID, extra_headers=script) as stream:
            streamed = await stream.get_final_response()
        parsed = await client.chat.completions.parse(
            model=MODEL, messages=MESSAGES, response_format=City, extra_headers=tab.script()
        )
        embedding = await client.embeddings.create(
            model="text-embedding-3-small", input=SAID, extra_headers=tab.script()
        )
        names = [model.id async for model in client.models.list()]
    assert whole.choices[0].message.content == "".join(chunks) == SAID
    assert response.output_text == streamed.output_text == SAID
    assert isinstance(parsed.choices[0].message.parsed, City)
    assert MODEL in names
    vector = Tokens(input=embedding.usage.prompt_tokens)
    told = [of_response(each.usage) for each in (response, streamed)]
    tab.settle(of_chat(whole.usage), *seen, *told, of_chat(parsed.usage), vector, free=1)
