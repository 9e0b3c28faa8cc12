"""POST /v1/completions and /v1/embeddings: a text goes on, or becomes a vector."""

from base64 import b64encode
from functools import lru_cache
from struct import pack
from typing import Any, Final

from tokenward.lab.standin.answer import Answer, Call, Document, Operation, Stream, encode, sse
from tokenward.lab.standin.behaviour import UsageReport
from tokenward.lab.standin.dialect import OPENAI, RejectedError
from tokenward.lab.standin.openai_chat import BROKE_DOWN, DONE, usage_of
from tokenward.lab.standin.reading import count_of, model_of, object_at
from tokenward.lab.standin.script import JsonObject, Prompt, Script
from tokenward.lab.standin.tariff import Used
from tokenward.lab.standin.text import pieces, seed_of, tokens_in

_LIMIT_DEFAULT: Final = 16
_WIDTH_DEFAULT: Final = 1536
_WIDTH_MAX: Final = 3072


def _inputs(value: object, name: str) -> list[str | list[int]]:
    """A text, texts, a list of tokens or lists of tokens → a list of inputs."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and value:
        if all(isinstance(each, int) for each in value):
            return [value]
        if all(isinstance(each, (str, list)) for each in value):
            return value
    raise RejectedError(f"'{name}' must be a string, strings, tokens or lists of tokens")


def _tokens(inputs: list[str | list[int]]) -> int:
    return sum(tokens_in(len(i)) if isinstance(i, str) else len(i) for i in inputs)


def _read_completion(body: JsonObject, _model: str) -> Prompt:
    prompts = _inputs(body.get("prompt", "<|endoftext|>"), "prompt")
    choices = count_of(body, "n") or 1
    drafts = count_of(body, "best_of") or choices
    if drafts < choices:
        raise RejectedError("'best_of' must be at least 'n'")
    last = prompts[-1]
    limit = count_of(body, "max_tokens", least=0)
    return Prompt(
        model=model_of(body),
        body=body,
        said=last if isinstance(last, str) else "",
        input_tokens=_tokens(prompts),
        limit=_LIMIT_DEFAULT if limit is None else limit,
        choices=choices * len(prompts),
        drafts=drafts * len(prompts),
        stream=body.get("stream") is True,
    )


def _write_completion(script: Script, call: Call) -> Answer:
    base: JsonObject = {
        "id": call.id_of("cmpl-"),
        "object": "text_completion",
        "created": call.now_s,
        "model": call.model.snapshot,
    }
    finish = "length" if script.is_cut else "stop"
    if script.prompt.stream:
        return _completion_stream(script, base, finish)
    document = {**base, "choices": [_choice(i, t, finish) for i, t in enumerate(script.texts)]}
    if script.asked.usage is not UsageReport.NONE:
        document["usage"] = _usage(script)
    return Document(encode(document), chunks=script.chunks)


def _choice(index: int, text: str, finish: str | None) -> JsonObject:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": finish}


def _usage(script: Script) -> JsonObject:
    usage = usage_of(script)
    return {k: usage[k] for k in ("prompt_tokens", "completion_tokens", "total_tokens")}


def _completion_stream(script: Script, base: JsonObject, finish: str) -> Stream:
    wants_usage = object_at(script.prompt.body, "stream_options").get("include_usage") is True
    wants_usage = wants_usage and script.asked.usage is not UsageReport.NONE
    tail: JsonObject = {"usage": None} if wants_usage else {}
    chunks = [
        sse({**base, "choices": [_choice(i, piece, None)], **tail})
        for i, text in enumerate(script.texts)
        for piece in (pieces(text, script.chunks) if text else ())
    ]
    closing = b"".join(
        sse({**base, "choices": [_choice(i, "", finish)], **tail}) for i in range(len(script.texts))
    )
    if wants_usage:
        closing += sse({**base, "choices": [], "usage": _usage(script)})
    error = sse(OPENAI.error(500, BROKE_DOWN, ""))
    return Stream(b"", chunks, closing + DONE, lambda _sent: error)


def _read_embedding(body: JsonObject, _model: str) -> Prompt:
    inputs = _inputs(body.get("input"), "input")
    last = inputs[-1]
    return Prompt(
        model=model_of(body),
        body=body,
        said=last if isinstance(last, str) else "",
        input_tokens=_tokens(inputs),
        limit=0,
    )


@lru_cache(maxsize=64)
def vector(seed: int, width: int) -> tuple[float, ...]:
    """A vector of length one, the same for the same seed (of which there are 64)."""
    raw = [((seed + 1) * (i + 3) * 2654435761 % 1000) / 1000 - 0.5 for i in range(width)]
    length = sum(x * x for x in raw) ** 0.5 or 1.0
    return tuple(x / length for x in raw)


def _write_embedding(script: Script, call: Call) -> Answer:
    body = script.prompt.body
    width = min(count_of(body, "dimensions") or _WIDTH_DEFAULT, _WIDTH_MAX)
    wants_base64 = body.get("encoding_format") == "base64"
    data: list[JsonObject] = []
    for i, text in enumerate(_inputs(body.get("input"), "input")):
        numbers = vector(seed_of(str(text)) % 64, width)
        shown: Any = numbers
        if wants_base64:
            shown = b64encode(pack(f"<{width}f", *numbers)).decode()
        data.append({"object": "embedding", "index": i, "embedding": shown})
    document: JsonObject = {"object": "list", "data": data, "model": call.model.snapshot}
    if script.asked.usage is not UsageReport.NONE:
        prompt = script.used.prompt
        document["usage"] = {"prompt_tokens": prompt, "total_tokens": prompt}
    return Document(encode(document))


def _only_input(script: Script, _call: Call) -> Used:
    return Used(input=script.used.prompt)


COMPLETIONS: Final = Operation(
    dialect=OPENAI,
    name="completions",
    kinds=("completion",),
    read=_read_completion,
    write=_write_completion,
)
EMBEDDINGS: Final = Operation(
    dialect=OPENAI,
    name="embeddings",
    kinds=("embedding",),
    read=_read_embedding,
    write=_write_embedding,
    bill=_only_input,
)
