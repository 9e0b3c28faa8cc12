"""Which coding agent does a call come from, if any?

An agent says who it is in its first words to the model, and its set of tools is its own. On a
developer's key that is usual; on the key of a support bot it says that somebody carries another
program's calls over it.
"""

from typing import Final

from tokenward.kernel.conversation import Conversation

HEAD_CHARS: Final = 512
"""How much of a text is searched: an agent introduces itself at once."""
_TEXTS_MAX: Final = 6

MARKS: Final = (
    # claude-relay-service puts this before the calls of those who have another client, and poses
    # as claude-code beside it: so it comes first
    ("claude-relay", "[System Instructions - follow these strictly]"),
    # as recorded, opencode 1.18, claude-code 2.1, codex 0.169, aider 0.86
    ("opencode", "You are opencode,"),
    ("opencode", "You are a title generator. You output ONLY a thread title."),
    ("claude-code", "x-anthropic-billing-header: cc_version="),
    ("claude-code", "You are a Claude agent, built on Anthropic's Claude Agent SDK"),
    ("codex", "running in the Codex CLI"),
    ("aider", "Act as an expert software developer.\nAlways use best practices when coding."),
    ("aider", "# *SEARCH/REPLACE block* Rules:"),
    ("claude-code", "You are Claude Code, Anthropic's official CLI"),
    # from the agents' public repositories
    ("cline", "You are Cline, a highly skilled software engineer"),
    ("roo-code", "You are Roo, a highly skilled software engineer"),
    ("openhands", "You are OpenHands agent, a helpful AI assistant"),
    ("gemini-cli", "You are an interactive CLI agent specializing in software engineering"),
)
"""Names and their marks, wherever in the first `HEAD_CHARS` of a text they stand: carriers put
words before them. The first that is found counts."""

TOOL_SETS: Final = (
    (
        "opencode",
        5,
        frozenset(
            ("bash", "edit", "glob", "grep", "read", "write", "webfetch", "todowrite", "task")
        ),
    ),
    (
        "claude-code",
        5,
        frozenset(
            (
                "Agent", "Bash", "Edit", "Glob", "Grep", "NotebookEdit", "Read", "Skill", "Task",
                "TaskCreate", "TodoWrite", "WebFetch", "WebSearch", "Write",
            )
        ),
    ),
    ("codex", 2, frozenset(("exec_command", "write_stdin"))),
    ("codex", 3, frozenset(("apply_patch", "shell", "update_plan", "view_image"))),
)  # fmt: skip
"""A name, how many of these tools make it so, and the tools. Some agents call a model without
their prompt (to compact a conversation), but with their tools."""
_RENAMED: Final = "_tool"
"""Relays hide tools behind this ending."""


def find_harness(said: Conversation) -> str:
    """The agent's name, or "claude-relay" for a relay that poses as one; "" for neither."""
    heads = [text[:HEAD_CHARS] for text in said.system[:_TEXTS_MAX]]
    heads += [turn.text[:HEAD_CHARS] for turn in said.turns[:1]]
    head = "\n".join(heads)
    for name, mark in MARKS:
        if mark in head:
            return name
    return _by_tools(said.tools)


def _by_tools(tools: tuple[str, ...]) -> str:
    if len(tools) < 2:
        return ""
    names = {name.removesuffix(_RENAMED) for name in tools}
    for harness, least, known in TOOL_SETS:
        if len(known & names) >= least:
            return harness
    return ""
