"""POST /v1/responses: what may it cost at most?"""

from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from tokenward.kernel.json_text import JsonObject, JsonValue
from tokenward.providers.ask import Ask, Request
from tokenward.providers.openai import fields
from tokenward.providers.openai.conversation import response_said
from tokenward.providers.openai.input_bound import (
    MESSAGE_TOKENS,
    TOOLS_TOKENS,
    InputBound,
    countable,
)
from tokenward.providers.request_body import (
    as_count,
    as_flag,
    as_list,
    as_model_name,
    as_object,
    as_text,
)

OUTPUT_MIN: Final = 16
"""The provider accepts no smaller `max_output_tokens`."""
TOOL_CALLS_DEFAULT: Final = 4
"""The `max_tool_calls` that is set where a request lets the provider search and sets none. Every
search is billed, and has the model read its whole context once more."""

COMPACTED: Final = "no limit holds for what a compaction writes"

_CALLERS_TOOLS: Final = frozenset(
    ("function", "custom", "apply_patch", "local_shell", "computer", "computer_use_preview")
)
_PLAIN_ITEMS: Final = frozenset(
    (
        "message",
        "function_call",
        "function_call_output",
        "custom_tool_call",
        "custom_tool_call_output",
        "computer_call",
        "computer_call_output",
        "local_shell_call",
        "local_shell_call_output",
        "shell_call",
        "shell_call_output",
        "apply_patch_call",
        "apply_patch_call_output",
        "additional_tools",
    )
)
"""Items of `input` that are wholly in the request. Any other may stand for more than its bytes."""


@dataclass(slots=True)
class _Tools:
    """What the tools of a request add, whether they stand in `tools` or in an item of `input`."""

    is_any: bool = False
    web: bool = False
    files: bool = False
    unbounded: str = ""


def inspect(request: Request, document: JsonObject) -> Ask:
    """The request reduced to what bounding needs. ValueError says what is wrong with it."""
    model = _model(request, document)
    fields.refuse_detours(document)
    bound = InputBound(model, len(request.body), open_ended=_stored(document))
    bound.note_cache(document.get("prompt_cache_options"))
    tools = _Tools()
    _add_tools(tools, document.get("tools"), "tools", model)
    _add_input(bound, tools, document.get("input"), model)
    bound.add_text(as_text(document.get("instructions"), "instructions"))
    if tools.is_any or document.get("text") is not None:
        bound.margin_tokens += TOOLS_TOKENS
    calls = _tool_calls(document) if tools.web or tools.files else 0
    if calls:
        bound.open_up("what the search finds becomes input")
    output_asked, output_open = fields.output_asked(document, "max_output_tokens", least=1)
    passes, unknown = _compactions(document, calls + 1)
    if passes:
        bound.open_up("a compaction reads the context once more")
        output_asked, output_open = None, COMPACTED
    fields.wants_usage(document)  # only its shape: this route always reports usage
    return Ask(
        route=request.route,
        model=model,
        stream=as_flag(document.get("stream"), "stream"),
        most=replace(
            bound.usage(),
            searches=calls if tools.web else 0,
            file_searches=calls if tools.files else 0,
        ),
        output_asked=output_asked,
        output_open=output_open,
        output_min=OUTPUT_MIN,
        choices=1 + passes,
        service_tiers=fields.service_tiers(document),
        open_ended=bound.open_ended,
        rounds=calls + 1 + passes,
        unbounded=tools.unbounded
        or unknown
        or fields.unlimited_by(document, but="context_management"),
        wants_usage=True,
        stored=as_flag(document.get("background"), "background"),
        given=fields.settable(document),
        counted_text=countable(bound.texts),
        said=response_said(document),
    )


def compact(request: Request, document: JsonObject) -> Ask:
    """POST /v1/responses/compact: one run of the model, whose output no request can limit."""
    model = _model(request, document)
    fields.refuse_detours(document)
    bound = InputBound(model, len(request.body), open_ended=_stored(document))
    bound.note_cache(document.get("prompt_cache_options"))
    tools = _Tools()
    _add_input(bound, tools, document.get("input"), model)
    bound.add_text(as_text(document.get("instructions"), "instructions"))
    return Ask(
        route=request.route,
        model=model,
        most=bound.usage(),
        output_open=COMPACTED,
        service_tiers=fields.service_tiers(document),
        open_ended=bound.open_ended,
        unbounded=tools.unbounded or fields.unlimited_by(document),
        given=fields.settable(document),
        counted_text=countable(bound.texts),
        said=response_said(document),
    )


def count(request: Request, document: JsonObject) -> Ask:
    """POST /v1/responses/input_tokens: nothing is made and nothing is billed."""
    return Ask(
        route=request.route,
        model=as_model_name(document.get("model"), "model"),
        has_output=False,
        said=response_said(document),
    )


def _stored(document: JsonObject) -> str:
    for name in ("previous_response_id", "conversation", "prompt"):
        if document.get(name) is not None:
            return f"{name} brings in what is kept at the provider"
    return fields.opened_by(document)


def _model(request: Request, document: JsonObject) -> str:
    """The format lets the model be left out, to be named by what is kept at the provider. That has
    no price here: the operator names one for such calls, or they are refused."""
    named = document.get("model")
    return as_model_name(request.default_model or None if named is None else named, "model")


def _compactions(document: JsonObject, rounds: int) -> tuple[int, str]:
    """How often the provider may compact the context: when it has been rendered for a round, so at
    most once in each (its guide on compaction); and what else is asked that is not known."""
    entries = as_list(document.get("context_management"), "context_management")
    kinds = [as_object(entry, "context_management").get("type") for entry in entries]
    for kind in kinds:
        if kind != "compaction":
            return 0, f"this guard does not know what managing the context by {kind!r:.40} costs"
    return rounds if kinds else 0, ""


def _tool_calls(document: JsonObject) -> int:
    asked = document.get("max_tool_calls")
    return TOOL_CALLS_DEFAULT if asked is None else as_count(asked, "max_tool_calls", 1)


def _add_input(bound: InputBound, tools: _Tools, value: JsonValue, model: str) -> None:
    if value is None or isinstance(value, str):
        bound.add_text(value or "")
        return
    if not isinstance(value, list):
        raise ValueError("input: must be a string or a list")
    bound.margin_tokens += MESSAGE_TOKENS * len(value)
    for index, entry in enumerate(value):
        where = f"input[{index}]"
        item = as_object(entry, where)
        kind = as_text(item.get("type"), f"{where}.type") or "message"
        is_whole_reasoning = kind == "reasoning" and bool(item.get("encrypted_content"))
        if kind not in _PLAIN_ITEMS and not is_whole_reasoning:
            bound.open_up(f"{where} is of the kind {kind[:40]!r}, whose size the request hides")
        _add_tools(tools, item.get("tools"), f"{where}.tools", model)
        if kind == "message":
            bound.add_content(item.get("content"), f"{where}.content")
        elif kind == "computer_call_output":
            bound.add_content([item.get("output")], f"{where}.output")
        elif kind in ("function_call_output", "custom_tool_call_output"):
            bound.add_content(item.get("output"), f"{where}.output")


def _add_tools(tools: _Tools, value: JsonValue, where: str, model: str) -> None:
    for index, item in enumerate(as_list([] if value is None else value, where)):
        tool = as_object(item, f"{where}[{index}]")
        kind = as_text(tool.get("type"), f"{where}[{index}].type")
        tools.is_any = True
        if kind.startswith("web_search_preview") and not fields.is_limited_by_completion(model):
            tools.unbounded = f"{kind[:40]} has another price with this model; use web_search"
        elif kind.startswith("web_search"):
            tools.web = True
        elif kind.startswith("file_search"):
            tools.files = True
        elif kind == "namespace":
            _add_tools(tools, tool.get("tools"), f"{where}[{index}].tools", model)
        elif not _is_run_by_caller(kind, tool):
            tools.unbounded = f"the tool {kind[:40]!r} is run and billed by the provider"


def _is_run_by_caller(kind: str, tool: JsonObject) -> bool:
    if kind == "shell":
        environment = tool.get("environment")
        return isinstance(environment, dict) and environment.get("type") == "local"
    if kind == "tool_search":
        return tool.get("execution") == "client"
    return kind in _CALLERS_TOOLS
