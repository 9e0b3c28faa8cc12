"""The golden usage cases: raw reports from public issues, and what each must become.

Every case that exists both as one document and as a stream is read in both ways. The costs are
added up here a second time, from the buckets and the rates that the issue names.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tokenward.kernel.usage import COUNTS, Usage
from tokenward.providers.anthropic import ANTHROPIC
from tokenward.providers.ask import Ask
from tokenward.providers.gemini import GEMINI
from tokenward.providers.interfaces import Dialect
from tokenward.providers.openai import OPENAI

DATA = Path(__file__).parents[2] / "data"
DIALECTS: Mapping[str, Dialect] = {"openai": OPENAI, "anthropic": ANTHROPIC, "gemini": GEMINI}
PATHS = {
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
    "generate": "/v1beta/models/{model}:generateContent",
}
STREAMED_PATHS = PATHS | {"generate": "/v1beta/models/{model}:streamGenerateContent"}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One golden case. `rates` are dollars a million tokens by bucket, `cost_usd` their sum."""

    name: str
    dialect: str
    shape: str
    raw: dict[str, Any] = field(default_factory=dict)
    recorded: str = ""
    recorded_stream: str = ""
    expected: dict[str, int]
    rates: dict[str, str] = field(default_factory=dict)
    cost_usd: str = ""

    def document(self) -> bytes | None:
        """The whole answer, if the case exists as one."""
        if self.recorded:
            return (DATA / self.dialect / self.recorded).read_bytes()
        return json.dumps(DOCUMENTS[self.shape](self.raw)).encode() if self.raw else None

    def stream(self) -> bytes | None:
        """The same answer as server-sent events."""
        if self.recorded_stream:
            return (DATA / self.dialect / self.recorded_stream).read_bytes()
        last = "data: [DONE]\n\n" if self.shape == "chat" else ""
        return events(STREAMS[self.shape](self.raw), last) if self.raw else None


def chat(usage: dict[str, Any]) -> dict[str, Any]:
    message = {"role": "assistant", "content": "Hi"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {
        "id": "c",
        "object": "chat.completion",
        "model": "m",
        "choices": [choice],
        "usage": usage,
    }


def chat_stream(usage: dict[str, Any]) -> list[dict[str, Any]]:
    head = {"id": "c", "object": "chat.completion.chunk", "model": "m"}
    said = {"index": 0, "delta": {"role": "assistant", "content": "Hi"}, "finish_reason": None}
    ended = {"index": 0, "delta": {}, "finish_reason": "stop"}
    return [
        {**head, "choices": [said], "usage": None},
        {**head, "choices": [ended], "usage": None},
        {**head, "choices": [], "usage": usage},
    ]


def responses(usage: dict[str, Any]) -> dict[str, Any]:
    text = {"type": "output_text", "text": "Hi", "annotations": []}
    item = {"type": "message", "id": "i", "role": "assistant", "content": [text]}
    return {
        "id": "r",
        "object": "response",
        "status": "completed",
        "model": "m",
        "output": [item],
        "usage": usage,
    }


def responses_stream(usage: dict[str, Any]) -> list[dict[str, Any]]:
    unfinished = {**responses({}), "status": "in_progress", "output": [], "usage": None}
    return [
        {"type": "response.created", "sequence_number": 0, "response": unfinished},
        {"type": "response.completed", "sequence_number": 1, "response": responses(usage)},
    ]


def messages(usage: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [{"type": "text", "text": "Hi"}],
        "stop_reason": "end_turn",
        "usage": usage,
    }


def messages_stream(usage: dict[str, Any]) -> list[dict[str, Any]]:
    seed = {**usage, "output_tokens": 1}
    return [
        {"type": "message_start", "message": {**messages(seed), "stop_reason": None}},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": usage["output_tokens"]},
        },
        {"type": "message_stop"},
    ]


def generate(usage: dict[str, Any]) -> dict[str, Any]:
    content = {"parts": [{"text": "Hi"}], "role": "model"}
    return {
        "candidates": [{"content": content, "finishReason": "STOP", "index": 0}],
        "usageMetadata": usage,
        "modelVersion": "gemini-2.5-pro",
    }


def generate_stream(usage: dict[str, Any]) -> list[dict[str, Any]]:
    first = generate({"promptTokenCount": usage["promptTokenCount"]})
    del first["candidates"][0]["finishReason"]
    return [first, generate(usage)]


DOCUMENTS = {"chat": chat, "responses": responses, "messages": messages, "generate": generate}
STREAMS = {
    "chat": chat_stream,
    "responses": responses_stream,
    "messages": messages_stream,
    "generate": generate_stream,
}


def events(bodies: list[dict[str, Any]], last: str) -> bytes:
    named = [
        (f"event: {body['type']}\n" if "type" in body else "") + f"data: {json.dumps(body)}\n\n"
        for body in bodies
    ]
    return "".join([*named, last]).encode()


CASES = [
    Case(
        name="G1 gemini, new-api #1103",
        dialect="gemini",
        shape="generate",
        recorded="generate_thoughts.json",
        recorded_stream="stream_thoughts.sse",
        expected={"input": 7, "output": 1_221, "reasoning": 1_097},
    ),
    Case(
        name="G1 in openai's shape",
        dialect="openai",
        shape="chat",
        raw={
            "prompt_tokens": 7,
            "completion_tokens": 124,
            "total_tokens": 1_228,
            "completion_tokens_details": {"reasoning_tokens": 1_097},
        },
        expected={"input": 7, "output": 1_221, "reasoning": 1_097},
    ),
    Case(
        name="G2 new-api #5003",
        dialect="anthropic",
        shape="messages",
        raw={
            "input_tokens": 56_322,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 72_960,
            "output_tokens": 87,
        },
        expected={"input": 56_322, "cache_read": 72_960, "output": 87},
        rates={"input": "1", "cache_read": "0.1", "output": "5"},
        cost_usd="0.064053",
    ),
    Case(
        name="G3 litellm #26807",
        dialect="openai",
        shape="chat",
        raw={
            "prompt_tokens": 6_074,
            "completion_tokens": 285,
            "total_tokens": 6_359,
            "prompt_tokens_details": {"cached_tokens": 3_456},
        },
        expected={"input": 2_618, "cache_read": 3_456, "output": 285},
        rates={"input": "2.5", "cache_read": "0.25", "output": "15"},
        cost_usd="0.011684",
    ),
    Case(
        name="G4 litellm #18599",
        dialect="openai",
        shape="chat",
        raw={
            "prompt_tokens": 17,
            "completion_tokens": 482,
            "total_tokens": 499,
            "completion_tokens_details": {"reasoning_tokens": 448},
        },
        expected={"input": 17, "output": 482, "reasoning": 448},
        rates={"input": "0.05", "output": "0.4"},
        cost_usd="0.00019365",
    ),
    Case(
        name="G5 litellm PR #30488",
        dialect="openai",
        shape="chat",
        raw={
            "prompt_tokens": 9,
            "completion_tokens": 20,
            "total_tokens": 29,
            "completion_tokens_details": {"reasoning_tokens": 15},
        },
        expected={"input": 9, "output": 20, "reasoning": 15},
    ),
    Case(
        name="G6 litellm #27745",
        dialect="anthropic",
        shape="messages",
        raw={
            "input_tokens": 1,
            "cache_creation_input_tokens": 225,
            "cache_read_input_tokens": 965_602,
            "output_tokens": 82,
        },
        expected={"input": 1, "cache_write_5m": 225, "cache_read": 965_602, "output": 82},
    ),
    Case(
        name="G7 litellm #14849",
        dialect="gemini",
        shape="generate",
        raw={
            "promptTokenCount": 262_960,
            "cachedContentTokenCount": 257_955,
            "candidatesTokenCount": 1_744,
            "totalTokenCount": 264_704,
        },
        expected={"input": 5_005, "cache_read": 257_955, "output": 1_744},
        rates={"input": "1.25", "cache_read": "0.625", "output": "10"},
        cost_usd="0.184918125",
    ),
    Case(
        name="G8 new-api #2935",
        dialect="gemini",
        shape="generate",
        raw={
            "promptTokenCount": 151,
            "candidatesTokenCount": 1_089,
            "toolUsePromptTokenCount": 18_329,
            "thoughtsTokenCount": 1_120,
            "totalTokenCount": 20_689,
        },
        expected={"input": 18_480, "output": 2_209, "reasoning": 1_120},
    ),
    Case(
        name="G8 with the searches that were made",
        dialect="gemini",
        shape="generate",
        recorded="generate_search.json",
        expected={"input": 18_480, "output": 2_209, "reasoning": 1_120, "searches": 1},
    ),
    Case(
        name="G9 mozilla-ai/any-llm #1290",
        dialect="gemini",
        shape="generate",
        raw={
            "promptTokenCount": 20,
            "candidatesTokenCount": 198,
            "thoughtsTokenCount": 405,
            "totalTokenCount": 623,
        },
        expected={"input": 20, "output": 603, "reasoning": 405},
    ),
    Case(
        name="G10 experiential PR #743",
        dialect="openai",
        shape="chat",
        raw={
            "prompt_tokens": 36,
            "completion_tokens": 10,
            "total_tokens": 736,
            "completion_tokens_details": {"reasoning_tokens": 690},
        },
        expected={"input": 36, "output": 700, "reasoning": 690},
    ),
    Case(
        name="G11 litellm PR #31724",
        dialect="anthropic",
        shape="messages",
        raw={
            "input_tokens": 15,
            "cache_creation_input_tokens": 4_803,
            "cache_read_input_tokens": 0,
            "cache_creation": {
                "ephemeral_5m_input_tokens": 0,
                "ephemeral_1h_input_tokens": 4_803,
            },
            "output_tokens": 47,
        },
        expected={"input": 15, "cache_write_1h": 4_803, "output": 47},
    ),
    Case(
        name="G12 web search",
        dialect="anthropic",
        shape="messages",
        recorded_stream="stream_web_search.sse",
        expected={"input": 10_682, "output": 510, "searches": 1},
    ),
    Case(
        name="G13 basic stream",
        dialect="anthropic",
        shape="messages",
        recorded_stream="stream_basic.sse",
        expected={"input": 25, "output": 15},
    ),
    Case(
        name="G14 openai's usage example",
        dialect="openai",
        shape="responses",
        raw={
            "input_tokens": 1_000,
            "input_tokens_details": {"cached_tokens": 400, "cache_write_tokens": 100},
            "output_tokens": 50,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 1_050,
        },
        expected={"input": 500, "cache_read": 400, "cache_write_5m": 100, "output": 50},
    ),
    Case(
        name="G15 litellm PR #26016",
        dialect="openai",
        shape="chat",
        raw={
            "prompt_tokens": 44_341,
            "completion_tokens": 0,
            "total_tokens": 44_341,
            "prompt_tokens_details": {"cached_tokens": 41_518},
        },
        expected={"input": 2_823, "cache_read": 41_518},
        rates={"input": "1.4", "cache_read": "0.26"},
        cost_usd="0.01474688",
    ),
    Case(
        name="G16 new-api #6144",
        dialect="openai",
        shape="chat",
        raw={
            "prompt_tokens": 1_816,
            "completion_tokens": 12,
            "total_tokens": 1_828,
            "prompt_tokens_details": {"cached_tokens": 1_792},
        },
        expected={"input": 24, "cache_read": 1_792, "output": 12},
    ),
    Case(
        name="G17 new-api #6353",
        dialect="anthropic",
        shape="messages",
        raw={
            "input_tokens": 12,
            "cache_creation_input_tokens": 2_048,
            "cache_read_input_tokens": 0,
            "cache_creation": None,
            "output_tokens": 9,
        },
        expected={"input": 12, "cache_write_5m": 2_048, "output": 9},
    ),
]
WHOLE = [pytest.param(case, id=case.name) for case in CASES if case.document() is not None]
STREAMED = [pytest.param(case, id=case.name) for case in CASES if case.stream() is not None]


def read(case: Case, body: bytes, *, streams: bool) -> Usage:
    dialect = DIALECTS[case.dialect]
    path = (STREAMED_PATHS if streams else PATHS)[case.shape]
    route = next(route for route in dialect.routes if route.path == path)
    ask = Ask(route=route, model="gemini-2.5-pro", stream=streams, wants_usage=True)
    kind = b"text/event-stream" if streams else b"application/json"
    reader = dialect.reader(ask, 200, ((b"content-type", kind),))
    assert reader.feed(body) + reader.finish() == body
    reading = reader.reading()
    assert reading.usage is not None, reading.problem
    return reading.usage


def counts(usage: Usage) -> dict[str, int]:
    return {name: getattr(usage, name) for name in COUNTS if getattr(usage, name)}


@pytest.mark.req("M-1")
@pytest.mark.parametrize("case", WHOLE)
def test_a_whole_answer_becomes_the_golden_buckets(case: Case) -> None:
    body = case.document()
    assert body is not None
    usage = read(case, body, streams=False)
    assert counts(usage) == case.expected
    assert usage.doubts == ()


@pytest.mark.req("M-1")
@pytest.mark.parametrize("case", STREAMED)
def test_a_streamed_answer_becomes_the_golden_buckets(case: Case) -> None:
    body = case.stream()
    assert body is not None
    usage = read(case, body, streams=True)
    assert counts(usage) == case.expected
    assert usage.doubts == ()


@pytest.mark.req("M-1")
@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES if case.rates])
def test_the_golden_buckets_cost_what_the_issue_says(case: Case) -> None:
    dollars = sum(
        case.expected.get(bucket, 0) * Fraction(rate) for bucket, rate in case.rates.items()
    )
    assert dollars / 1_000_000 == Fraction(case.cost_usd)


def test_no_golden_case_is_missing() -> None:
    assert {int(case.name.split()[0][1:]) for case in CASES} == set(range(1, 18))
