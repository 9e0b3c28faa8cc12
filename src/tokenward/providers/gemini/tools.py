"""What can the tools of a request cost beyond the bytes that declare them?

Functions are run by the caller. The provider's own tools bring text into the same context, which
is billed as input (`toolUsePromptTokenCount`): the context window bounds it. Google Search has a
fee too: for a prompt in models up to 2.5, for every query of the model's choice from 3 on, which
nothing bounds. Fees that the price book has no bucket for are not bounded either.
"""

import re
from dataclasses import dataclass
from typing import Final

from tokenward.kernel.json_text import JsonObject
from tokenward.providers.gemini.proto_json import field, object_fields, unknown_names

_BILLED_A_PROMPT: Final = re.compile(r"gemini-(1\.|2\.)")
_SEARCHES: Final = ("googleSearch", "googleSearchRetrieval")
_OPEN_TOOLS: Final = {
    "urlContext": "pages fetched from addresses",
    "codeExecution": "results of code that the provider runs",
    "fileSearch": "passages found in stored files",
    "computerUse": "the functions that computer use adds",
}
_FREE_TOOLS: Final = frozenset(("functionDeclarations",))
_KNOWN_TOOLS: Final = _FREE_TOOLS | frozenset(_OPEN_TOOLS) | frozenset(_SEARCHES)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCost:
    """What the tools add: paid searches, and why the input or the whole cost is unknowable."""

    searches: int = 0
    open_ended: str = ""
    unbounded: str = ""


def is_billed_a_prompt(model: str) -> bool:
    """Whether a grounded prompt costs one search fee, however many queries it made."""
    return _BILLED_A_PROMPT.match(model) is not None


def tool_cost(body: JsonObject, model: str) -> ToolCost:
    """The most that the tools in `body` can cost with this model."""
    searches, open_ended, unbounded = 0, "", ""
    for tool in object_fields(body, "tools"):
        for name in sorted(unknown_names(tool, _KNOWN_TOOLS)):
            unbounded = f"this guard does not know what the tool {name[:60]!r} costs"
        for name, reason in _OPEN_TOOLS.items():
            if field(tool, name) is not None:
                open_ended = reason
        if any(field(tool, name) is not None for name in _SEARCHES):
            searches, open_ended = 1, "what a search brings into the call"
            if not is_billed_a_prompt(model):
                unbounded = "this model bills every search query, and may make any number of them"
    return ToolCost(searches=searches, open_ended=open_ended, unbounded=unbounded)
