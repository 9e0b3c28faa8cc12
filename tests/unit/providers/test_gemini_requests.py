"""What is asked of Gemini, and what may it cost?"""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward.kernel.json_text import parse_object
from tokenward.kernel.refusals import Refusal
from tokenward.kernel.secret import Secret
from tokenward.kernel.usage import Usage
from tokenward.providers.ask import Ask, Meter, Request, Route
from tokenward.providers.gemini import GEMINI
from tokenward.providers.gemini.content import IMAGE_TOKENS
from tokenward.providers.gemini.request import (
    _BOUNDED_CONFIG,
    _BOUNDED_FIELDS,
    IMAGE_OUTPUT_TOKENS,
)

TEXT: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}
MODEL = "gemini-2.5-flash"


def route(operation: str) -> Route:
    return next(route for route in GEMINI.routes if route.operation == operation)


def request(
    body: object, operation: str = "generate_content", model: str = MODEL, query: bytes = b""
) -> Request:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Request(route=route(operation), model_in_path=model, query=query, headers={}, body=raw)


def ask(body: dict[str, Any] | None = None, /, *, model: str = MODEL, **fields: object) -> Ask:
    read = GEMINI.inspect(request({**TEXT, **(body or {}), **fields}, model=model))
    assert isinstance(read, Ask), read
    return read


def refused(asked: Request) -> str:
    read = GEMINI.inspect(asked)
    assert isinstance(read, Refusal)
    assert (read.code, read.status) == ("request:invalid", 400)
    return read.message


def parts(*items: object) -> list[dict[str, object]]:
    return [{"parts": list(items)}]


def size(**fields: object) -> int:
    return len(json.dumps({**TEXT, **fields}))


def inline(kind: str, data: str = "A" * 90_000) -> dict[str, Any]:
    return {"inlineData": {"mimeType": kind, "data": data}}


def test_a_plain_request_is_bounded_by_its_bytes() -> None:
    read = ask()
    assert read.model == MODEL
    assert read.most == Usage(input=size())
    assert (read.output_asked, read.output_min, read.choices) == (None, 1, 1)
    assert (read.open_ended, read.unbounded, read.output_bucket) == ("", "", "output")


def test_only_the_streaming_route_streams() -> None:
    streamed = GEMINI.inspect(request(TEXT, "stream_generate_content", query=b"alt=sse"))
    assert isinstance(streamed, Ask)
    assert (streamed.stream, ask().stream) == (True, False)


@pytest.mark.parametrize(
    "config",
    [
        {"generationConfig": {"maxOutputTokens": 100, "candidateCount": 2}},
        {"generation_config": {"max_output_tokens": 100, "candidate_count": 2}},
        {"generationConfig": {"max_output_tokens": "100", "candidateCount": "2"}},
    ],
)
def test_both_spellings_and_digits_in_a_string_are_read(config: dict[str, Any]) -> None:
    read = ask(config)
    assert (read.output_asked, read.choices) == (100, 2)


@pytest.mark.parametrize(
    "body",
    [
        {"generationConfig": {}, "generation_config": {}},
        {"generationConfig": {"maxOutputTokens": 1, "max_output_tokens": 9}},
        {"generationConfig": {"candidateCount": 1, "candidate_count": 9}},
        {"cachedContent": "a", "cached_content": "b"},
        {"contents": parts({"inlineData": {}, "inline_data": {}})},
        {"tools": [{"googleSearch": {}, "google_search": {}}]},
    ],
)
def test_a_field_in_both_spellings_is_refused(body: dict[str, Any]) -> None:
    assert "is given twice" in refused(request({**TEXT, **body}))


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"maxOutputTokens": 0}, "maxOutputTokens"),
        ({"maxOutputTokens": -5}, "maxOutputTokens"),
        ({"maxOutputTokens": 10.0}, "maxOutputTokens"),
        ({"maxOutputTokens": "10.0"}, "maxOutputTokens"),
        ({"maxOutputTokens": "1e3"}, "maxOutputTokens"),
        ({"maxOutputTokens": 2**31}, "maxOutputTokens"),
        ({"maxOutputTokens": "9999999999"}, "maxOutputTokens"),
        ({"maxOutputTokens": True}, "maxOutputTokens"),
        ({"candidateCount": 0}, "candidateCount"),
        ({"thinkingConfig": []}, "thinkingConfig"),
        ({"thinkingConfig": {"thinkingBudget": -2}}, "thinkingBudget"),
        ({"responseModalities": [5]}, "responseModalities"),
    ],
)
def test_a_config_that_no_provider_accepts_is_refused_by_name(
    config: dict[str, Any], named: str
) -> None:
    assert refused(request({**TEXT, "generationConfig": config})).startswith(f"{named}: ")


@pytest.mark.parametrize("body", [{}, {"contents": []}, {"contents": None}, {"contents": "hi"}])
def test_a_request_without_contents_is_refused(body: dict[str, Any]) -> None:
    assert refused(request(body)).startswith("contents: ")


def test_a_single_item_stands_for_a_list_of_one() -> None:
    picture = {"parts": inline("image/png")}
    assert ask(contents=picture).most.input == size(contents=picture) - 90_000


@pytest.mark.req("B-5")
def test_the_least_output_is_above_the_thinking_budget() -> None:
    def least(thinking: object) -> int:
        return ask(generationConfig={"thinkingConfig": thinking}).output_min

    assert least({"thinkingBudget": 512}) == 513
    assert least({"thinking_budget": "512"}) == 513
    assert least({"thinkingBudget": 0}) == 1
    assert least({"thinkingBudget": -1}) == 1
    assert least(None) == 1


@pytest.mark.parametrize(
    ("model", "asked", "bucket"),
    [
        (MODEL, None, "output"),
        (MODEL, ["TEXT"], "output"),
        ("gemini-2.5-flash-image", None, "output_image"),
        ("gemini-2.5-flash-image", ["TEXT"], "output"),
        (MODEL, ["TEXT", "image"], "output_image"),
        (MODEL, "AUDIO", "output_audio"),
        ("gemini-2.5-flash-preview-tts", None, "output_audio"),
    ],
)
def test_output_is_bounded_as_the_dearest_kind_it_can_be(
    model: str, asked: object, bucket: str
) -> None:
    read = ask(generationConfig={"responseModalities": asked}, model=model)
    assert (read.output_bucket, read.unbounded) == (bucket, "")
    assert (read.output_min >= IMAGE_OUTPUT_TOKENS) is (bucket == "output_image")


def test_a_picture_counts_as_its_ceiling_not_as_its_bytes() -> None:
    contents = parts(inline("image/png"), {"text": "What is it?"})
    most = ask(contents=contents).most
    assert most == Usage(input=size(contents=contents) - 90_000, input_image=IMAGE_TOKENS)
    snake = parts({"inline_data": {"mime_type": "image/png", "data": "A" * 90_000}})
    assert ask(contents=snake).most.input_image == IMAGE_TOKENS


def test_no_shape_of_a_picture_has_more_tiles_than_its_ceiling() -> None:
    def tiles(width: int, height: int) -> int:
        side = max(256, min(768, int(min(width, height) / 1.5)))
        return -(-width // side) * -(-height // side)

    assert (max(tiles(3_072, height) for height in range(1, 3_073)) + 1) * 258 == IMAGE_TOKENS


def test_the_arguments_of_a_function_cannot_pass_for_a_picture() -> None:
    contents = parts({"functionCall": {"name": "f", "args": inline("image/png")}})
    assert ask(contents=contents).most.input >= size(contents=contents)


@pytest.mark.parametrize(
    ("part", "why", "bucket"),
    [
        (inline("audio/wav"), "media of the type 'audio/wav'", "input_audio"),
        (inline("video/mp4"), "media of the type 'video/mp4'", "input_audio"),
        (inline("application/pdf"), "media of the type 'application/pdf'", "input"),
        (inline("text/plain"), "", "input"),
        ({"fileData": {"fileUri": "https://x.example/v"}}, "a file", "input_audio"),
        ({"file_data": {"file_uri": "https://x.example/v"}}, "a file", "input_audio"),
    ],
)
def test_content_of_unknowable_size_is_open_ended(
    part: dict[str, Any], why: str, bucket: str
) -> None:
    read = ask(contents=parts(part))
    assert read.open_ended == why
    assert getattr(read.most, bucket) > 0


def test_cached_content_is_open_ended() -> None:
    assert ask(cachedContent="cachedContents/1").open_ended == "cached content"
    assert ask(cached_content="cachedContents/1").open_ended == "cached content"


@pytest.mark.parametrize("model", ["gemini-2.5-flash", "gemini-2.0-flash", "gemini-1.5-pro"])
def test_search_has_one_fee_a_prompt_in_older_models(model: str) -> None:
    read = ask(tools=[{"google_search": {}}], model=model)
    assert (read.most.searches, read.unbounded) == (1, "")
    assert read.open_ended


@pytest.mark.parametrize(
    ("fields", "model", "word"),
    [
        ({"tools": [{"googleSearch": {}}]}, "gemini-3-pro-preview", "query"),
        ({"tools": [{"googleSearch": {}}]}, "gemini-flash-latest", "query"),
        ({"tools": [{"googleMaps": {}}]}, MODEL, "googleMaps"),
        ({"tools": [{"hologram": {}}]}, MODEL, "hologram"),
        ({"continuationToken": "t"}, MODEL, "continuationToken"),
        ({"generationConfig": {"hologram": 1}}, MODEL, "hologram"),
        ({"generationConfig": {"responseModalities": ["VIDEO"]}}, MODEL, "moving pictures"),
        ({"generationConfig": {"responseModalities": ["IMAGE", "AUDIO"]}}, MODEL, "sound"),
        ({}, "gemini-omni-flash-preview", "moving pictures"),
    ],
)
def test_what_has_no_bound_says_why(fields: dict[str, Any], model: str, word: str) -> None:
    assert word in ask(fields, model=model).unbounded


@pytest.mark.parametrize("name", ["urlContext", "codeExecution", "file_search", "computerUse"])
def test_tools_that_bring_text_in_are_open_ended(name: str) -> None:
    read = ask(tools=[{name: {}}])
    assert (read.unbounded, read.most.searches) == ("", 0)
    assert read.open_ended


def test_functions_are_bounded_by_their_bytes() -> None:
    tools = [{"functionDeclarations": [{"name": "f"}]}]
    read = ask(tools=tools)
    assert (read.most.input, read.open_ended, read.unbounded) == (size(tools=tools), "", "")


@pytest.mark.parametrize(
    ("asked", "tiers"),
    [
        (None, ("",)),
        ("standard", ("",)),
        ("flex", ("", "flex")),
        ("SERVICE_TIER_PRIORITY", ("", "priority")),
    ],
)
def test_tiers_are_those_it_may_be_billed_at(asked: str | None, tiers: tuple[str, ...]) -> None:
    assert ask(serviceTier=asked).service_tiers == tiers
    assert ask(service_tier=asked).service_tiers == tiers


def test_a_model_in_the_body_must_be_the_one_in_the_path() -> None:
    named = {**TEXT, "model": f"models/{MODEL}"}
    assert isinstance(GEMINI.inspect(request(named)), Ask)
    assert refused(request({**TEXT, "model": "models/gemini-3-pro"})).startswith("model: ")
    several = {"requests": [{"model": "models/gemini-3-pro", "content": {"parts": []}}]}
    assert refused(request(several, "batch_embed_contents")).startswith("model: ")
    nested = {"generateContentRequest": {**TEXT, "model": "models/gemini-3-pro"}}
    assert refused(request(nested, "count_tokens")).startswith("model: ")


@pytest.mark.parametrize(
    "name", ["", "..", "a/b", "a%2Fb", "gemini:generateContent", "a%3Ab", "a?b", "a%00", "é"]
)
@pytest.mark.req("S-1")
def test_a_path_can_only_name_a_model(name: str) -> None:
    for operation in ("generate_content", "get_model", "count_tokens", "embed_content"):
        assert isinstance(GEMINI.inspect(request(TEXT, operation, model=name)), Refusal)


def test_a_model_in_the_path_is_decoded() -> None:
    assert ask(model="gemini%2D2.5-flash").model == MODEL


@pytest.mark.parametrize("query", [b"alt=proto", b"$alt=proto", b"%24alt=media", b"a=1&alt=xml"])
def test_an_answer_in_another_form_than_json_is_refused(query: bytes) -> None:
    assert refused(request(TEXT, query=query)).startswith("alt: ")
    for fine in (b"alt=sse", b"alt=json", b"$alt=SSE", b"x=1"):
        assert isinstance(GEMINI.inspect(request(TEXT, query=fine)), Ask)


def test_embeddings_have_input_alone() -> None:
    one = {"model": f"models/{MODEL}", "content": {"parts": [{"text": "a"}, inline("image/png")]}}
    read = GEMINI.inspect(request(one, "embed_content"))
    assert isinstance(read, Ask)
    assert not read.has_output
    assert read.most == Usage(input=len(json.dumps(one)) - 90_000, input_image=IMAGE_TOKENS)
    several = GEMINI.inspect(request({"requests": [one, one]}, "batch_embed_contents"))
    assert isinstance(several, Ask)
    assert several.most.input_image == 2 * IMAGE_TOKENS


@pytest.mark.req("M-9")
def test_every_route_declares_its_meter_in_both_versions() -> None:
    meters = {route.path: route.meter for route in GEMINI.routes}
    for version in ("/v1beta", "/v1"):
        assert meters[version + "/models/{model}:generateContent"] is Meter.USAGE
        assert meters[version + "/models/{model}:countTokens"] is Meter.FREE
        assert meters[version + "/models"] is Meter.FREE
    assert len(meters) == len(GEMINI.routes) == 14
    counted = GEMINI.inspect(request(TEXT, "count_tokens"))
    assert isinstance(counted, Ask)
    assert not counted.has_output


def rewritten(body: bytes, limit: int | None = 77) -> bytes:
    asked = request(body)
    read = GEMINI.inspect(asked)
    assert isinstance(read, Ask), read
    return GEMINI.rewrite(asked, read, limit)


HEAD = b'{ "contents":[{"parts":[{"text":"a"}]}]'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (HEAD + b"}", b'{"generationConfig":{"maxOutputTokens":77}, ' + HEAD[2:] + b"}"),
        (
            HEAD + b', "generationConfig" : { "topK":1 } }',
            HEAD + b', "generationConfig" : {"maxOutputTokens":77, "topK":1 } }',
        ),
        (
            HEAD + b',"generation_config":{}}',
            HEAD + b',"generation_config":{"max_output_tokens":77}}',
        ),
        (
            HEAD + b',"generationConfig":null}',
            HEAD + b',"generationConfig":{"maxOutputTokens":77}}',
        ),
        (
            HEAD + b',"generationConfig":{"max_output_tokens":null}}',
            HEAD + b',"generationConfig":{"max_output_tokens":77}}',
        ),
    ],
)
@pytest.mark.req("B-5")
def test_the_limit_is_set_in_the_callers_own_bytes(before: bytes, after: bytes) -> None:
    assert rewritten(before) == after
    again = GEMINI.inspect(request(after))
    assert isinstance(again, Ask)
    assert again.output_asked == 77


def test_nothing_else_is_ever_changed() -> None:
    own_limit = HEAD + b',"generationConfig":{"maxOutputTokens":5}}'
    assert rewritten(own_limit) == own_limit
    assert rewritten(HEAD + b"}", None) == HEAD + b"}"


def test_the_credential_goes_where_the_provider_reads_it() -> None:
    assert GEMINI.credential(Secret("AIza", "google")) == ((b"x-goog-api-key", b"AIza"),)


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (400, "INVALID_ARGUMENT"),
        (401, "UNAUTHENTICATED"),
        (402, "FAILED_PRECONDITION"),
        (403, "PERMISSION_DENIED"),
        (404, "NOT_FOUND"),
        (413, "INVALID_ARGUMENT"),
        (429, "RESOURCE_EXHAUSTED"),
        (500, "INTERNAL"),
        (502, "INTERNAL"),
        (503, "UNAVAILABLE"),
    ],
)
@pytest.mark.req("F-2")
def test_a_refusal_wears_googles_envelope(status: int, name: str) -> None:
    facts = (("scope", "key:k1"), ("limit_nusd", 5), ("resets_at", None))
    refusal = Refusal("cap:held", status, "It is held.", "", True, 7, facts)
    error = json.loads(GEMINI.error(refusal, "req-1"))["error"]
    assert (error["code"], error["status"], error["message"]) == (status, name, "It is held.")
    info, retry = error["details"]
    assert info == {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "cap:held",
        "domain": "tokenward",
        "metadata": {"scope": "key:k1", "limit_nusd": "5", "request_id": "req-1"},
    }
    assert retry == {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(sorted(_BOUNDED_CONFIG)) | st.text(max_size=9), inner, max_size=3
        )
    ),
    max_leaves=8,
)


@given(
    fields=st.dictionaries(st.sampled_from(sorted(_BOUNDED_FIELDS)), json_values, max_size=5),
    operation=st.sampled_from(sorted({route.operation for route in GEMINI.routes})),
)
def test_any_json_is_asked_or_refused_but_never_raises(
    fields: dict[str, Any], operation: str
) -> None:
    asked = request({**TEXT, **fields}, operation)
    read = GEMINI.inspect(asked)
    assert isinstance(read, Ask | Refusal)
    if isinstance(read, Ask) and read.has_output and read.output_asked is None:
        limited = parse_object(GEMINI.rewrite(asked, read, 5))
        again = GEMINI.inspect(request(limited, operation))
        assert isinstance(again, Ask)
        assert again.output_asked == 5
