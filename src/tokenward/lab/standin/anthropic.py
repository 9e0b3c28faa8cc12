"""POST /v1/messages and /v1/messages/count_tokens."""

from typing import Any, Final

import msgspec

from tokenward.lab.standin.answer import (
    Answer,
    Call,
    Document,
    Operation,
    Stream,
    encode,
    sse_named,
)
from tokenward.lab.standin.behaviour import UsageReport
from tokenward.lab.standin.dialect import ANTHROPIC, RejectedError
from tokenward.lab.standin.reading import (
    count_of,
    list_of,
    model_of,
    object_at,
    said_in,
    tokens_of,
    tokens_of_json,
)
from tokenward.lab.standin.script import JsonObject, Prompt, Script, Tool
from tokenward.lab.standin.text import pieces

_IMAGE_TOKENS: Final = 1_400
_THINKING_MIN: Final = 1_024
_OVERLOADED: Final = 529
_CUMULATIVE: Final = (
    "input_tokens",
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "output_tokens",
    "output_tokens_details",
    "server_tool_use",
)
"""What the last event of a stream says again, as it stands then."""


def _read(body: JsonObject, _model: str) -> Prompt:
    prompt = _counted(body)
    limit = count_of(body, "max_tokens")
    if limit is None:
        raise RejectedError("max_tokens: Field required")
    prompt.limit = limit
    thinking = object_at(body, "thinking")
    if thinking.get("type") == "enabled":
        budget = count_of(thinking, "budget_tokens") or 0
        if not _THINKING_MIN <= budget < limit:
            raise RejectedError(
                "thinking.budget_tokens: must be at least 1024 and less than max_tokens"
            )
    prompt.thinks = thinking.get("type") in ("enabled", "adaptive")
    return prompt


def _counted(body: JsonObject, _model: str = "") -> Prompt:
    """The part of a request that counting tokens has too."""
    messages = list_of(body, "messages")
    said, last, tokens = "", None, tokens_of(body.get("system") or "", _IMAGE_TOKENS)
    for message in messages:
        if not isinstance(message, dict) or message.get("role") not in ("user", "assistant"):
            raise RejectedError("messages: each needs the role user or assistant")
        last = message.get("content")
        tokens += tokens_of(last, _IMAGE_TOKENS)
        if message["role"] == "user":
            said = said_in(last) or said
    tools = tuple(
        Tool(str(tool.get("name", "")), tool["input_schema"])
        for tool in body.get("tools") or ()
        if isinstance(tool, dict) and "input_schema" in tool
    )
    has_result = isinstance(last, list) and any(
        isinstance(part, dict) and part.get("type") == "tool_result" for part in last
    )
    schema = object_at(object_at(body, "output_config"), "format").get("schema")
    return Prompt(
        model=model_of(body),
        body=body,
        said=said,
        input_tokens=tokens + tokens_of_json(body.get("tools")) + tokens_of_json(schema),
        stream=body.get("stream") is True,
        tools=tools,
        tool=_chosen(body, tools, has_result),
        schema=schema,
        region=str(body.get("inference_geo") or ""),
        speed="fast" if body.get("speed") == "fast" else "",
    )


def _chosen(body: JsonObject, tools: tuple[Tool, ...], has_result: bool) -> Tool | None:
    """The tool it must call; left to itself it calls the first until it has a result."""
    choice = object_at(body, "tool_choice") or {"type": "auto"}
    if not tools or choice.get("type") == "none":
        return None
    if choice.get("type") == "tool":
        return next((tool for tool in tools if tool.name == choice.get("name")), tools[0])
    return None if choice.get("type") == "auto" and has_result else tools[0]


def usage_of(script: Script) -> JsonObject:
    """The usage object of a finished message; `input_tokens` stands beside the cache's."""
    used = script.used
    writes = used.cache_write + used.cache_write_1h
    usage: JsonObject = {
        "input_tokens": used.input,
        "cache_creation_input_tokens": writes,
        "cache_read_input_tokens": used.cached,
        "cache_creation": {
            "ephemeral_5m_input_tokens": used.cache_write,
            "ephemeral_1h_input_tokens": used.cache_write_1h,
        },
        "output_tokens": script.output_shown,
        "output_tokens_details": {"thinking_tokens": script.reasoning_shown},
        "server_tool_use": _searches(script),
        "service_tier": used.tier or "standard",
        "inference_geo": used.region or "global",
    }
    return {**usage, "speed": used.speed} if used.speed else usage


def _searches(script: Script) -> JsonObject | None:
    count = script.used.searches
    return {"web_search_requests": count, "web_fetch_requests": 0} if count else None


def _write(script: Script, call: Call) -> Answer:
    blocks = _blocks(script, call)
    message: JsonObject = {
        "id": call.id_of("msg_01", 22),
        "type": "message",
        "role": "assistant",
        "model": call.model.snapshot,
        "content": blocks,
        "stop_reason": _stop_reason(script),
        "stop_sequence": None,
        "stop_details": None,
        "container": None,
        "usage": usage_of(script),
    }
    if script.asked.usage is UsageReport.NONE:
        del message["usage"]
    if script.prompt.stream:
        return _stream(script, call, message, blocks)
    return Document(encode(message), chunks=script.chunks)


def _stop_reason(script: Script) -> str:
    return "max_tokens" if script.is_cut else "tool_use" if script.tool else "end_turn"


def _blocks(script: Script, call: Call) -> list[JsonObject]:
    """The finished content: thinking, then a text or the call of a tool."""
    blocks: list[JsonObject] = []
    if script.reasoning:
        is_shown = object_at(script.prompt.body, "thinking").get("display") != "omitted"
        thought = script.thought if is_shown else ""
        blocks.append({"type": "thinking", "thinking": thought, "signature": "c3RhbmRpbg=="})
    if script.tool is not None:
        # arguments that the limit cut in the middle are no object any more
        made = {} if script.is_cut else msgspec.json.decode(script.texts[0])
        caller = {"type": "direct"}
        tool = {"type": "tool_use", "id": call.id_of("toolu_01", 22), "name": script.tool.name}
        blocks.append({**tool, "input": made, "caller": caller})
    elif script.texts[0] or not blocks:
        blocks.append({"type": "text", "text": script.texts[0], "citations": None})
    return blocks


def _event(kind: str, **fields: Any) -> bytes:
    return sse_named(kind, {"type": kind, **fields})


def _stream(script: Script, call: Call, message: JsonObject, blocks: list[JsonObject]) -> Stream:
    start = {**message, "content": [], "stop_reason": None}
    closing_usage: JsonObject = {}
    if "usage" in message:
        usage = message["usage"]
        first = min(1, script.output_shown)
        start["usage"] = {**usage, "output_tokens": first, "server_tool_use": None}
        del start["usage"]["output_tokens_details"]
        closing_usage = {"usage": {name: usage[name] for name in _CUMULATIVE}}
    opening = _event("message_start", message=start)
    chunks: list[bytes] = []
    stop = b""
    for index, block in enumerate(blocks):
        opening += (
            stop
            + _event("content_block_start", index=index, content_block=_blank(block))
            + _event("ping")
        )
        stop = _event("content_block_stop", index=index)
        if block["type"] == "thinking":
            opening += _thinking(index, block)
            continue
        chunks = [
            _event("content_block_delta", index=index, delta=_delta(block, piece))
            for piece in pieces(script.texts[0], script.chunks)
            if piece
        ]
    delta = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    delta |= {"stop_details": None, "container": None}
    closing = stop + _event("message_delta", delta=delta, **closing_usage)
    broken = ANTHROPIC.error(_OVERLOADED, "Overloaded", call.id_of("req_01"))
    return Stream(
        opening,
        chunks,
        closing + _event("message_stop"),
        lambda _sent: sse_named("error", broken),
    )


def _blank(block: JsonObject) -> JsonObject:
    empty: JsonObject = {
        "thinking": {"thinking": "", "signature": ""},
        "tool_use": {"input": {}},
        "text": {"text": ""},
    }
    return {**block, **empty[block["type"]]}


def _thinking(index: int, block: JsonObject) -> bytes:
    out = b""
    if block["thinking"]:
        delta = {"type": "thinking_delta", "thinking": block["thinking"]}
        out = _event("content_block_delta", index=index, delta=delta)
    signature = {"type": "signature_delta", "signature": block["signature"]}
    return out + _event("content_block_delta", index=index, delta=signature)


def _delta(block: JsonObject, piece: str) -> JsonObject:
    if block["type"] == "tool_use":
        return {"type": "input_json_delta", "partial_json": piece}
    return {"type": "text_delta", "text": piece}


def _write_count(script: Script, _call: Call) -> Answer:
    return Document(encode({"input_tokens": script.used.prompt}))


MESSAGES: Final = Operation(
    dialect=ANTHROPIC, name="messages", kinds=("chat",), read=_read, write=_write
)
COUNT_TOKENS: Final = Operation(
    dialect=ANTHROPIC,
    name="messages.count_tokens",
    kinds=("chat",),
    read=_counted,
    write=_write_count,
    is_free=True,
)
