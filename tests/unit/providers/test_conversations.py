"""What was said in a request, in every dialect, within limits."""

import json
from typing import Any

import pytest

from openai_calls import asked
from tokenward.kernel.conversation import Conversation, Turn
from tokenward.providers.anthropic import ANTHROPIC
from tokenward.providers.anthropic.conversation import messages_said
from tokenward.providers.ask import Ask, Request
from tokenward.providers.conversation import (
    PART_CHARS,
    PARTS_MAX,
    SYSTEM_MAX,
    TOOLS_MAX,
    TURNS_FIRST,
    TURNS_LAST,
)
from tokenward.providers.gemini import GEMINI
from tokenward.providers.gemini.conversation import generate_said
from tokenward.providers.interfaces import Dialect
from tokenward.providers.openai.conversation import chat_said, prompt_said, response_said

ASKED = Conversation(system=("Be kind.",), turns=(Turn("user", "Hi"),))
TALKED = Conversation(
    system=("Be kind.",),
    turns=(Turn("user", "Hi"), Turn("assistant", "Hello."), Turn("user", "Bye")),
    tools=("look", "find"),
)


def said(dialect: Dialect, operation: str, body: object, model: str = "") -> Conversation:
    route = next(route for route in dialect.routes if route.operation == operation)
    ask = dialect.inspect(
        Request(
            route=route,
            model_in_path=model,
            query=b"",
            headers={b"content-type": b"application/json"},
            body=json.dumps(body).encode(),
        )
    )
    assert isinstance(ask, Ask), ask
    assert ask.said is not None
    return ask.said


def test_a_chat_is_read_with_its_system_prompt_its_turns_and_its_tools() -> None:
    body = {
        "model": "m",
        "messages": [
            {"role": "developer", "content": "Be kind."},
            {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
            {"role": "assistant", "content": "Hello.", "tool_calls": []},
            {"role": "user", "content": "Bye"},
        ],
        "tools": [
            {"type": "function", "function": {"name": "look"}},
            {"type": "custom", "custom": {"name": "find"}},
        ],
    }
    assert asked("chat", body).said == TALKED


def test_a_response_is_read_from_its_instructions_and_its_items() -> None:
    body = {
        "model": "m",
        "instructions": "Be kind.",
        "input": [
            {"role": "user", "content": "Hi"},
            {"type": "message", "role": "assistant", "content": [{"type": "t", "text": "Hello."}]},
            {"type": "function_call", "name": "look", "arguments": "{}", "call_id": "1"},
            {"type": "function_call_output", "call_id": "1", "output": "A tree."},
            {"role": "user", "content": [{"type": "input_text", "text": "Bye"}]},
        ],
        "tools": [{"type": "function", "name": "look"}, {"type": "custom", "name": "find"}],
    }
    turns = (*TALKED.turns[:2], Turn("tool", "A tree."), TALKED.turns[2])
    assert asked("responses", body).said == Conversation(
        system=TALKED.system, turns=turns, tools=TALKED.tools
    )
    plain = {"model": "m", "instructions": "Be kind.", "input": "Hi"}
    for operation in ("responses", "compact", "count"):
        assert asked(operation, plain).said == ASKED


@pytest.mark.parametrize(
    ("operation", "member"), [("completions", "prompt"), ("embeddings", "input")]
)
def test_a_prompt_is_one_user_turn(operation: str, member: str) -> None:
    one = Conversation(turns=(Turn("user", "A cat"),))
    assert asked(operation, {"model": "m", member: "A cat"}).said == one
    assert asked(operation, {"model": "m", member: ["A cat"]}).said == one
    assert asked(operation, {"model": "m", member: [1, 2]}).said == Conversation()


@pytest.mark.parametrize("model", ["dall-e-3", "gpt-image-1"])
def test_the_prompt_of_a_picture_is_a_user_turn(model: str) -> None:
    body = {"model": model, "prompt": "A cat"}
    assert asked("images", body).said == Conversation(turns=(Turn("user", "A cat"),))


def test_a_message_of_anthropic_is_read_with_what_tools_found_as_its_own_turn() -> None:
    body: dict[str, Any] = {
        "model": "claude-haiku-4-5",
        "max_tokens": 9,
        "system": [{"type": "text", "text": "Be kind."}, {"type": "text", "text": "Be short."}],
        "messages": [
            {"role": "user", "content": "Hi"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Hm", "signature": "s"},
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "1", "name": "look", "input": {"text": "no"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "1", "content": "A tree."},
                    {"type": "text", "text": "And?"},
                ],
            },
        ],
        "tools": [{"name": "look", "input_schema": {}}, {"type": "bash_20250124", "name": "bash"}],
    }
    expected = Conversation(
        system=("Be kind.", "Be short."),
        turns=(
            Turn("user", "Hi"),
            Turn("assistant", "I look."),
            Turn("tool", "A tree."),
            Turn("user", "And?"),
        ),
        tools=("look", "bash"),
    )
    assert said(ANTHROPIC, "messages", body) == expected
    assert said(ANTHROPIC, "count_tokens", body) == expected
    plain = body | {"system": "Be kind.", "messages": body["messages"][:1], "tools": None}
    assert said(ANTHROPIC, "messages", plain) == ASKED


@pytest.mark.parametrize(
    ("system", "declared"),
    [
        ("systemInstruction", "functionDeclarations"),
        ("system_instruction", "function_declarations"),
    ],
)
def test_a_call_of_gemini_is_read_in_either_spelling(system: str, declared: str) -> None:
    body = {
        system: {"parts": [{"text": "Be kind."}]},
        "contents": [
            {"parts": [{"text": "Hi"}]},
            {"role": "model", "parts": [{"text": "Hm", "thought": True}, {"text": "Hello."}]},
            {"role": "user", "parts": {"text": "Bye"}},
        ],
        "tools": [{declared: [{"name": "look"}, {"name": "find"}]}],
    }
    for operation in ("generate_content", "stream_generate_content", "count_tokens"):
        assert said(GEMINI, operation, body, "gemini-2.5-flash") == TALKED


def test_what_gemini_embeds_is_said_by_the_user() -> None:
    one = {"content": {"parts": [{"text": "A cat"}]}}
    turn = Turn("user", "A cat")
    model = "gemini-embedding-001"
    assert said(GEMINI, "embed_content", one, model).turns == (turn,)
    assert said(GEMINI, "batch_embed_contents", {"requests": [one, one]}, model).turns == (
        turn,
        turn,
    )


def test_neighbouring_answers_are_one_turn() -> None:
    pieces = [{"role": "assistant", "content": text} for text in ("One.", "Two.")]
    assert chat_said({"messages": pieces}).turns == (Turn("assistant", "One.\nTwo."),)


def test_an_empty_text_is_a_turn_and_a_message_without_text_is_none() -> None:
    empty = {"role": "user", "content": ""}
    called = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
    assert chat_said({"messages": [empty, called]}).turns == (Turn("user", ""),)


@pytest.mark.parametrize("read", [chat_said, messages_said])
def test_of_ten_thousand_messages_the_first_and_the_last_are_kept(read: Any) -> None:
    class Counted(dict[str, Any]):
        looks = 0

        def get(self, name: str, default: Any = None) -> Any:
            Counted.looks += 1
            return super().get(name, default)

    turns = [Counted(role="user", content=f"{count}") for count in range(10_000)]
    told = read({"messages": turns})
    assert not told.is_whole
    kept = [turn.text for turn in told.turns]
    assert kept == [*map(str, range(TURNS_FIRST)), *map(str, range(10_000 - TURNS_LAST, 10_000))]
    assert Counted.looks <= 400


def test_messages_that_were_not_looked_at_are_missing_even_if_the_others_say_nothing() -> None:
    many: list[Any] = [{"role": "user", "content": None}] * 10_000
    assert chat_said({"messages": many}) == Conversation(is_whole=False)


def test_what_is_beyond_a_limit_is_left_out_and_that_is_told() -> None:
    many = [{"role": "system", "content": "s"}] * (SYSTEM_MAX + 1)
    told = chat_said({"messages": many})
    assert (len(told.system), told.is_whole) == (SYSTEM_MAX, False)
    long = "x" * (PART_CHARS + 1)
    parts: list[Any] = [{"type": "text", "text": long}] * (PARTS_MAX + 1)
    told = chat_said({"messages": [{"role": "user", "content": parts}]})
    assert (len(told.turns[0].text), told.is_whole) == (PARTS_MAX * (PART_CHARS + 1) - 1, False)
    named: list[Any] = [{"name": "x" * 10_000}] * (TOOLS_MAX + 1)
    told = messages_said({"tools": named})
    assert len(told.tools) == TOOLS_MAX
    assert len(told.tools[0]) == 256
    seventeen: list[Any] = ["a"] * (SYSTEM_MAX + 1)
    assert not messages_said({"system": seventeen}).is_whole
    assert not generate_said({"systemInstruction": {"parts": seventeen}}).is_whole


def test_a_text_in_one_piece_is_not_copied() -> None:
    long = "".join(["long "] * 10_000)
    told = chat_said({"messages": [{"role": "user", "content": [{"text": long}]}]})
    assert told.turns[0].text is long
    assert response_said({"input": long}).turns[0].text is long
    assert prompt_said(long).turns[0].text is long


def test_the_limit_that_the_caller_named_is_kept_where_no_bound_may_rely_on_it() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    assert asked("chat", body | {"max_tokens": 0}).output_named == 0
    assert asked("chat", body | {"max_tokens": 0}).output_asked is None
    assert asked("chat", body | {"max_tokens": 7}).output_named == 7
    assert asked("chat", body).output_named is None
