"""What is passed on, each way, and how the agent says no by itself."""

import json

import pytest

from tokenward.client.agent import passing
from tokenward.client.agent.envelope import error_body, error_headers
from tokenward.client.agent.screening import TOKEN
from tokenward.client.agent.signed_link import NO_ANSWER, UNREACHABLE
from tokenward.kernel.refusals import Refusal


def test_a_callers_headers_go_on_in_order_without_any_credential() -> None:
    given = [
        (b"Host", b"127.0.0.1:8484"),
        (b"Authorization", b"Bearer tw_la_x"),
        (b"X-Api-Key", b"sk-real"),
        (b"x-goog-api-key", b"k"),
        (b"Api-Key", b"k"),
        (b"DPoP", b"forged"),
        (b"Content-Digest", b"sha-256=:x:"),
        (b"Content-Length", b"3"),
        (b"Expect", b"100-continue"),
        (b"Proxy-Authorization", b"x"),
        (b"TE", b"trailers"),
        (b"Connection", b"keep-alive, X-Private"),
        (b"X-Private", b"x"),
        (b"User-Agent", b"tool/1"),
        (b"X-Tag", b"one"),
        (b"x-tag", b"zw\xc3\xa9i"),
    ]
    assert passing.to_guard(given) == [
        ("user-agent", "tool/1"),
        ("x-tag", "one"),
        ("x-tag", "zwéi"),
    ]


def test_a_header_that_cannot_be_sent_as_it_came_is_left_out() -> None:
    assert passing.to_guard([(b"x-a", b"\xff"), (b"x-b", b"1")]) == [("x-b", "1")]


def test_the_guards_headers_come_back_but_for_the_connections_own_and_nonces() -> None:
    given = [
        (b"Content-Type", b"text/event-stream"),
        (b"Content-Encoding", b"gzip"),
        (b"Content-Length", b"5"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Connection", b"close"),
        (b"Keep-Alive", b"timeout=5"),
        (b"DPoP-Nonce", b"n"),
        (b"Set-Cookie", b"a=1"),
        (b"Set-Cookie", b"b=2"),
    ]
    assert passing.to_caller(given) == [
        ("content-type", "text/event-stream"),
        ("content-encoding", "gzip"),
        ("content-length", "5"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
    ]


@pytest.mark.parametrize("refusal", [UNREACHABLE, TOKEN, NO_ANSWER])
def test_each_dialect_reads_the_refusal_where_its_sdk_looks(refusal: Refusal) -> None:
    openai = json.loads(error_body(refusal, "/v1/chat/completions", ()))
    assert openai["error"]["code"] == refusal.code
    assert openai["error"]["message"] == refusal.message
    for target, headers in (("/v1/messages", ()), ("/v1/models", ((b"anthropic-version", b"1"),))):
        anthropic = json.loads(error_body(refusal, target, headers))
        assert anthropic["type"] == "error"
        assert anthropic["error"]["code"] == refusal.code
    for target, headers in (("/v1beta/models", ()), ("/v1/x", ((b"x-goog-api-key", b"k"),))):
        google = json.loads(error_body(refusal, target, headers))["error"]
        assert google["code"] == refusal.status
        assert google["details"][0]["reason"] == refusal.code
        assert google["status"].isupper()


def test_only_what_was_certainly_not_sent_may_be_repeated() -> None:
    assert error_headers(UNREACHABLE)["X-Should-Retry"] == "true"
    assert error_headers(NO_ANSWER)["X-Should-Retry"] == "false"
    assert error_headers(TOKEN)["WWW-Authenticate"].startswith("Bearer")
