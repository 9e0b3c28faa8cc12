"""generateContent, streamGenerateContent, countTokens, embedContent and batchEmbedContents."""

import re
from functools import lru_cache
from typing import Any, Final

import msgspec

from tokenward.lab.standin.answer import (
    EVENTS,
    JSON,
    Answer,
    Call,
    Document,
    Operation,
    Stream,
    encode,
)
from tokenward.lab.standin.behaviour import UsageReport
from tokenward.lab.standin.dialect import GEMINI, RejectedError
from tokenward.lab.standin.openai_completions import vector
from tokenward.lab.standin.reading import count_of, list_of, object_at, tokens_of_json
from tokenward.lab.standin.script import JsonObject, Prompt, Script, Tool
from tokenward.lab.standin.tariff import Used
from tokenward.lab.standin.text import pieces, seed_of, tokens_in

_IMAGE_TOKENS: Final = 258
_WIDTH_DEFAULT: Final = 768
_WIDTH_MAX: Final = 3072


@lru_cache(maxsize=256)
def _snake(camel: str) -> str:
    return re.sub(r"[A-Z]", lambda letter: "_" + letter.group().lower(), camel)


def _get(value: JsonObject, camel: str) -> Any:
    """Gemini reads both spellings of every name, and its own client mixes them."""
    found = value.get(camel)
    return value.get(_snake(camel)) if found is None else found


def _object(value: JsonObject, camel: str) -> JsonObject:
    found = _get(value, camel)
    return found if isinstance(found, dict) else {}


def _count(value: JsonObject, camel: str) -> int | None:
    return count_of({camel: _get(value, camel)}, camel)


def _parts(content: object) -> list[JsonObject]:
    parts = content.get("parts") if isinstance(content, dict) else None
    return [part for part in parts or () if isinstance(part, dict)]


def _counted(contents: list[object]) -> tuple[int, int]:
    """Input tokens of contents: all but audio, and audio."""
    tokens = audio = 0
    for content in contents:
        for part in _parts(content):
            blob = _object(part, "inlineData")
            media = str(_get(blob, "mimeType") or "")
            if media.startswith("image/"):
                tokens += _IMAGE_TOKENS
            elif media.startswith("audio/"):
                audio += tokens_of_json(part)
            else:
                text = part.get("text")
                tokens += tokens_in(len(text)) if isinstance(text, str) else tokens_of_json(part)
    return tokens, audio


def _read(body: JsonObject, model: str) -> Prompt:
    contents = body.get("contents")
    if not isinstance(contents, list) or not contents:
        raise RejectedError("* GenerateContentRequest.contents: contents is not specified")
    system = _object(body, "systemInstruction")
    tokens, audio = _counted([*contents, system])
    config = _object(body, "generationConfig")
    thinking = _object(config, "thinkingConfig")
    schema = _get(config, "responseJsonSchema") or _get(config, "responseSchema")
    if schema is None and _get(config, "responseMimeType") == "application/json":
        schema = {"type": "object", "properties": {"status": {"enum": ["ok"]}}}
    tools = _tools(body)
    wanted = _get(thinking, "includeThoughts") or _get(thinking, "thinkingLevel")
    return Prompt(
        model=model,
        body=body,
        said=_said(contents),
        input_tokens=tokens + tokens_of_json(body.get("tools")) + tokens_of_json(schema),
        input_audio=audio,
        limit=_count(config, "maxOutputTokens"),
        choices=_count(config, "candidateCount") or 1,
        tools=tools,
        tool=_chosen(body, tools, contents[-1]),
        schema=schema,
        thinks=bool(wanted) or (_get(thinking, "thinkingBudget") or 0) > 0,
        tier=str(_get(body, "serviceTier") or "").replace("standard", ""),
    )


def _read_stream(body: JsonObject, model: str) -> Prompt:
    prompt = _read(body, model)
    prompt.stream = True
    return prompt


def _said(contents: list[Any]) -> str:
    """The last text of the user."""
    for content in reversed(contents):
        if isinstance(content, dict) and content.get("role", "user") == "user":
            texts = [p["text"] for p in _parts(content) if isinstance(p.get("text"), str)]
            if texts:
                return "\n".join(texts)
    return ""


def _tools(body: JsonObject) -> tuple[Tool, ...]:
    found = []
    for tool in body.get("tools") or ():
        for each in _get(tool, "functionDeclarations") or ():
            schema = _get(each, "parametersJsonSchema") or each.get("parameters")
            found.append(Tool(str(each.get("name", "")), schema))
    return tuple(found)


def _chosen(body: JsonObject, tools: tuple[Tool, ...], last: object) -> Tool | None:
    """The tool it must call; left to itself it calls the first until it has a result."""
    config = _object(body, "toolConfig")
    calling = _object(config, "functionCallingConfig")
    mode = str(calling.get("mode", "AUTO")).upper()
    if not tools or mode == "NONE":
        return None
    if mode == "ANY":
        allowed = _get(calling, "allowedFunctionNames") or [tools[0].name]
        return next((tool for tool in tools if tool.name in allowed), tools[0])
    has_result = any(_get(part, "functionResponse") for part in _parts(last))
    return None if has_result else tools[0]


def usage_of(script: Script, share: int = 1, whole: int = 1) -> JsonObject:
    """The usage metadata when `share` of `whole` parts are out; totals so far, not differences."""
    used = script.used.after(share, whole)
    visible = used.output - used.reasoning
    thoughts = script.reasoning_shown * script.generated
    details = [{"modality": "TEXT", "tokenCount": used.prompt - used.input_audio}]
    if used.input_audio:
        details.append({"modality": "AUDIO", "tokenCount": used.input_audio})
    usage: JsonObject = {
        "promptTokenCount": used.prompt,
        "candidatesTokenCount": visible,
        "totalTokenCount": used.prompt + visible + thoughts,
        "promptTokensDetails": details,
    }
    if used.cached:
        usage["cachedContentTokenCount"] = used.cached
        usage["cacheTokensDetails"] = [{"modality": "TEXT", "tokenCount": used.cached}]
    if thoughts:
        usage["thoughtsTokenCount"] = thoughts
    if used.tier:
        usage["serviceTier"] = used.tier
    return usage


def _write(script: Script, call: Call) -> Answer:
    tail = {"modelVersion": call.model.name, "responseId": call.id_of("standin", 16)}
    finish = "MAX_TOKENS" if script.is_cut else "STOP"
    if script.prompt.stream:
        return _stream(script, call, tail, finish)
    candidates = [
        _candidate(i, [*_thought(script), *_visible(script, call, text)], finish)
        for i, text in enumerate(script.texts)
    ]
    document = {"candidates": candidates, **_usage_shown(script), **tail}
    return Document(encode(document), chunks=script.chunks)


def _usage_shown(script: Script, share: int = 1, whole: int = 1) -> JsonObject:
    if script.asked.usage is UsageReport.NONE:
        return {}
    return {"usageMetadata": usage_of(script, share, whole)}


def _candidate(index: int, parts: list[JsonObject], finish: str = "") -> JsonObject:
    candidate: JsonObject = {"content": {"parts": parts, "role": "model"}, "index": index}
    return {**candidate, "finishReason": finish} if finish else candidate


def _thought(script: Script) -> list[JsonObject]:
    config = _object(script.prompt.body, "generationConfig")
    thinking = _object(config, "thinkingConfig")
    is_shown = script.reasoning and _get(thinking, "includeThoughts")
    return [{"text": script.thought, "thought": True}] if is_shown else []


def _visible(script: Script, call: Call, text: str) -> list[JsonObject]:
    if script.tool is None:
        return [{"text": text}] if text else []
    # arguments that the limit cut in the middle are no object any more
    made = {} if script.is_cut else msgspec.json.decode(text)
    called = {"id": call.id_of("", 8), "name": script.tool.name, "args": made}
    return [{"functionCall": called}]


def _stream(script: Script, call: Call, tail: JsonObject, finish: str) -> Stream:
    """Chunks as server-sent events with `alt=sse`, else as the elements of one JSON array."""
    is_sse = call.query.get("alt") == "sse"

    def element(value: JsonObject, is_first: bool = False) -> bytes:
        if is_sse:
            return b"data: %b\r\n\r\n" % encode(value)
        return (b"[" if is_first else b",\r\n") + encode(value)

    parts = [
        (i, piece)
        for i, text in enumerate(script.texts)
        for piece in ([text] if script.tool else pieces(text, script.chunks))
    ]
    whole = len(parts)
    thought = _thought(script)
    opening = b""
    if thought:
        first = {"candidates": [_candidate(0, thought)], **_usage_shown(script, 0, whole), **tail}
        opening = element(first, is_first=True)
    chunks = [
        element(
            {
                "candidates": [_candidate(i, _visible(script, call, piece))],
                **_usage_shown(script, at + 1, whole),
                **tail,
            },
            is_first=at == 0 and not thought,
        )
        for at, (i, piece) in enumerate(parts)
    ]
    last = [_candidate(i, [{"text": ""}], finish) for i in range(len(script.texts))]
    closing = element({"candidates": last, **_usage_shown(script), **tail})
    broken = GEMINI.error(503, "The model is overloaded. Please try again later.", "")
    end = b"" if is_sse else b"]"
    return Stream(
        opening,
        chunks,
        closing + end,
        lambda sent: element(broken, is_first=sent == 0 and not thought) + end,
        EVENTS if is_sse else JSON,
    )


def _read_count(body: JsonObject, model: str) -> Prompt:
    inner = _object(body, "generateContentRequest") or body
    return _read(inner, model)


def _write_count(script: Script, _call: Call) -> Answer:
    total = script.used.prompt
    details = [{"modality": "TEXT", "tokenCount": total}]
    return Document(encode({"totalTokens": total, "promptTokensDetails": details}))


def _read_embedding(body: JsonObject, model: str) -> Prompt:
    content = object_at(body, "content")
    if not _parts(content):
        raise RejectedError("* EmbedContentRequest.content: contents is not specified")
    tokens, _ = _counted([content])
    return Prompt(model=model, body={"requests": [body]}, input_tokens=tokens, limit=0)


def _read_embeddings(body: JsonObject, model: str) -> Prompt:
    requests = list_of(body, "requests")
    tokens = sum(_read_embedding(each, model).input_tokens for each in requests)
    return Prompt(model=model, body=body, input_tokens=tokens, limit=0)


def _vectors(script: Script) -> list[JsonObject]:
    made = []
    for request in script.prompt.body["requests"]:
        width = min(_count(request, "outputDimensionality") or _WIDTH_DEFAULT, _WIDTH_MAX)
        seed = seed_of(str(_parts(request.get("content")))) % 64
        made.append({"values": vector(seed, width)})
    return made


def _write_embedding(script: Script, _call: Call) -> Answer:
    return Document(encode({"embedding": _vectors(script)[0], **_embedding_usage(script)}))


def _write_embeddings(script: Script, _call: Call) -> Answer:
    return Document(encode({"embeddings": _vectors(script), **_embedding_usage(script)}))


def _embedding_usage(script: Script) -> JsonObject:
    if script.asked.usage is UsageReport.NONE:
        return {}
    tokens = script.used.prompt
    details = [{"modality": "TEXT", "tokenCount": tokens}]
    return {"usageMetadata": {"promptTokenCount": tokens, "promptTokensDetails": details}}


def _only_input(script: Script, _call: Call) -> Used:
    return Used(input=script.used.prompt)


_CHAT: Final = ("chat",)
_EMBEDDING: Final = ("embedding",)
VERBS: Final = {
    "generateContent": Operation(
        dialect=GEMINI, name="generateContent", kinds=_CHAT, read=_read, write=_write
    ),
    "streamGenerateContent": Operation(
        dialect=GEMINI, name="streamGenerateContent", kinds=_CHAT, read=_read_stream, write=_write
    ),
    "countTokens": Operation(
        dialect=GEMINI,
        name="countTokens",
        kinds=_CHAT,
        read=_read_count,
        write=_write_count,
        is_free=True,
    ),
    "embedContent": Operation(
        dialect=GEMINI,
        name="embedContent",
        kinds=_EMBEDDING,
        read=_read_embedding,
        write=_write_embedding,
        bill=_only_input,
    ),
    "batchEmbedContents": Operation(
        dialect=GEMINI,
        name="batchEmbedContents",
        kinds=_EMBEDDING,
        read=_read_embeddings,
        write=_write_embeddings,
        bill=_only_input,
    ),
}
