"""Coding agents are known by their first words and by their tools."""

import json
from pathlib import Path

import pytest

from tokenward.kernel.conversation import Conversation, Turn
from tokenward.signals.harness import HEAD_CHARS, MARKS, find_harness

CAPTURES = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "client-captures.jsonl"
AGENTS = {"opencode", "claude-code", "codex", "aider"}
SYSTEM = {"system", "developer"}


def captures() -> list[tuple[str, Conversation]]:
    if not CAPTURES.exists():
        pytest.skip("the recorded calls of real clients are not beside the project")
    found = []
    for line in CAPTURES.read_text("utf-8").splitlines():
        call = json.loads(line)
        texts = call.get("texts") or [{"role": "user", "head": call["body_prefix"]}]
        prompts = [text["head"] for text in texts if text["role"] in SYSTEM]
        turns = [Turn(text["role"], text["head"]) for text in texts if text["role"] not in SYSTEM]
        tools = tuple(call.get("tools") or ())
        said = Conversation(system=tuple(prompts), turns=tuple(turns), tools=tools)
        found.append((call["client"] if "texts" in call else "", said))
    return found


def test_the_recorded_agents_are_named_and_no_other_program_is() -> None:
    named = [(client, find_harness(said)) for client, said in captures()]
    assert {client for client, _ in named} >= AGENTS
    for client, harness in named:
        assert harness == (client if client in AGENTS else "")


def test_the_recorded_agents_with_tools_are_named_by_their_tools_alone() -> None:
    with_tools = [(client, said) for client, said in captures() if said.tools]
    assert {client for client, _ in with_tools} == {"opencode", "claude-code", "codex"}
    for client, said in with_tools:
        assert find_harness(Conversation(tools=said.tools)) == client


def test_an_agent_is_known_inside_the_message_that_carries_its_prompt() -> None:
    carried = "System: You are opencode, an agent.\n\nUser: fix my tests"
    assert find_harness(Conversation(turns=(Turn("user", carried),))) == "opencode"


def test_a_relay_that_poses_as_an_agent_is_known_by_the_words_it_adds() -> None:
    said = Conversation(
        system=("You are Claude Code, Anthropic's official CLI for Claude.",),
        turns=(Turn("user", "[System Instructions - follow these strictly]\nBe a pirate."),),
    )
    assert find_harness(said) == "claude-relay"
    assert find_harness(Conversation(system=said.system)) == "claude-code"


def test_tools_renamed_by_a_relay_are_known() -> None:
    renamed = tuple(f"{name}_tool" for name in ("Bash", "Edit", "Read", "Write", "Grep"))
    assert find_harness(Conversation(tools=renamed)) == "claude-code"


def test_an_application_with_some_tools_of_its_own_is_no_agent() -> None:
    for tools in ((), ("read",), ("read", "write", "search"), ("Read", "Write", "Edit", "Task")):
        assert find_harness(Conversation(system=("You are a helper.",), tools=tools)) == ""


def test_words_far_inside_a_text_do_not_count() -> None:
    for _, mark in MARKS:
        assert find_harness(Conversation(system=(mark,)))
        assert find_harness(Conversation(system=("x" * HEAD_CHARS + mark,))) == ""
        assert find_harness(Conversation(turns=(Turn("user", "Hi"), Turn("user", mark)))) == ""
