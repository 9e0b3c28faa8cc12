"""The stand-in in the Gemini dialect, driven by the official client."""

import base64
import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from google import genai
from google.genai import errors, types

from standin import StandinProcess

MODEL = "gemini-2.5-flash"


@pytest.fixture
def client(standin: StandinProcess) -> Iterator[genai.Client]:
    made = genai.Client(
        api_key=standin.credential,
        http_options=types.HttpOptions(base_url=standin.base_url),
    )
    yield made
    made.close()


def config(standin_keys: str = "", **more: Any) -> types.GenerateContentConfig:
    options = types.HttpOptions(headers={"x-standin": standin_keys})
    return types.GenerateContentConfig(http_options=options, **more)


def test_content_is_generated_and_the_bill_has_what_its_usage_says(
    client: genai.Client, standin: StandinProcess
) -> None:
    done = client.models.generate_content(
        model=MODEL,
        contents="Say hi.",
        config=config("tag=g1; input_tokens=7; output_tokens=124; reasoning=1097"),
    )
    usage = done.usage_metadata
    assert usage is not None
    assert (usage.prompt_token_count, usage.candidates_token_count) == (7, 124)
    assert (usage.thoughts_token_count, usage.total_token_count) == (1_097, 1_228)
    (line,) = standin.lines("g1")
    assert (line["input"], line["output"], line["reasoning"]) == (7, 1_221, 1_097)
    assert line["cost_nusd"] == 7 * 300 + 1_221 * 2_500


def test_cached_content_is_part_of_the_prompt(
    client: genai.Client, standin: StandinProcess
) -> None:
    done = client.models.generate_content(
        model="gemini-2.5-pro",
        contents="Say hi.",
        config=config("tag=g7; input_tokens=262960; cached=257955; output_tokens=1744"),
    )
    usage = done.usage_metadata
    assert usage is not None
    assert usage.prompt_token_count == 262_960
    assert usage.cached_content_token_count == 257_955
    (line,) = standin.lines("g7")
    assert (line["input"], line["cached"]) == (5_005, 257_955)
    # above 200,000 tokens: $2.50, $0.25 and $15.00
    assert line["cost_nusd"] == 5_005 * 2_500 + 257_955 * 250 + 1_744 * 15_000


def test_a_stream_tells_totals_so_far_in_every_chunk(
    client: genai.Client, standin: StandinProcess
) -> None:
    chunks = list(
        client.models.generate_content_stream(
            model=MODEL,
            contents="Say hi.",
            config=config(
                "tag=gs; chunks=4; reasoning=40",
                thinking_config=types.ThinkingConfig(include_thoughts=True),
            ),
        )
    )
    totals = [c.usage_metadata.candidates_token_count for c in chunks if c.usage_metadata]
    assert totals == [0, 5, 10, 15, 20, 20]
    last: Any = chunks[-1]
    assert last.candidates[0].finish_reason == "STOP"
    assert last.usage_metadata.thoughts_token_count == 40
    assert [line["output"] for line in standin.lines("gs")] == [60]


def test_without_alt_sse_the_stream_is_one_json_array(standin: StandinProcess) -> None:
    request = urllib.request.Request(
        f"{standin.base_url}/v1beta/models/{MODEL}:streamGenerateContent",
        data=json.dumps({"contents": [{"parts": [{"text": "Say hi."}]}]}).encode(),
        headers={"x-goog-api-key": standin.credential, "x-standin": "chunks=3"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.headers["content-type"] == "application/json"
        elements = json.load(answer)
    assert len(elements) == 4
    assert elements[-1]["candidates"][0]["finishReason"] == "STOP"


def test_a_function_is_called(client: genai.Client) -> None:
    function = types.FunctionDeclaration(
        name="weather",
        parameters=types.Schema(
            type=types.Type.OBJECT,
            properties={"city": types.Schema(type=types.Type.STRING)},
            required=["city"],
        ),
    )
    done = client.models.generate_content(
        model=MODEL,
        contents="Weather?",
        config=config(tools=[types.Tool(function_declarations=[function])]),
    )
    assert done.function_calls is not None
    (call,) = done.function_calls
    assert call.name == "weather"
    assert set(call.args or {}) == {"city"}


def test_structured_output_fits_its_schema(client: genai.Client) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    done = client.models.generate_content(
        model=MODEL,
        contents="A number.",
        config=config(response_mime_type="application/json", response_json_schema=schema),
    )
    assert isinstance(json.loads(done.text or "")["n"], int)


def test_the_limit_holds_for_each_candidate_with_its_thoughts(
    client: genai.Client, standin: StandinProcess
) -> None:
    done = client.models.generate_content(
        model=MODEL,
        contents="Say hi.",
        config=config(
            "tag=gl; output_tokens=500; reasoning=30", max_output_tokens=50, candidate_count=2
        ),
    )
    assert done.candidates is not None
    assert [c.finish_reason for c in done.candidates] == ["MAX_TOKENS"] * 2
    assert [(x["output"], x["reasoning"]) for x in standin.lines("gl")] == [(100, 60)]


def test_sound_is_counted_and_billed_as_sound(
    client: genai.Client, standin: StandinProcess
) -> None:
    part = types.Part.from_bytes(data=base64.b64decode("AAAA" * 40), mime_type="audio/wav")
    done = client.models.generate_content(
        model=MODEL, contents=["Listen.", part], config=config("tag=ga")
    )
    assert done.usage_metadata is not None
    details = done.usage_metadata.prompt_tokens_details or []
    counts = {d.modality.value: d.token_count for d in details if d.modality}
    (line,) = standin.lines("ga")
    assert counts["AUDIO"] == line["input_audio"] > 0
    assert line["cost_nusd"] == line["input"] * 300 + line["input_audio"] * 1_000 + 20 * 2_500


def test_counting_tokens_is_free(client: genai.Client, standin: StandinProcess) -> None:
    options = types.HttpOptions(headers={"x-standin": "tag=gc"})
    counted = client.models.count_tokens(
        model=MODEL, contents="four", config=types.CountTokensConfig(http_options=options)
    )
    assert counted.total_tokens == 1
    assert standin.lines("gc") == []


def test_embeddings_are_billed_by_their_input(
    client: genai.Client, standin: StandinProcess
) -> None:
    options = types.HttpOptions(headers={"x-standin": "tag=ge"})
    done = client.models.embed_content(
        model="gemini-embedding-001",
        contents=["four", "more words"],
        config=types.EmbedContentConfig(output_dimensionality=16, http_options=options),
    )
    assert done.embeddings is not None
    assert [len(each.values or ()) for each in done.embeddings] == [16, 16]
    assert [(x["input"], x["output"]) for x in standin.lines("ge")] == [(4, 0)]


def test_errors_come_in_its_own_envelope(client: genai.Client) -> None:
    with pytest.raises(errors.ServerError) as failed:
        client.models.generate_content(model=MODEL, contents="hi", config=config("status=503"))
    assert (failed.value.code, failed.value.status) == (503, "UNAVAILABLE")
    with pytest.raises(errors.ClientError) as rejected:
        client.models.generate_content(model="gemini-99", contents="hi")
    assert (rejected.value.code, rejected.value.status) == (404, "NOT_FOUND")


def test_its_models_are_listed(client: genai.Client) -> None:
    assert f"models/{MODEL}" in [model.name for model in client.models.list()]
    assert client.models.get(model=MODEL).name == f"models/{MODEL}"
