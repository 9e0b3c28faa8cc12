"""The official google-genai package, as installed, against the guard: only the address is set.

What it shows its user, the guard's records and the provider's bill are the same numbers (M-8).
"""

from collections.abc import Iterator
from typing import Any

import pytest
from google import genai
from google.genai import types
from pydantic import BaseModel

from guard import GuardProcess
from tab import Tab, Tokens

MODEL = "gemini-2.5-flash"
SAID = "Say exactly these words, please."
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000d49444154789c63606060f80f00010401005f9b5a6e0000000049454e44ae426082"
)


class City(BaseModel):
    """What a structured answer must look like."""

    name: str
    inhabitants: int


@pytest.fixture
def client(guard: GuardProcess, tab: Tab) -> Iterator[genai.Client]:
    """The package with its defaults."""
    made = genai.Client(api_key=tab.key, http_options={"base_url": guard.base_url})
    yield made
    made.close()


def configured(tab: Tab, script: str = "", **wishes: Any) -> types.GenerateContentConfig:
    """A configuration whose call is told how to go."""
    options = types.HttpOptions(headers=tab.script(script))
    return types.GenerateContentConfig(http_options=options, **wishes)


def used(usage: Any) -> Tokens:
    """What the metadata says was used; candidates exclude thoughts."""
    thoughts = usage.thoughts_token_count or 0
    visible = usage.candidates_token_count or 0
    tool_use = usage.tool_use_prompt_token_count or 0
    assert usage.total_token_count == usage.prompt_token_count + tool_use + visible + thoughts
    return Tokens(
        input=usage.prompt_token_count + tool_use,
        cached=usage.cached_content_token_count or 0,
        output=visible + thoughts,
        reasoning=thoughts,
    )


def ask(client: genai.Client, streamed: bool, contents: Any, config: Any) -> list[Any]:
    """The chunks of an answer; a whole one is one chunk."""
    wishes = {"model": MODEL, "contents": contents, "config": config}
    if streamed:
        return list(client.models.generate_content_stream(**wishes))
    return [client.models.generate_content(**wishes)]


@pytest.mark.req("M-8")
@pytest.mark.parametrize("streamed", [False, True])
def test_content_is_what_the_provider_said(client: genai.Client, tab: Tab, streamed: bool) -> None:
    config = configured(
        tab, "echo=1; chunks=5; input_tokens=90; cached=40", system_instruction="Be brief."
    )
    chunks = ask(client, streamed, SAID, config)
    assert len(chunks) == (6 if streamed else 1)
    assert "".join(chunk.text or "" for chunk in chunks) == SAID
    (record,) = tab.settle(used(chunks[-1].usage_metadata))
    assert (record["model"], record["model_answered"]) == (MODEL, chunks[-1].model_version)


@pytest.mark.req("M-8")
@pytest.mark.parametrize("streamed", [False, True])
def test_thoughts_are_shown_and_paid_as_output(
    client: genai.Client, tab: Tab, streamed: bool
) -> None:
    thinking = types.ThinkingConfig(include_thoughts=True, thinking_budget=512)
    config = configured(
        tab, "reasoning=405; output_tokens=198; input_tokens=20", thinking_config=thinking
    )
    chunks = ask(client, streamed, SAID, config)
    parts = [part for chunk in chunks for part in chunk.candidates[0].content.parts]
    assert parts[0].thought
    seen = used(chunks[-1].usage_metadata)
    assert seen == Tokens(input=20, output=603, reasoning=405)
    tab.settle(seen)


@pytest.mark.req("M-8")
@pytest.mark.parametrize("streamed", [False, True])
def test_functions_are_called_and_their_results_taken(
    client: genai.Client, tab: Tab, streamed: bool
) -> None:
    schema = types.Schema(
        type="OBJECT", properties={"city": types.Schema(type="STRING")}, required=["city"]
    )
    declared = types.FunctionDeclaration(name="weather", description="…", parameters=schema)
    config = configured(tab, tools=[types.Tool(function_declarations=[declared])])
    contents = [types.Content(role="user", parts=[types.Part(text=SAID)])]
    first = ask(client, streamed, contents, config)
    (call,) = [call for chunk in first for call in chunk.function_calls or ()]
    assert call.name == "weather"
    result = types.Part.from_function_response(name=call.name, response={"sky": "blue"})
    contents += [
        types.Content(role="model", parts=[types.Part(function_call=call)]),
        types.Content(role="user", parts=[result]),
    ]
    second = ask(client, streamed, contents, config)
    assert "".join(chunk.text or "" for chunk in second)
    tab.settle(used(first[-1].usage_metadata), used(second[-1].usage_metadata))


@pytest.mark.req("M-8")
def test_a_python_function_is_called_automatically(client: genai.Client, tab: Tab) -> None:
    asked = []

    def weather(city: str) -> str:
        """The weather of a city."""
        asked.append(city)
        return "blue"

    answer = client.models.generate_content(
        model=MODEL, contents=SAID, config=configured(tab, tools=[weather])
    )
    assert answer.text
    assert len(asked) == 1
    first, second = tab.records(2)
    assert used(answer.usage_metadata).input == second["input_tokens"] > first["input_tokens"]
    assert tab.spent_nusd() == sum(line["cost_nusd"] for line in tab.lines())


@pytest.mark.req("M-8")
def test_structure_pictures_choices_and_tiers(client: genai.Client, tab: Tab) -> None:
    picture = types.Part.from_bytes(data=PIXEL, mime_type="image/png")
    json_only = {"response_mime_type": "application/json"}
    answers = [
        ask(client, False, contents, config)[0]
        for contents, config in (
            (SAID, configured(tab, response_schema=City, **json_only)),
            ([picture, SAID], configured(tab, "echo=1")),
            (SAID, configured(tab, "output_tokens=11", candidate_count=2)),
            (SAID, configured(tab, max_output_tokens=7)),
        )
    ]
    assert isinstance(answers[0].parsed, City)
    assert answers[1].text == SAID
    assert len(answers[2].candidates) == 2
    assert answers[3].candidates[0].finish_reason == "MAX_TOKENS"
    seen = [used(answer.usage_metadata) for answer in answers]
    assert [each.output for each in seen[2:]] == [22, 7]
    tab.settle(*seen)


@pytest.mark.req("M-8")
def test_a_chat_goes_on(client: genai.Client, tab: Tab) -> None:
    chat = client.chats.create(model=MODEL, config=configured(tab))
    first = chat.send_message("one")
    second = list(chat.send_message_stream("two"))
    seen = [used(first.usage_metadata), used(second[-1].usage_metadata)]
    assert seen[1].input > seen[0].input
    tab.settle(*seen)


@pytest.mark.req("M-8")
def test_embeddings(client: genai.Client, tab: Tab) -> None:
    config = types.EmbedContentConfig(
        output_dimensionality=64, http_options=types.HttpOptions(headers=tab.script())
    )
    answers = [
        client.models.embed_content(model="gemini-embedding-001", contents=what, config=config)
        for what in ("one", ["one", "two two two two"])
    ]
    assert [len(answer.embeddings) for answer in answers] == [1, 2]
    assert len(answers[0].embeddings[0].values) == 64
    lines = tab.lines()
    assert [line["operation"] for line in lines] == ["batchEmbedContents"] * 2
    tab.settle(*(Tokens(input=line["input"]) for line in lines))


@pytest.mark.req("M-8", "M-9")
def test_counting_and_listing_cost_nothing(client: genai.Client, tab: Tab) -> None:
    counted = client.models.count_tokens(model=MODEL, contents=SAID)
    names = [model.name for model in client.models.list()]
    assert f"models/{MODEL}" in names
    assert client.models.get(model=MODEL).name == f"models/{MODEL}"
    answer = client.models.generate_content(model=MODEL, contents=SAID, config=configured(tab))
    assert counted.total_tokens == answer.usage_metadata.prompt_token_count
    tab.settle(used(answer.usage_metadata), free=3)


@pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
@pytest.mark.req("M-8")
async def test_the_async_client_sees_the_same(guard: GuardProcess, tab: Tab) -> None:
    client = genai.Client(api_key=tab.key, http_options={"base_url": guard.base_url})
    wishes: Any = {"model": MODEL, "contents": SAID, "config": configured(tab, "echo=1")}
    async with client.aio as aio:
        whole = await aio.models.generate_content(**wishes)
        stream = await aio.models.generate_content_stream(**wishes)
        chunks = [chunk async for chunk in stream]
        counted = await aio.models.count_tokens(model=MODEL, contents=SAID)
    client.close()
    assert whole.text == "".join(chunk.text or "" for chunk in chunks) == SAID
    assert counted.total_tokens == whole.usage_metadata.prompt_token_count
    seen = [used(whole.usage_metadata), used(chunks[-1].usage_metadata)]
    tab.settle(*seen, free=1)
