"""POST /v1/responses: how its request is read and its response object written."""

from typing import Any, Final

from tokenward.lab.standin.answer import Answer, Call, Document, Operation, encode
from tokenward.lab.standin.behaviour import UsageReport
from tokenward.lab.standin.dialect import OPENAI, RejectedError
from tokenward.lab.standin.openai_chat import ANY_JSON, IMAGE_TOKENS, TIERS
from tokenward.lab.standin.openai_events import Events
from tokenward.lab.standin.reading import (
    count_of,
    model_of,
    object_at,
    said_in,
    tokens_of,
    tokens_of_json,
)
from tokenward.lab.standin.script import JsonObject, Prompt, Script, Tool
from tokenward.lab.standin.text import tokens_in

_LIMIT_MIN: Final = 16
_RESULTS: Final = ("function_call_output", "custom_tool_call_output")


def read(body: JsonObject, _model: str) -> Prompt:
    """A request for a response → prompt."""
    model = model_of(body)
    items = body.get("input")
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    if not isinstance(items, list) or not items:
        raise RejectedError("Missing required parameter: 'input'")
    said, tokens = "", tokens_in(len(str(body.get("instructions") or "")))
    for item in items:
        if not isinstance(item, dict):
            raise RejectedError("Invalid 'input': each item must be an object")
        if item.get("type", "message") == "message":
            tokens += tokens_of(item.get("content"), IMAGE_TOKENS)
            if item.get("role") == "user":
                said = said_in(item.get("content"))
        else:
            tokens += tokens_of_json(item)
    tools = tuple(
        Tool(str(tool.get("name", "")), tool.get("parameters"))
        for tool in body.get("tools") or ()
        if isinstance(tool, dict) and tool.get("type") == "function"
    )
    text_format = object_at(object_at(body, "text"), "format")
    is_any_json = text_format.get("type") == "json_object"
    tier = body.get("service_tier")
    effort = object_at(body, "reasoning").get("effort")
    return Prompt(
        model=model,
        body=body,
        said=said,
        input_tokens=tokens + tokens_of_json(body.get("tools")) + tokens_of_json(text_format),
        limit=count_of(body, "max_output_tokens", least=_LIMIT_MIN),
        stream=body.get("stream") is True,
        tools=tools,
        tool=_chosen(body, tools, items[-1].get("type") in _RESULTS),
        schema=ANY_JSON if is_any_json else text_format.get("schema"),
        thinks=effort not in (None, "none", "minimal"),
        tier=tier if tier in TIERS else "",
    )


def _chosen(body: JsonObject, tools: tuple[Tool, ...], has_result: bool) -> Tool | None:
    choice = body.get("tool_choice", "auto")
    if not tools or choice == "none":
        return None
    if isinstance(choice, dict):
        return next((tool for tool in tools if tool.name == choice.get("name")), tools[0])
    return None if choice == "auto" and has_result else tools[0]


def write(script: Script, call: Call) -> Answer:
    """The response, or its events."""
    response = _response(script, call)
    items = _items(script, call)
    status = "incomplete" if script.is_cut else "completed"
    final = {
        **response,
        "status": status,
        "completed_at": None if script.is_cut else call.now_s,
        "incomplete_details": {"reason": "max_output_tokens"} if script.is_cut else None,
        "output": items,
        "usage": None if script.asked.usage is UsageReport.NONE else usage_of(script),
    }
    if not script.prompt.stream:
        return Document(encode(final), chunks=script.chunks)
    return Events(script, response, items, final).stream()


def usage_of(script: Script) -> JsonObject:
    """The usage object of a finished response."""
    used = script.used
    return {
        "input_tokens": used.prompt,
        "input_tokens_details": {
            "cached_tokens": used.cached,
            "cache_write_tokens": used.cache_write + used.cache_write_1h,
        },
        "output_tokens": script.output_shown,
        "output_tokens_details": {"reasoning_tokens": script.reasoning_shown},
        "total_tokens": used.prompt + script.output_shown,
    }


def _response(script: Script, call: Call) -> JsonObject:
    """The response object as it stands before anything was generated."""
    body = script.prompt.body
    reasoning = object_at(body, "reasoning")
    summary = reasoning.get("summary")
    return {
        "id": call.id_of("resp_", 48),
        "object": "response",
        "created_at": call.now_s,
        "completed_at": None,
        "status": "in_progress",
        "background": False,
        "error": None,
        "frequency_penalty": 0.0,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "max_tool_calls": body.get("max_tool_calls"),
        "metadata": object_at(body, "metadata"),
        "model": call.model.snapshot,
        "output": [],
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "presence_penalty": 0.0,
        "previous_response_id": body.get("previous_response_id"),
        "prompt_cache_key": body.get("prompt_cache_key"),
        "reasoning": {
            "effort": reasoning.get("effort"),
            "summary": "detailed" if summary == "auto" else summary,
        },
        "safety_identifier": body.get("safety_identifier"),
        "service_tier": script.used.tier or "default",
        "store": body.get("store", True),
        "temperature": body.get("temperature", 1.0),
        "text": {"format": {"type": "text"}, "verbosity": "medium"} | object_at(body, "text"),
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": [_tool_shown(tool) for tool in body.get("tools") or ()],
        "top_logprobs": 0,
        "top_p": body.get("top_p", 1.0),
        "truncation": body.get("truncation", "disabled"),
        "usage": None,
        "user": body.get("user"),
    }


def _tool_shown(tool: Any) -> Any:
    is_function = isinstance(tool, dict) and tool.get("type") == "function"
    return {"description": None, "parameters": None, "strict": True} | tool if is_function else tool


def _items(script: Script, call: Call) -> list[JsonObject]:
    """The finished output items."""
    items: list[JsonObject] = []
    if script.reasoning:
        wants_summary = object_at(script.prompt.body, "reasoning").get("summary")
        summary = [{"type": "summary_text", "text": script.thought}] if wants_summary else []
        items.append({"id": call.id_of("rs_", 48), "type": "reasoning", "summary": summary})
    status = "incomplete" if script.is_cut else "completed"
    text = script.texts[0]
    if script.tool is not None:
        items.append(
            {
                "id": call.id_of("fc_", 48),
                "type": "function_call",
                "status": status,
                "arguments": text,
                "call_id": call.id_of("call_"),
                "name": script.tool.name,
            }
        )
    elif text or not script.is_cut:
        content = {"type": "output_text", "annotations": [], "logprobs": [], "text": text}
        message = {"id": call.id_of("msg_", 48), "type": "message", "status": status}
        items.append({**message, "role": "assistant", "content": [content]})
    return items


RESPONSES: Final = Operation(
    dialect=OPENAI, name="responses", kinds=("chat",), read=read, write=write
)
