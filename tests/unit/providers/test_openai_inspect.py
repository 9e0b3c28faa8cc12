"""What a request in the OpenAI dialect may cost at most, and which requests are no requests."""

import base64
import json
import warnings

import pytest
from msgspec.structs import replace

from openai_calls import MESSAGES, asked, refused, request
from tokenward.kernel.usage import Usage
from tokenward.providers.ask import Ask
from tokenward.providers.openai import OPENAI
from tokenward.providers.openai.input_bound import image_tokens_most

CHAT = {"model": "gpt-5.6-sol", "messages": MESSAGES}
RESPONSE = {"model": "gpt-5.6-sol", "input": "Hello"}
LIMITS = [0, -1, 1.5, "10", True, 2**31, [], {}]


def user(*parts: object) -> dict[str, object]:
    return CHAT | {"messages": [{"role": "user", "content": list(parts)}]}


def wav(seconds: int, rate: int = 16_000) -> bytes:
    form = b"fmt " + (16).to_bytes(4, "little") + b"\1\0\1\0" + rate.to_bytes(4, "little")
    form += (rate * 2).to_bytes(4, "little") + b"\2\0\x10\0"
    return b"RIFF\0\0\0\0WAVE" + form + b"data\0\0\0\0" + b"\0" * (seconds * rate * 2)


def o200k_tokens(text: str) -> int:
    with warnings.catch_warnings():
        # The library opens its own data in a way that Python calls deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        import bpe_openai

        return len(bpe_openai.get_encoding("o200k_base").encode(text))


@pytest.mark.req("M-9")
def test_every_route_declares_its_meter_and_can_be_inspected() -> None:
    assert len({(route.method, route.path) for route in OPENAI.routes}) == len(OPENAI.routes) == 32
    for route in OPENAI.routes:
        assert OPENAI.inspect(request(route.operation, b"{}")) is not None


def test_a_plain_call_is_read() -> None:
    ask = asked("chat", CHAT | {"max_completion_tokens": 50, "n": 3, "stream": True})
    assert (ask.model, ask.stream, ask.output_asked, ask.choices) == ("gpt-5.6-sol", True, 50, 3)
    assert (ask.open_ended, ask.unbounded, ask.output_bucket) == ("", "", "output")
    assert ask.counted_text == ("Hello",)


@pytest.mark.req("B-5")
@pytest.mark.parametrize(
    "text",
    [
        "plain words, many of them. " * 40,
        "数字と漢字、ひらがな。" * 40,
        '\u0000\u0001\u001f\\"' * 40,
        "🏳️‍🌈👩‍👩‍👧‍👦" * 40,
        "a" * 900,
        "\ufdfa\u0958\U0001d160" * 40,
    ],
)
@pytest.mark.parametrize("escaped", [True, False])
def test_text_is_never_more_tokens_than_the_bound(text: str, escaped: bool) -> None:
    body = json.dumps(
        CHAT | {"messages": [{"role": "user", "content": text}]}, ensure_ascii=escaped
    )
    tokens = o200k_tokens(text)
    assert tokens + 12 <= asked("chat", body.encode()).most.cache_write_5m
    assert asked("completions", {"model": "m", "prompt": text}).most.input >= tokens + 12


def test_the_template_of_many_empty_messages_is_covered() -> None:
    many = [{"role": "user", "content": ""}] * 1000
    assert asked("chat", CHAT | {"messages": many}).most.cache_write_5m >= 1000 * 20


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("gpt-4o-mini", 48_169),
        ("gpt-4o-2024-11-20", 1_445),
        ("gpt-4.1", 1_445),
        ("openai/o3", 1_445),
        ("gpt-4.1-mini", 6_150),
        ("gpt-5-mini-2025-08-07", 6_150),
        ("gpt-5.4", 24_600),
        ("my-model", 24_600),
    ],
)
def test_an_image_has_a_ceiling_by_family(model: str, tokens: int) -> None:
    assert image_tokens_most(model) == tokens


def test_an_inline_image_costs_its_ceiling_and_not_its_base64() -> None:
    data = "data:image/png;base64," + "A" * 1_000_000
    by_url = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    inline = {"type": "image_url", "image_url": {"url": data, "detail": "low"}}
    most = asked("chat", user(inline, by_url)).most.cache_write_5m
    assert 2 * 24_600 < most < 2 * 24_600 + 1_000
    in_response = {"type": "input_image", "image_url": data}
    body = RESPONSE | {"input": [{"role": "user", "content": [in_response]}]}
    assert 24_600 < asked("responses", body).most.cache_write_5m < 24_600 + 1_000


def test_base64_that_is_text_counts_as_text() -> None:
    text = {"type": "text", "text": "data:image/png;base64," + "A" * 1_000}
    assert asked("chat", user(text)).most.cache_write_5m > 1_000
    no_image = {"type": "image_url", "image_url": {"url": "data:text/plain," + "A" * 1_000}}
    assert asked("chat", user(no_image)).most.cache_write_5m > 24_600 + 1_000


def test_sound_is_bounded_by_its_length() -> None:
    data = base64.b64encode(wav(seconds=4)).decode()
    ask = asked(
        "chat", user({"type": "input_audio", "input_audio": {"data": data, "format": "wav"}})
    )
    assert 4 * 10 <= ask.most.input_audio <= 4 * 25 + 25
    assert ask.most.cache_write_5m < 1_000
    assert ask.open_ended == ""
    ogg = base64.b64encode(b"OggS" + b"\0" * 100).decode()
    part = {"type": "input_audio", "input_audio": {"data": ogg, "format": "wav"}}
    assert "length" in asked("chat", user(part)).open_ended


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("chat", user({"type": "file", "file": {"file_id": "file-1"}})),
        ("chat", user({"type": "video_url", "video_url": {"url": "https://example.com"}})),
        ("chat", CHAT | {"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]}),
        ("chat", CHAT | {"chat_template": "{% for x in range(9999999) %}a{% endfor %}"}),
        ("chat", CHAT | {"web_search_options": {}}),
        ("chat", CHAT | {"model": "gpt-5-search-api"}),
        ("completions", {"model": "m", "prompt_embeds": "AAAA"}),
        ("responses", RESPONSE | {"previous_response_id": "resp_1"}),
        ("responses", RESPONSE | {"conversation": {"id": "conv_1"}}),
        ("responses", RESPONSE | {"prompt": {"id": "pmpt_1"}}),
        ("responses", RESPONSE | {"input": [{"type": "item_reference", "id": "msg_1"}]}),
        ("responses", RESPONSE | {"input": [{"type": "reasoning", "id": "rs_1", "summary": []}]}),
        ("responses", RESPONSE | {"input": [{"type": "compaction", "encrypted_content": "x"}]}),
        (
            "responses",
            RESPONSE | {"input": [{"role": "user", "content": [{"type": "input_file"}]}]},
        ),
        ("responses", RESPONSE | {"tools": [{"type": "web_search"}]}),
        ("responses", RESPONSE | {"tools": [{"type": "file_search", "vector_store_ids": ["v"]}]}),
    ],
)
def test_input_that_the_request_hides_is_open_ended(operation: str, body: object) -> None:
    ask = asked(operation, body)
    assert ask.open_ended
    assert not ask.unbounded


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("chat", CHAT | {"tools": [{"type": "code_interpreter"}]}),
        ("chat", CHAT | {"plugins": [{"id": "web"}]}),
        ("responses", RESPONSE | {"tools": [{"type": "code_interpreter", "container": "c"}]}),
        ("responses", RESPONSE | {"tools": [{"type": "mcp", "server_label": "s"}]}),
        ("responses", RESPONSE | {"tools": [{"type": "image_generation"}]}),
        ("responses", RESPONSE | {"tools": [{"type": "a_tool_of_tomorrow"}]}),
        ("responses", RESPONSE | {"tools": [{"type": "shell", "environment": {"type": "auto"}}]}),
        ("responses", RESPONSE | {"tools": [{"type": "namespace", "tools": [{"type": "mcp"}]}]}),
        (
            "responses",
            RESPONSE | {"input": [{"type": "additional_tools", "tools": [{"type": "mcp"}]}]},
        ),
        ("responses", RESPONSE | {"model": "gpt-4o", "tools": [{"type": "web_search_preview"}]}),
        ("responses", RESPONSE | {"context_management": [{"type": "a_way_of_tomorrow"}]}),
        ("chat", CHAT | {"context_management": [{"type": "compaction"}]}),
        ("speech", {"model": "gpt-4o-mini-tts", "input": "Hi", "voice": "alloy"}),
        ("images", {"model": "gpt-image-2.5-flare", "prompt": "Hi"}),
        ("images", {"model": "gpt-image-2", "prompt": "Hi", "output_format": "gif"}),
    ],
)
def test_a_cost_that_nothing_limits_is_unbounded(operation: str, body: object) -> None:
    assert asked(operation, body).unbounded


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "function", "name": "f", "parameters": {}},
        {"type": "custom", "name": "c"},
        {"type": "computer_use_preview"},
        {"type": "shell", "environment": {"type": "local"}},
        {"type": "tool_search", "execution": "client"},
        {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "f"}]},
    ],
)
def test_tools_that_the_caller_runs_are_text(tool: object) -> None:
    ask = asked("responses", RESPONSE | {"tools": [tool]})
    assert (ask.open_ended, ask.unbounded, ask.rounds) == ("", "", 1)


def test_searches_are_counted_by_the_calls_allowed() -> None:
    tools = {"tools": [{"type": "web_search"}, {"type": "file_search"}]}
    ask = asked("responses", RESPONSE | tools)
    assert (ask.most.searches, ask.most.file_searches, ask.rounds) == (4, 4, 5)
    ask = asked("responses", RESPONSE | tools | {"max_tool_calls": 2})
    assert (ask.most.searches, ask.most.file_searches, ask.rounds) == (2, 2, 3)
    ask = asked("chat", CHAT | {"web_search_options": {}, "n": 2})
    assert (ask.most.searches, ask.rounds) == (2, 4)


def test_a_cache_kept_longer_is_bounded_at_its_own_price() -> None:
    part = {"type": "text", "text": "Hi", "prompt_cache_breakpoint": {"mode": "e", "ttl": "12h"}}
    for body in (user(part), CHAT | {"prompt_cache_options": {"ttl": "12h"}}):
        most = asked("chat", body).most
        assert most.cache_write_1h
        assert not most.cache_write_5m
    assert asked("chat", CHAT | {"prompt_cache_options": {"ttl": "30m"}}).most.cache_write_5m


def test_sound_made_is_the_dearest_output() -> None:
    body = CHAT | {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}}
    assert asked("chat", body).output_bucket == "output_audio"


@pytest.mark.parametrize(
    ("tier", "tiers"),
    [(None, ("auto",)), ("auto", ("auto",)), ("default", ("",)), ("flex", ("flex",))],
)
def test_the_tiers_that_may_be_billed(tier: str | None, tiers: tuple[str, ...]) -> None:
    for operation, body in (("chat", CHAT), ("responses", RESPONSE)):
        assert asked(operation, body | {"service_tier": tier}).service_tiers == tiers


@pytest.mark.parametrize(
    ("fields", "choices"),
    [
        ({"prompt": "a"}, 1),
        ({"prompt": ["a", "b"]}, 2),
        ({"prompt": [1, 2, 3]}, 1),
        ({"prompt": [[1], [2, 3]], "n": 2}, 4),
        ({"prompt": ["a", "b"], "n": 2, "best_of": 5}, 10),
        ({}, 1),
    ],
)
def test_every_prompt_makes_its_own_choices(fields: dict[str, object], choices: int) -> None:
    assert asked("completions", {"model": "m"} | fields).choices == choices


def test_token_ids_are_counted_not_their_digits() -> None:
    ask = asked("embeddings", {"model": "text-embedding-3-small", "input": [[100_000] * 500] * 4})
    assert 2_000 <= ask.most.input <= 2_300
    assert not ask.has_output


def test_the_larger_of_two_limits_bounds() -> None:
    ask = asked("chat", CHAT | {"max_tokens": 10, "max_completion_tokens": 20})
    assert ask.output_asked == 20
    assert asked("chat", CHAT | {"max_tokens": None}).output_asked is None
    only_chat = {"model": "m", "prompt": "x", "max_completion_tokens": 5}
    assert asked("completions", only_chat).output_asked is None


def test_half_a_surrogate_pair_is_bounded_and_not_counted_exactly() -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"\\ud83d"}]}'
    assert asked("chat", body).counted_text == ()


@pytest.mark.parametrize(
    ("operation", "body", "named"),
    [
        ("chat", b"[]", "object"),
        ("chat", b"{", "JSON"),
        ("chat", b'{"model":"a","model":"b","messages":[]}', "twice"),
        ("chat", {"messages": MESSAGES}, "model"),
        *(("chat", CHAT | {"model": model}, "model") for model in ("", 7, None, "a\n", "x" * 257)),
        *(("chat", CHAT | {"messages": value}, "messages") for value in (None, [], {}, "x", [1])),
        ("chat", CHAT | {"messages": [{"role": 1}]}, "role"),
        ("chat", CHAT | {"messages": [{"role": "user", "content": 7}]}, "content"),
        ("chat", user({"text": "no type"}), "type"),
        ("chat", user({"type": "input_audio", "input_audio": {"data": "!"}}), "base64"),
        ("chat", user({"type": "image_url", "image_url": 5}), "image_url"),
        ("chat", CHAT | {"stream": "yes"}, "stream"),
        ("chat", CHAT | {"stream_options": []}, "stream_options"),
        ("chat", CHAT | {"stream_options": {"include_usage": 1}}, "include_usage"),
        *(("chat", CHAT | {"n": n}, "n:") for n in (0, 129, 1.0, "2", True)),
        *(("chat", CHAT | {"max_tokens": limit}, "max_tokens") for limit in LIMITS[1:]),
        *(
            ("chat", CHAT | {"max_completion_tokens": limit}, "max_completion_tokens")
            for limit in LIMITS[1:]
        ),
        *(
            ("responses", RESPONSE | {"max_output_tokens": limit}, "max_output_tokens")
            for limit in LIMITS
        ),
        ("chat", CHAT | {"tools": {}}, "tools"),
        ("chat", CHAT | {"functions": "f"}, "functions"),
        ("chat", CHAT | {"modalities": "audio"}, "modalities"),
        ("chat", CHAT | {"service_tier": 1}, "service_tier"),
        ("chat", CHAT | {"models": ["gpt-6-astra"]}, "models"),
        ("chat", CHAT | {"n_predict": 5}, "n_predict"),
        ("responses", RESPONSE | {"background": "yes"}, "background"),
        ("responses", {"input": "Hello"}, "model"),
        ("responses", {"model": None, "input": "Hello"}, "model"),
        ("responses", RESPONSE | {"context_management": {}}, "context_management"),
        ("compact", {"input": "Hello"}, "model"),
        ("compact", RESPONSE | {"models": ["gpt-6-astra"]}, "models"),
        ("responses", RESPONSE | {"input": 5}, "input"),
        ("responses", RESPONSE | {"tools": [{"type": "web_search"}], "max_tool_calls": 0}, "calls"),
        ("completions", {"model": "m", "prompt": 5}, "prompt"),
        ("completions", {"model": "m", "prompt": ["a", 5]}, "prompt[1]"),
        ("completions", {"model": "m", "best_of": -1}, "best_of"),
        ("embeddings", {"model": "m"}, "input"),
        ("embeddings", {"model": "m", "input": [[1, -2]]}, "input[0]"),
        ("speech", {"model": "tts-1", "input": ""}, "input"),
        ("images", {"prompt": "x"}, "model"),
        ("images", {"model": "gpt-image-2", "prompt": "x", "n": 0}, "n:"),
    ],
)
def test_what_no_provider_accepts_is_refused_by_name(
    operation: str, body: object, named: str
) -> None:
    refusal = refused(operation, body)
    assert refusal.status == 400
    assert named in refusal.message


def test_the_body_must_be_plain_json() -> None:
    assert refused("chat", CHAT, content_encoding="gzip").status == 415
    assert "content-type" in refused("chat", CHAT, content_type="text/plain").message
    assert asked("chat", CHAT, content_type="application/json; charset=utf-8")
    assert asked("chat", CHAT, content_type="", content_encoding="identity")


def test_free_routes_ask_for_nothing() -> None:
    for operation in ("models", "moderations", "count"):
        ask = asked(operation, {"model": "gpt-5.6-sol", "input": "Hi"})
        assert (ask.most, ask.has_output) == (Usage(), False)


def test_a_model_is_named_by_its_path() -> None:
    ask = OPENAI.inspect(replace(request("model", b""), model_in_path="gpt-4o"))
    assert isinstance(ask, Ask)
    assert ask.model == "gpt-4o"


@pytest.mark.parametrize(
    ("order", "tokens"),
    [
        ({"model": "gpt-image-1", "quality": "low"}, 408),
        ({"model": "gpt-image-1.5-2025-12-16"}, 6_240),
        ({"model": "gpt-image-1-mini", "quality": "high", "partial_images": 2}, 6_440),
        ({"model": "gpt-image-2"}, 32_768),
        ({"model": "gpt-image-2.5-flare", "quality": "high"}, 32_768),
    ],
)
def test_a_picture_has_a_ceiling_in_tokens(order: dict[str, object], tokens: int) -> None:
    ask = asked("images", order | {"prompt": "A cat", "n": 2})
    assert (ask.output_asked, ask.output_bucket, ask.choices) == (tokens, "output_image", 2)
    assert not ask.unbounded


def test_pictures_of_other_models_are_billed_by_the_picture() -> None:
    ask = asked("images", {"model": "dall-e-3", "prompt": "A cat", "n": 2})
    assert (ask.most, ask.has_output) == (Usage(images=2), False)
