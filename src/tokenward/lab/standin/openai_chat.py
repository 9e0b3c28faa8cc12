"""POST /v1/chat/completions."""

from typing import Any, Final

from tokenward.lab.standin.answer import Answer, Call, Document, Operation, Stream, encode, sse
from tokenward.lab.standin.behaviour import UsageReport
from tokenward.lab.standin.dialect import OPENAI, RejectedError
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

IMAGE_TOKENS: Final = 765
ANY_JSON: Final = {"type": "object", "properties": {"status": {"enum": ["ok"]}}}
TIERS: Final = ("priority", "flex")
BROKE_DOWN: Final = "The server had an error while processing your request"
DONE: Final = b"data: [DONE]\n\n"


def takes_max_tokens(model: str) -> bool:
    """Reasoning models refuse `max_tokens` and want `max_completion_tokens`."""
    return not model.startswith(("gpt-5", "gpt-6", "o1", "o3", "o4"))


def read(body: JsonObject, _model: str) -> Prompt:
    """A chat request → prompt."""
    model = model_of(body)
    messages = list_of(body, "messages")
    limit = count_of(body, "max_tokens")
    if limit is not None and not takes_max_tokens(model):
        raise RejectedError(
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead."
        )
    said, tokens, audio = "", 0, 0
    for message in messages:
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise RejectedError("Invalid 'messages': each needs a role")
        content = message.get("content")
        tokens += tokens_of(content, IMAGE_TOKENS) + tokens_of_json(message.get("tool_calls"))
        audio += _audio_tokens(content)
        if message["role"] == "user":
            said = said_in(content)
    tools = _tools(body)
    answer_format = object_at(body, "response_format")
    schema = object_at(answer_format, "json_schema").get("schema")
    if answer_format.get("type") == "json_object":
        schema = ANY_JSON
    effort = body.get("reasoning_effort", object_at(body, "reasoning").get("effort"))
    tier = body.get("service_tier")
    return Prompt(
        model=model,
        body=body,
        said=said,
        input_tokens=tokens + tokens_of_json(body.get("tools")) + tokens_of_json(schema) - audio,
        input_audio=audio,
        limit=count_of(body, "max_completion_tokens") or limit,
        choices=count_of(body, "n") or 1,
        stream=body.get("stream") is True,
        tools=tools,
        tool=_chosen(body, tools, messages[-1].get("role") == "tool"),
        schema=schema,
        thinks=effort not in (None, "none", "minimal") or bool(body.get("reasoning")),
        tier=tier if tier in TIERS else "",
    )


def _audio_tokens(content: object) -> int:
    parts = content if isinstance(content, list) else []
    return sum(
        tokens_of_json(part) for part in parts if isinstance(part, dict) and "input_audio" in part
    )


def _tools(body: JsonObject) -> tuple[Tool, ...]:
    functions = [
        tool["function"]
        for tool in body.get("tools") or ()
        if isinstance(tool, dict) and isinstance(tool.get("function"), dict)
    ]
    return tuple(Tool(str(f.get("name", "")), f.get("parameters")) for f in functions)


def _chosen(body: JsonObject, tools: tuple[Tool, ...], has_result: bool) -> Tool | None:
    """The tool it must call; left to itself it calls the first until it has a result."""
    choice = body.get("tool_choice", "auto")
    if not tools or choice == "none":
        return None
    if isinstance(choice, dict):
        name = object_at(choice, "function").get("name")
        return next((tool for tool in tools if tool.name == name), tools[0])
    return None if choice == "auto" and has_result else tools[0]


def usage_of(script: Script, share: int = 1, whole: int = 1) -> JsonObject:
    """The usage object when `share` of `whole` parts are out."""
    used = script.used.after(share, whole)
    output = used.output - (script.used.output - script.output_shown)
    reasoning = script.reasoning_shown * script.generated
    details: JsonObject = {"cached_tokens": used.cached, "audio_tokens": used.input_audio}
    writes = used.cache_write + used.cache_write_1h
    if writes:
        details["cache_write_tokens"] = writes
    return {
        "prompt_tokens": used.prompt,
        "completion_tokens": output,
        "total_tokens": used.prompt + output,
        "prompt_tokens_details": details,
        "completion_tokens_details": {
            "reasoning_tokens": reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def write(script: Script, call: Call) -> Answer:
    """The completion, or its chunks."""
    base = {
        "id": call.id_of("chatcmpl-"),
        "object": "chat.completion",
        "created": call.now_s,
        "model": call.model.snapshot,
    }
    tail = {"service_tier": script.used.tier or "default", "system_fingerprint": "fp_standin"}
    if script.prompt.stream:
        return _stream(script, call, {**base, "object": "chat.completion.chunk"}, tail)
    choices = [
        {
            "index": i,
            "message": _message(script, call, i, text),
            "logprobs": None,
            "finish_reason": _finish(script),
        }
        for i, text in enumerate(script.texts)
    ]
    document: JsonObject = {**base, "choices": choices, **tail}
    if script.asked.usage is not UsageReport.NONE:
        document["usage"] = usage_of(script)
    return Document(encode(document), chunks=script.chunks)


def _finish(script: Script) -> str:
    return "length" if script.is_cut else "tool_calls" if script.tool else "stop"


def _call_id(call: Call, choice: int) -> str:
    return call.id_of("call_", 20) + f"{choice:04x}"


def _message(script: Script, call: Call, choice: int, text: str) -> JsonObject:
    message: JsonObject = {
        "role": "assistant",
        "content": None if script.tool else text,
        "refusal": None,
        "annotations": [],
    }
    if script.tool:
        function = {"name": script.tool.name, "arguments": text}
        one = {"id": _call_id(call, choice), "type": "function", "function": function}
        message["tool_calls"] = [one]
    return message


def _stream(script: Script, call: Call, base: JsonObject, tail: JsonObject) -> Stream:
    wants_usage = object_at(script.prompt.body, "stream_options").get("include_usage") is True
    report = script.asked.usage
    wants_usage = wants_usage and report is not UsageReport.NONE
    if wants_usage:
        tail = {**tail, "usage": None}

    def chunk(choice: int, delta: Any, finish: str | None, done: int = 0) -> bytes:
        one = {"index": choice, "delta": delta, "logprobs": None, "finish_reason": finish}
        value = {**base, "choices": [one], **tail}
        if report is UsageReport.EVERY:
            value["usage"] = usage_of(script, done, whole)
        return sse(value)

    parts = [pieces(text, script.chunks) if text else [] for text in script.texts]
    whole = max(sum(len(each) for each in parts), 1)
    opening = b"".join(
        chunk(i, _first_delta(script, call, i), None) for i in range(len(script.texts))
    )
    chunks: list[bytes] = []
    for step in range(max(len(each) for each in parts)):
        for i, each in enumerate(parts):
            if step < len(each):
                chunks.append(chunk(i, _delta(script, each[step]), None, len(chunks) + 1))
    closing = b"".join(chunk(i, {}, _finish(script), whole) for i in range(len(script.texts)))
    if wants_usage:
        closing += sse({**base, "choices": [], **tail, "usage": usage_of(script)})
    error = sse(OPENAI.error(500, BROKE_DOWN, ""))
    return Stream(opening, chunks, closing + DONE, lambda _sent: error)


def _first_delta(script: Script, call: Call, choice: int) -> JsonObject:
    if script.tool is None:
        return {"role": "assistant", "content": "", "refusal": None}
    function = {"name": script.tool.name, "arguments": ""}
    one = {"index": 0, "id": _call_id(call, choice), "type": "function", "function": function}
    return {"role": "assistant", "content": None, "refusal": None, "tool_calls": [one]}


def _delta(script: Script, piece: str) -> JsonObject:
    if script.tool is None:
        return {"content": piece}
    return {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}


CHAT: Final = Operation(
    dialect=OPENAI, name="chat.completions", kinds=("chat",), read=read, write=write
)
