"""Whatever a request holds, reading what was said in it never fails and stays within limits."""

import hashlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tokenward.kernel.conversation import Conversation
from tokenward.providers.anthropic.conversation import messages_said
from tokenward.providers.conversation import (
    SYSTEM_MAX,
    TOOLS_MAX,
    TURNS_FIRST,
    TURNS_LAST,
)
from tokenward.providers.gemini.conversation import embed_said, generate_said
from tokenward.providers.openai.conversation import chat_said, prompt_said, response_said
from tokenward.signals.content import hash_answer, read_content
from tokenward.signals.probes import probe_in_refused

NAMES = st.sampled_from(
    [
        "messages", "role", "content", "text", "type", "tools", "name", "function", "functions",
        "custom", "input", "instructions", "output", "system", "contents", "parts", "thought",
        "systemInstruction", "system_instruction", "functionDeclarations", "requests", "prompt",
        "max_tokens", "generationConfig",
    ]
)  # fmt: skip
WORDS = st.sampled_from(
    ["user", "assistant", "model", "system", "developer", "tool", "message", "tool_result",
     "function_call_output", "hi", "You are opencode,", "2026 May", "привет " * 20]
)  # fmt: skip
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=60)
    | st.text(st.characters(categories=["Cs"]), max_size=3)
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=40,
)
BODIES = st.dictionaries(NAMES, VALUES, max_size=8)


def hashed(text: bytes) -> str:
    return hashlib.blake2b(text, key=b"k" * 32, digest_size=8).hexdigest()


def assert_bounded(said: Conversation) -> None:
    assert len(said.system) <= SYSTEM_MAX
    assert len(said.turns) <= TURNS_FIRST + TURNS_LAST
    assert len(said.tools) <= TOOLS_MAX
    assert {turn.role for turn in said.turns} <= {"user", "assistant", "tool"}
    texts = (*said.system, *said.tools, *(turn.text for turn in said.turns))
    assert all(isinstance(text, str) for text in texts)


@given(BODIES)
def test_no_body_of_any_shape_makes_reading_fail(body: dict[str, Any]) -> None:
    readings = [read(body) for read in (chat_said, response_said, messages_said)]
    readings += [generate_said(body), embed_said(body), prompt_said(body.get("input"))]
    for said in readings:
        assert_bounded(said)
        told = read_content(said, hashed, operation="chat", output_limit=16)
        assert told == read_content(said, hashed, operation="chat", output_limit=16)
        assert len(told.answers) <= 8
        assert bool(told.root) <= bool(said.turns)


@given(st.text(), st.text(st.sampled_from(" \t\r\n"), max_size=9))
def test_an_answer_is_known_again_whatever_space_is_around_it(text: str, space: str) -> None:
    assert hash_answer(space + text, hashed) == hash_answer(text + space, hashed)


@given(st.binary(max_size=300))
def test_no_refused_body_makes_looking_for_a_probe_fail(body: bytes) -> None:
    assert probe_in_refused(body, "chat") in ("", "no_output")
