"""What can the tools of a request cost beyond the bytes that declare them?

Client tools are run by the caller; they cost what the provider adds to the prompt to explain
them. Server tools are run by the provider inside the call, in a loop that reads the growing
conversation again in every round (usage is the sum), at most ten rounds before it answers with
`pause_turn` (documentation, "Server tools"). So a round can read no more than a context window,
and a call no more than ten. Code runs in one container a call, which is billed by time that no
usage reports (`prices/surcharges.py` bounds it). Other tools billed in such ways have no bound.
"""

from dataclasses import dataclass
from typing import Final

from tokenward.kernel.json_text import JsonObject, JsonValue
from tokenward.providers.request_body import as_count, as_list, as_object, as_text

TOOL_PROMPT_TOKENS: Final = 1_000
"""Added once when tools or an output format are used; documented: 159 to 530."""
KNOWN_TOOL_TOKENS: Final = 2_000
"""Added for a tool that the provider defines; documented: 245 (bash) to 735 (computer)."""
TOOLSET_TOKENS: Final = 32_000
"""Added for a family of tools (some twenty, each as large as one of the others)."""
LOOP_ROUNDS: Final = 10

_CLIENT_TOOLS: Final = ("bash_", "text_editor_", "computer_", "memory_")
_TOOLSETS: Final = ("computer_toolset_", "browser_toolset_")
_LOOPING_TOOLS: Final = ("web_fetch_", "tool_search_tool_")
_CODE_TOOLS: Final = ("code_execution_",)
_UNBOUNDED_TOOLS: Final = {
    "mcp_toolset": "tools of MCP servers bring text of any length into the call",
    "advisor_": "an advisor is another model that bills its own tokens into the call",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCost:
    """What the tools add: tokens of prompt, paid searches, whether code runs in a container, rounds
    of the provider's own loop."""

    prompt_tokens: int = 0
    searches: int = 0
    runs_code: bool = False
    rounds: int = 1
    unbounded: str = ""


def tool_cost(body: JsonObject) -> ToolCost:
    """The most that the tools in `body` can cost."""
    tools = [as_object(tool, "tools") for tool in as_list(body.get("tools"), "tools")]
    prompt_tokens, searches, rounds, unbounded, runs_code = 0, 0, 1, "", False
    if tools or _has_format(body):
        prompt_tokens = TOOL_PROMPT_TOKENS
    for tool in tools:
        kind = as_text(tool.get("type"), "tools.type")
        if kind in ("", "custom"):
            continue
        if kind.startswith(_TOOLSETS):
            prompt_tokens += TOOLSET_TOKENS
        elif kind.startswith(_CLIENT_TOOLS):
            prompt_tokens += KNOWN_TOOL_TOKENS
        elif kind.startswith("web_search_") and tool.get("max_uses") is not None:
            searches += as_count(tool["max_uses"], "tools.max_uses", 1)
            rounds = LOOP_ROUNDS
        elif kind.startswith(_LOOPING_TOOLS):
            rounds = LOOP_ROUNDS
        elif kind.startswith(_CODE_TOOLS):
            prompt_tokens += KNOWN_TOOL_TOKENS
            rounds, runs_code = LOOP_ROUNDS, True
        else:
            unbounded = unbounded or _why_unbounded(kind)
    return ToolCost(
        prompt_tokens=prompt_tokens,
        searches=searches,
        runs_code=runs_code,
        rounds=rounds,
        unbounded=unbounded,
    )


def _has_format(body: JsonObject) -> bool:
    config: JsonValue = body.get("output_config")
    is_configured = isinstance(config, dict) and config.get("format") is not None
    return is_configured or body.get("output_format") is not None


def _why_unbounded(kind: str) -> str:
    if kind.startswith("web_search_"):
        return "web search without max_uses may search, and be billed, any number of times"
    for prefix, reason in _UNBOUNDED_TOOLS.items():
        if kind.startswith(prefix):
            return reason
    return f"this guard does not know what a tool of the type {kind[:60]!r} costs"
