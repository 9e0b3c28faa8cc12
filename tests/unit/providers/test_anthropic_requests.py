"""What is asked of Anthropic, and what may it cost?"""

import json
from typing import Any

import pytest
from anthropic.types.beta import message_create_params
from hypothesis import given
from hypothesis import strategies as st

from tokenward.kernel.refusals import Refusal
from tokenward.kernel.secret import Secret
from tokenward.kernel.usage import Usage
from tokenward.providers.anthropic import ANTHROPIC
from tokenward.providers.anthropic.content import IMAGE_TOKENS
from tokenward.providers.anthropic.dialect import COUNT_TOKENS, GET_MODEL, LIST_MODELS, MESSAGES
from tokenward.providers.anthropic.request import _BOUNDED_FIELDS, _UNBOUNDED_FIELDS
from tokenward.providers.anthropic.tools import KNOWN_TOOL_TOKENS, TOOL_PROMPT_TOKENS
from tokenward.providers.ask import Ask, Meter, Request, Route

PLAIN: dict[str, Any] = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 1024,
    "messages": [{"role": "user", "content": "Hello"}],
}
PICTURE = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": "A" * 90_000},
}


def request(
    body: object, route: Route = MESSAGES, headers: dict[bytes, bytes] | None = None
) -> Request:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Request(route=route, model_in_path="", query=b"", headers=headers or {}, body=raw)


def ask(**fields: object) -> Ask:
    read = ANTHROPIC.inspect(request({**PLAIN, **fields}))
    assert isinstance(read, Ask), read
    return read


def refused(body: object, headers: dict[bytes, bytes] | None = None) -> str:
    read = ANTHROPIC.inspect(request(body, headers=headers))
    assert isinstance(read, Refusal)
    assert (read.code, read.status) == ("request:invalid", 400)
    return read.message


def user(*content: object) -> list[dict[str, object]]:
    return [{"role": "user", "content": list(content)}]


def size(**fields: object) -> int:
    return len(json.dumps({**PLAIN, **fields}))


def test_a_plain_request_is_bounded_by_its_bytes_and_its_own_limit() -> None:
    read = ask()
    assert read.model == "claude-sonnet-4-5"
    assert read.most == Usage(input=size())
    assert (read.output_asked, read.choices, read.stream) == (1024, 1, False)
    assert (read.open_ended, read.unbounded) == ("", "")
    assert ask(stream=True).stream


def test_an_absent_limit_is_refused_as_the_provider_does() -> None:
    body = {name: value for name, value in PLAIN.items() if name != "max_tokens"}
    assert refused(body).startswith("max_tokens: Field required")


def test_no_output_at_all_may_be_asked_for_to_warm_the_cache() -> None:
    read = ask(max_tokens=0)
    assert (read.output_asked, read.output_min) == (0, 0)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 2**31}, "max_tokens"),
        ({"max_tokens": 1024.0}, "max_tokens"),
        ({"max_tokens": "1024"}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"model": None}, "model"),
        ({"model": ""}, "model"),
        ({"model": "x" * 257}, "model"),
        ({"model": "claude\x00"}, "model"),
        ({"model": 5}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": {}}, "messages"),
        ({"stream": "true"}, "stream"),
        ({"system": 5}, "system"),
        ({"tools": {}}, "tools"),
        ({"tools": ["x"]}, "tools"),
        ({"tools": [{"type": 5}]}, "tools.type"),
        ({"tools": [{"type": "web_search_20250305", "max_uses": 0}]}, "tools.max_uses"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"speed": 5}, "speed"),
        ({"thinking": "on"}, "thinking"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1023}}, "thinking.budget_tokens"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "max_tokens"),
    ],
)
def test_what_no_provider_accepts_is_refused_by_name(fields: dict[str, Any], named: str) -> None:
    assert refused({**PLAIN, **fields}).startswith(f"{named}: ")


def test_a_thinking_budget_may_exceed_one_answer_between_tool_calls() -> None:
    thinking = {"type": "enabled", "budget_tokens": 8_000}
    headers = {b"anthropic-beta": b"interleaved-thinking-2025-05-14"}
    read = ANTHROPIC.inspect(request({**PLAIN, "thinking": thinking}, headers=headers))
    assert isinstance(read, Ask)
    assert isinstance(ask(thinking={"type": "adaptive"}), Ask)
    assert isinstance(ask(thinking=thinking, max_tokens=8_001), Ask)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"\xff{}", b'{"model":"a","model":"b"}', b'{"a":NaN}', b"[" * 9_999]
)
def test_a_body_that_two_parsers_could_read_differently_is_refused(body: bytes) -> None:
    assert refused(body).startswith("The body cannot be read as JSON: ")


def test_a_body_that_is_said_to_be_something_else_is_refused() -> None:
    assert "content-type" in refused(PLAIN, {b"content-type": b"text/plain"})
    assert "content-type" in refused(
        PLAIN, {b"content-type": b'application/json; charset="utf-16"'}
    )
    assert "content-encoding" in refused(PLAIN, {b"content-encoding": b"gzip"})
    headers = {
        b"content-type": b"Application/JSON; charset=UTF-8",
        b"content-encoding": b"identity",
    }
    assert isinstance(ANTHROPIC.inspect(request(PLAIN, headers=headers)), Ask)


def test_a_picture_counts_as_its_ceiling_not_as_its_bytes() -> None:
    messages = user(PICTURE, {"type": "text", "text": "What is it?"})
    assert ask(messages=messages).most.input == size(messages=messages) - 90_000 + IMAGE_TOKENS
    inside = user({"type": "tool_result", "tool_use_id": "t", "content": [PICTURE]})
    assert ask(messages=inside).most.input == size(messages=inside) - 90_000 + IMAGE_TOKENS
    by_address = user({"type": "image", "source": {"type": "url", "url": "https://x.example/a"}})
    assert ask(messages=by_address).most.input == size(messages=by_address) + IMAGE_TOKENS


def test_the_arguments_of_a_tool_cannot_pass_for_a_picture() -> None:
    messages = [{"role": "assistant", "content": [{"type": "tool_use", "input": {"a": [PICTURE]}}]}]
    assert ask(messages=messages).most.input >= size(messages=messages)


@pytest.mark.parametrize(
    ("block", "why"),
    [
        ({"type": "document", "source": {"type": "base64", "data": "A" * 999}}, "a PDF's pages"),
        (
            {"type": "document", "source": {"type": "url", "url": "u"}},
            "a document fetched from an address",
        ),
        ({"type": "document", "source": {"type": "file", "file_id": "f"}}, "an uploaded file"),
        ({"type": "document", "source": {"type": "text", "data": "plain"}}, ""),
        ({"type": "document", "source": {"type": "content", "content": [PICTURE]}}, ""),
        ({"type": "container_upload", "file_id": "f"}, "content of the type 'container_upload'"),
        ({"type": "hologram"}, "content of the type 'hologram'"),
    ],
)
def test_content_of_unknowable_size_is_open_ended(block: dict[str, Any], why: str) -> None:
    assert ask(messages=user(block)).open_ended == why


@pytest.mark.parametrize(
    ("control", "bucket"),
    [
        ({"type": "ephemeral"}, "cache_write_5m"),
        ({"type": "ephemeral", "ttl": "5m"}, "cache_write_5m"),
        ({"type": "ephemeral", "ttl": "1h"}, "cache_write_1h"),
        (None, "input"),
    ],
)
def test_input_is_bounded_at_the_price_of_writing_it_to_the_cache(
    control: dict[str, str] | None, bucket: str
) -> None:
    messages = user({"type": "text", "text": "a", "cache_control": control})
    assert getattr(ask(messages=messages).most, bucket) == size(messages=messages)
    assert getattr(ask(cache_control=control).most, bucket) == size(cache_control=control)


def test_tools_that_the_caller_runs_add_their_hidden_prompt() -> None:
    tools: list[dict[str, Any]] = [{"name": "f", "input_schema": {}}, {"type": "bash_20250124"}]
    read = ask(tools=tools)
    assert read.most.input == size(tools=tools) + TOOL_PROMPT_TOKENS + KNOWN_TOOL_TOKENS
    assert (read.open_ended, read.unbounded, read.rounds) == ("", "", 1)


def test_web_search_is_bounded_by_its_uses_and_the_rounds_of_the_loop() -> None:
    read = ask(tools=[{"type": "web_search_20250305", "name": "web_search", "max_uses": 3}])
    assert read.most.searches == 3
    assert (read.rounds, read.choices) == (10, 10)
    assert read.open_ended
    assert not read.unbounded


@pytest.mark.req("B-5")
@pytest.mark.parametrize(
    ("fields", "rounds"),
    [
        ({"container": "c"}, 1),
        ({"container": {"id": "c", "skills": [{"type": "anthropic", "skill_id": "pdf"}]}}, 1),
        ({"tools": [{"type": "code_execution_20250825", "name": "code_execution"}]}, 10),
    ],
)
def test_a_container_is_bounded_by_its_time_and_charged(
    fields: dict[str, Any], rounds: int
) -> None:
    read = ask(**fields)
    assert (read.most.containers, read.rounds, read.choices) == (1, rounds, rounds)
    assert read.open_ended
    assert not read.unbounded
    report = {"input_tokens": 5, "output_tokens": 2}
    reader = ANTHROPIC.reader(read, 200, ())
    reader.feed(json.dumps({"type": "message", "usage": report}).encode())
    reader.finish()
    assert reader.reading().usage == Usage(input=5, output=2, containers=1)


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"tools": [{"type": "web_search_20260318"}]}, "max_uses"),
        ({"tools": [{"type": "mcp_toolset"}]}, "MCP"),
        ({"tools": [{"type": "advisor_20260301", "model": "x"}]}, "advisor"),
        ({"tools": [{"type": "hologram_20300101"}]}, "hologram"),
        ({"mcp_servers": [{}]}, "MCP"),
        ({"fallbacks": [{"model": "x"}]}, "fallback"),
        ({"compaction": {"type": "summarize"}}, "compaction"),
        ({"context_management": {"edits": [{"type": "compact_20260112"}]}}, "compaction"),
        ({"hologram": 1}, "hologram"),
    ],
)
def test_what_has_no_bound_says_why(fields: dict[str, Any], word: str) -> None:
    assert word in ask(**fields).unbounded


def test_leaving_context_out_costs_nothing_more() -> None:
    edits = [{"type": "clear_tool_uses_20250919"}, {"type": "clear_thinking_20251015"}]
    assert ask(context_management={"edits": edits}).unbounded == ""


def test_every_field_that_the_official_sdk_knows_was_decided_on() -> None:
    sent_as_headers = {"betas", "user_profile_id", "workspace_id"}
    known = set(message_create_params.MessageCreateParamsBase.__annotations__) - sent_as_headers
    assert known - _BOUNDED_FIELDS - set(_UNBOUNDED_FIELDS) == set()


def test_tier_region_and_speed_are_those_it_may_be_billed_at() -> None:
    assert ask(service_tier="standard_only").service_tiers == ("",)
    assert ask(inference_geo="us").regions == ("us",)
    assert ask(inference_geo="global").regions == ("",)
    assert "us" in ask().regions
    assert ask(speed="fast").speeds == ("", "fast")
    assert ask(speed="standard").speeds == ("",)


@pytest.mark.req("M-9")
def test_counting_and_looking_up_are_free_and_make_nothing() -> None:
    counted = {name: value for name, value in PLAIN.items() if name != "max_tokens"}
    read = ANTHROPIC.inspect(request(counted, COUNT_TOKENS))
    assert isinstance(read, Ask)
    assert not read.has_output
    assert [route.meter for route in ANTHROPIC.routes] == [Meter.USAGE, *[Meter.FREE] * 3]
    assert ANTHROPIC.inspect(request(b"", LIST_MODELS)) == Ask(
        route=LIST_MODELS, model="", has_output=False
    )


@pytest.mark.parametrize("name", ["", "..", "a/b", "a%2Fb", "a:b", "a?b", "%252e", "é", "a" * 300])
def test_a_path_can_only_name_a_model(name: str) -> None:
    looked_up = Request(route=GET_MODEL, model_in_path=name, query=b"", headers={}, body=b"")
    assert isinstance(ANTHROPIC.inspect(looked_up), Refusal)


def test_a_model_in_the_path_is_decoded_once() -> None:
    looked_up = Request(
        route=GET_MODEL, model_in_path="claude%2Dopus", query=b"", headers={}, body=b""
    )
    read = ANTHROPIC.inspect(looked_up)
    assert isinstance(read, Ask)
    assert read.model == "claude-opus"


def test_the_body_goes_out_as_it_came_in() -> None:
    asked = request(json.dumps(PLAIN, indent=3).encode())
    read = ANTHROPIC.inspect(asked)
    assert isinstance(read, Ask)
    assert ANTHROPIC.rewrite(asked, read, None) is asked.body


def test_the_credential_goes_where_the_provider_reads_it() -> None:
    assert ANTHROPIC.credential(Secret("sk-x", "anthropic")) == ((b"x-api-key", b"sk-x"),)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (402, "billing_error"),
        (403, "permission_error"),
        (404, "not_found_error"),
        (409, "invalid_request_error"),
        (413, "request_too_large"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (502, "api_error"),
        (503, "overloaded_error"),
    ],
)
@pytest.mark.req("F-2")
def test_a_refusal_wears_the_providers_envelope(status: int, kind: str) -> None:
    facts = (("scope", "key:k1"), ("limit_nusd", 5), ("type", "of cap"))
    refusal = Refusal("cap:reached", status, "It is spent.", facts=facts)
    assert json.loads(ANTHROPIC.error(refusal, "req-1")) == {
        "type": "error",
        "request_id": "req-1",
        "error": {
            "type": kind,
            "message": "It is spent.",
            "code": "cap:reached",
            "scope": "key:k1",
            "limit_nusd": 5,
        },
    }


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    fields=st.dictionaries(
        st.sampled_from(sorted(_BOUNDED_FIELDS | set(_UNBOUNDED_FIELDS))), json_values, max_size=5
    )
)
def test_any_json_is_asked_or_refused_but_never_raises(fields: dict[str, Any]) -> None:
    read = ANTHROPIC.inspect(request({**PLAIN, **fields}))
    assert isinstance(read, Ask | Refusal)
