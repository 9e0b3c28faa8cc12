"""POST /v1/chat/completions: what may it cost at most?"""

import re
from typing import Final

from msgspec.structs import replace

from tokenward.kernel.json_text import JsonObject, JsonValue
from tokenward.providers.ask import Ask, Request
from tokenward.providers.openai import fields
from tokenward.providers.openai.conversation import chat_said
from tokenward.providers.openai.input_bound import (
    MESSAGE_TOKENS,
    TOOLS_TOKENS,
    InputBound,
    countable,
)
from tokenward.providers.request_body import (
    as_flag,
    as_list,
    as_model_name,
    as_object,
    as_text,
)

SEARCH_ROUNDS: Final = 2
"""A model that searches reads its input once before and once after the one search a choice."""
_SEARCHING: Final = re.compile(r"-search-(?:preview|api)")
_CALLERS_TOOLS: Final = ("function", "custom")

PREDICTED: Final = "rejected tokens of a predicted output are output, beside any limit"
"""They count in the context window (OpenAI's reference, `rejected_prediction_tokens`); a limit of
output tokens is not supported beside a prediction, so none is set."""


def inspect(request: Request, document: JsonObject) -> Ask:
    """The request reduced to what bounding needs. ValueError says what is wrong with it."""
    model = as_model_name(document.get("model"), "model")
    fields.refuse_detours(document)
    bound = InputBound(model, len(request.body), open_ended=fields.opened_by(document))
    _read_messages(bound, document.get("messages"))
    bound.note_cache(document.get("prompt_cache_options"))
    unbounded = fields.unlimited_by(document) or _read_tools(bound, document)
    output_asked, output_open = fields.output_asked(document, "max_completion_tokens", "max_tokens")
    if document.get("prediction") is not None:
        output_asked, output_open = None, PREDICTED
    choices = fields.choices(document)
    is_searching = document.get("web_search_options") is not None or bool(_SEARCHING.search(model))
    if is_searching:
        bound.open_up("what the search finds becomes input")
    most = bound.usage()
    return Ask(
        route=request.route,
        model=model,
        stream=as_flag(document.get("stream"), "stream"),
        most=replace(most, searches=choices) if is_searching else most,
        output_asked=output_asked,
        output_open=output_open,
        output_bucket="output_audio" if _speaks(document) else "output",
        choices=choices,
        service_tiers=fields.service_tiers(document),
        open_ended=bound.open_ended,
        rounds=SEARCH_ROUNDS * choices if is_searching else 1,
        unbounded=unbounded,
        wants_usage=fields.wants_usage(document),
        given=fields.settable(document),
        counted_text=countable(bound.texts),
        said=chat_said(document),
    )


def _read_messages(bound: InputBound, value: JsonValue) -> None:
    messages = as_list(value, "messages")
    if not messages:
        raise ValueError("messages: must not be empty")
    bound.margin_tokens += MESSAGE_TOKENS * len(messages)
    for index, item in enumerate(messages):
        where = f"messages[{index}]"
        message = as_object(item, where)
        as_text(message.get("role"), f"{where}.role")
        bound.add_content(message.get("content"), f"{where}.content")
        if message.get("audio") is not None:
            bound.open_up(f"{where}.audio is kept at the provider")


def _read_tools(bound: InputBound, document: JsonObject) -> str:
    """Count the tools; returns which of them the provider runs and bills by itself, if any."""
    tools = document.get("tools")
    as_list(document.get("functions") or [], "functions")
    if tools or document.get("functions") or document.get("response_format"):
        bound.margin_tokens += TOOLS_TOKENS
    for index, item in enumerate(as_list([] if tools is None else tools, "tools")):
        kind = as_object(item, f"tools[{index}]").get("type", "function")
        if kind not in _CALLERS_TOOLS:
            return f"the tool {str(kind)[:40]!r} is run and billed by the provider"
    return ""


def _speaks(document: JsonObject) -> bool:
    modalities = document.get("modalities")
    named = as_list([] if modalities is None else modalities, "modalities")
    return "audio" in named or document.get("audio") is not None
