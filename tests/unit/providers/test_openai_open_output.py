"""Requests whose output no limit holds, and what is said of them (B-5)."""

import json

import pytest
from msgspec.structs import replace

from openai_calls import JSON, MESSAGES, SSE, asked, played, request
from tokenward.kernel.usage import Usage
from tokenward.providers.ask import Ask
from tokenward.providers.openai import OPENAI
from tokenward.providers.openai.chat import PREDICTED
from tokenward.providers.openai.fields import NO_LIMIT
from tokenward.providers.openai.responses import COMPACTED

CHAT = {"model": "gpt-5.6-sol", "messages": MESSAGES}
RESPONSE = {"model": "gpt-5.6-sol", "input": "Hello"}
PROMPT = {"model": "gpt-3.5-turbo-instruct", "prompt": "Hello"}
PREDICTION = {"prediction": {"type": "content", "content": "x"}}
COMPACTION = {"context_management": [{"type": "compaction", "compact_threshold": 1000}]}


@pytest.mark.req("B-5")
@pytest.mark.parametrize(
    ("operation", "body", "why"),
    [
        ("chat", CHAT | {"max_tokens": 0}, NO_LIMIT),
        ("chat", CHAT | {"max_completion_tokens": 0}, NO_LIMIT),
        ("chat", CHAT | {"max_completion_tokens": 0, "max_tokens": 20}, NO_LIMIT),
        ("completions", PROMPT | {"max_tokens": 0}, NO_LIMIT),
        ("chat", CHAT | PREDICTION, PREDICTED),
        ("chat", CHAT | PREDICTION | {"max_completion_tokens": 20}, PREDICTED),
        ("responses", RESPONSE | COMPACTION | {"max_output_tokens": 20}, COMPACTED),
        ("compact", RESPONSE, COMPACTED),
    ],
)
def test_what_no_limit_holds_has_none_and_says_why(operation: str, body: object, why: str) -> None:
    ask = asked(operation, body)
    assert (ask.output_asked, ask.output_open, ask.unbounded) == (None, why, "")
    made = request(operation, body)
    assert OPENAI.rewrite(made, ask, None) is made.body


def test_the_best_of_none_are_as_many_as_are_returned() -> None:
    assert asked("completions", PROMPT | {"best_of": 0}).choices == 1
    assert asked("completions", PROMPT | {"best_of": 0, "n": 3}).choices == 3


@pytest.mark.req("B-5")
def test_every_round_may_be_read_once_more_and_written_once_more_by_a_compaction() -> None:
    ask = asked("responses", RESPONSE | COMPACTION)
    assert (ask.rounds, ask.choices) == (2, 2)
    assert ask.open_ended
    searching = RESPONSE | COMPACTION | {"tools": [{"type": "web_search"}], "max_tool_calls": 3}
    ask = asked("responses", searching)
    assert (ask.most.searches, ask.rounds, ask.choices) == (3, 8, 5)
    made = request("responses", searching)
    assert json.loads(OPENAI.rewrite(made, ask, None)) == searching


def test_a_compaction_alone_is_bounded_by_its_bytes_or_by_what_is_kept() -> None:
    ask = asked("compact", RESPONSE)
    assert (ask.open_ended, ask.rounds, ask.stored) == ("", 1, False)
    assert ask.most.cache_write_5m >= len(json.dumps(RESPONSE))
    assert asked("compact", {"model": "gpt-5", "previous_response_id": "resp_1"}).open_ended


def test_a_compaction_costs_its_tokens_and_not_the_searches_of_earlier_calls() -> None:
    searched = {"type": "web_search_call", "action": {"type": "search"}}
    answer = {"output": [searched], "usage": {"input_tokens": 9, "output_tokens": 4}}
    _, reading = played(asked("compact", RESPONSE), json.dumps(answer).encode(), JSON)
    assert reading.usage == Usage(input=9, output=4)


@pytest.mark.req("M-5")
@pytest.mark.parametrize("status", ["queued", "in_progress"])
@pytest.mark.parametrize("usage", [None, {"input_tokens": 0, "output_tokens": 0}])
def test_what_is_still_being_made_has_no_usage_yet(status: str, usage: object) -> None:
    ask = asked("responses", RESPONSE | {"background": True})
    assert ask.stored
    answer = json.dumps({"status": status, "usage": usage}).encode()
    reading = played(ask, answer, JSON)[1]
    assert reading.usage is None
    assert "still being made" in reading.problem


@pytest.mark.req("M-5")
def test_a_stream_in_the_background_is_metered_by_its_last_word_alone() -> None:
    ask = asked("responses", RESPONSE | {"background": True, "stream": True})
    begun = b'data: {"type":"response.queued","response":{"status":"queued","usage":null}}\n\n'
    assert played(ask, begun, SSE)[1].usage is None
    usage = b'"usage":{"input_tokens":3,"output_tokens":2}'
    ended = b'data: {"type":"response.completed","response":{"status":"completed",' + usage
    assert played(ask, begun + ended + b"}}\n\n", SSE)[1].usage == Usage(input=3, output=2)


def with_default(body: object, operation: str = "responses") -> tuple[Ask, bytes]:
    made = replace(request(operation, body), default_model="gpt-5-mini")
    ask = OPENAI.inspect(made)
    assert isinstance(ask, Ask), ask
    return ask, OPENAI.rewrite(made, ask, None)


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (b'{"stream": true}', b'{"model":"gpt-5-mini","stream": true}'),
        (b'{ "model" : null, "input":"x" }', b'{ "model" : "gpt-5-mini", "input":"x" }'),
        (b"{}", b'{"model":"gpt-5-mini"}'),
        (b'{"model":"gpt-5","input":"x"}', b'{"model":"gpt-5","input":"x"}'),
    ],
)
def test_a_response_that_names_no_model_gets_the_operators(body: bytes, sent: bytes) -> None:
    for operation in ("responses", "compact"):
        ask, rewritten = with_default(body, operation)
        assert rewritten == sent
        assert ask.model == json.loads(sent)["model"]


def test_no_other_operation_may_leave_its_model_out() -> None:
    made = replace(request("chat", {"messages": MESSAGES}), default_model="gpt-5-mini")
    assert not isinstance(OPENAI.inspect(made), Ask)
