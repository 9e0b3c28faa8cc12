"""The body that the provider gets: the caller's bytes and what the guard must add."""

import json

import pytest

from openai_calls import MESSAGES, rewritten
from tokenward.kernel.refusals import Refusal
from tokenward.kernel.secret import Secret
from tokenward.providers.openai import OPENAI

CHAT = {"model": "my-model", "messages": MESSAGES}


def body(**fields: object) -> bytes:
    return json.dumps(CHAT | fields, indent=1).encode()


@pytest.mark.parametrize("made", [body(), body(max_tokens=7, stream=False), body(n=2)])
def test_without_a_need_not_a_byte_changes(made: bytes) -> None:
    assert rewritten("chat", made) == made


@pytest.mark.req("B-5")
@pytest.mark.parametrize(
    ("operation", "model", "name"),
    [
        ("chat", "my-model", "max_tokens"),
        ("chat", "gpt-4o", "max_tokens"),
        ("chat", "gpt-3.5-turbo", "max_tokens"),
        ("chat", "openai/gpt-oss-20b", "max_tokens"),
        ("chat", "o3", "max_completion_tokens"),
        ("chat", "gpt-5-mini", "max_completion_tokens"),
        ("chat", "openai/gpt-6.1-sol", "max_completion_tokens"),
        ("chat", "ft:o4-mini:org::id", "max_completion_tokens"),
        ("completions", "gpt-5", "max_tokens"),
        ("responses", "gpt-4o", "max_output_tokens"),
    ],
)
def test_the_limit_goes_under_the_name_that_the_model_knows(
    operation: str, model: str, name: str
) -> None:
    content = {"chat": {"messages": MESSAGES}, "completions": {"prompt": "x"}}
    made = json.dumps({"model": model} | content.get(operation, {"input": "x"})).encode()
    limited = rewritten(operation, made, 321)
    assert limited == made.replace(b"{", f'{{"{name}":321,'.encode(), 1)


@pytest.mark.req("B-5")
def test_a_limit_of_null_is_replaced_however_its_name_is_written() -> None:
    made = b'{"model":"m","max\\u005ftokens" : null,"messages":[{"role":"user","content":""}]}'
    assert rewritten("chat", made, 9) == made.replace(b"null", b"9")


def test_the_callers_own_limit_stays() -> None:
    made = body(max_completion_tokens=5)
    assert rewritten("chat", made, 9) == made


@pytest.mark.req("M-2")
def test_usage_is_asked_for_in_streams_that_do_not_ask() -> None:
    assert rewritten("chat", body(stream=True)) == body(stream=True).replace(
        b"{", b'{"stream_options":{"include_usage":true},', 1
    )


@pytest.mark.req("M-2")
@pytest.mark.parametrize(
    ("options", "asked"),
    [
        (b"null", b'{"include_usage":true}'),
        (b"{ }", b'{"include_usage":true }'),
        (b'{"include_usage" : false}', b'{"include_usage" : true}'),
        (b'{"include_usage":null}', b'{"include_usage":true}'),
        (
            b'{"include_obfuscation": false }',
            b'{"include_usage":true,"include_obfuscation": false }',
        ),
        (b'{"include_usage": true}', b'{"include_usage": true}'),
    ],
)
def test_the_question_for_usage_joins_the_callers_options(options: bytes, asked: bytes) -> None:
    made = b'{"messages":[{"role":"user"}],"stream":true,"stream_options":%b,"model":"m"}' % options
    assert rewritten("chat", made) == made.replace(options, asked)
    made = b'{"prompt":"","stream":true,"stream_options":%b,"model":"m"}' % options
    assert rewritten("completions", made) == made.replace(options, asked)


def test_a_response_always_tells_its_usage_and_is_not_asked() -> None:
    made = b'{"model":"gpt-5","input":"x","stream":true}'
    assert rewritten("responses", made) == made


def test_searches_get_a_limit_where_the_caller_set_none() -> None:
    made = b'{"model":"gpt-5","input":"x","tools":[{"type":"web_search"}]}'
    assert json.loads(rewritten("responses", made))["max_tool_calls"] == 4
    own = made.replace(b'"x"', b'"x","max_tool_calls":9')
    assert rewritten("responses", own) == own


def test_the_credential_is_a_bearer_token() -> None:
    headers = OPENAI.credential(Secret("sk-real", "openai"))
    assert headers == ((b"authorization", b"Bearer sk-real"),)


@pytest.mark.req("F-2")
@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (Refusal("cap:reached", 429, "no", facts=(("limit_nusd", 7),)), "insufficient_quota"),
        (Refusal("rate:exceeded", 429, "no", should_retry=True), "rate_limit_error"),
        (Refusal("key:unknown", 401, "no"), "authentication_error"),
        (Refusal("model:not_allowed", 403, "no"), "permission_error"),
        (Refusal("request:invalid", 400, "no"), "invalid_request_error"),
        (Refusal("key:stale_view", 503, "no"), "server_error"),
    ],
)
def test_a_refusal_stands_in_openais_envelope(refusal: Refusal, kind: str) -> None:
    error = json.loads(OPENAI.error(refusal, "req_1"))["error"]
    assert error == {
        "message": "no",
        "type": kind,
        "param": None,
        "code": refusal.code,
        **dict(refusal.facts),
        "request_id": "req_1",
    }
