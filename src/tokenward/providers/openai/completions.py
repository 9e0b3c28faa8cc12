"""POST /v1/completions and /v1/embeddings: what may they cost at most?"""

from tokenward.kernel.json_text import JsonObject, JsonValue
from tokenward.kernel.usage import Usage
from tokenward.providers.ask import Ask, Request
from tokenward.providers.openai import fields
from tokenward.providers.openai.conversation import prompt_said
from tokenward.providers.openai.input_bound import (
    MESSAGE_TOKENS,
    TEMPLATE_TOKENS,
    countable,
    utf8_size,
)
from tokenward.providers.request_body import as_flag, as_model_name, as_text


def inspect(request: Request, document: JsonObject) -> Ask:
    """A text completion. Every prompt of a list makes its own choices."""
    model = as_model_name(document.get("model"), "model")
    fields.refuse_detours(document)
    prompts, tokens, texts = _prompts(document.get("prompt"), "prompt")
    suffix = as_text(document.get("suffix"), "suffix")
    output_asked, output_open = fields.output_asked(document, "max_tokens")
    return Ask(
        route=request.route,
        model=model,
        stream=as_flag(document.get("stream"), "stream"),
        most=Usage(input=tokens + utf8_size(suffix)),
        output_asked=output_asked,
        output_open=output_open,
        choices=max(1, prompts) * fields.choices(document),
        service_tiers=fields.service_tiers(document),
        open_ended=fields.opened_by(document),
        unbounded=fields.unlimited_by(document),
        wants_usage=fields.wants_usage(document),
        given=fields.settable(document),
        counted_text=countable(texts),
        said=prompt_said(document.get("prompt")),
    )


def embed(request: Request, document: JsonObject) -> Ask:
    """Embeddings: input only."""
    model = as_model_name(document.get("model"), "model")
    fields.refuse_detours(document)
    prompts, tokens, texts = _prompts(document.get("input"), "input")
    if prompts == 0:
        raise ValueError("input: must not be empty")
    return Ask(
        route=request.route,
        model=model,
        most=Usage(input=tokens),
        has_output=False,
        service_tiers=fields.service_tiers(document),
        open_ended=fields.opened_by(document),
        counted_text=countable(texts),
        said=prompt_said(document.get("input")),
    )


def _prompts(value: JsonValue, where: str) -> tuple[int, int, list[str]]:
    """How many prompts there are, the most tokens in all of them, and their texts."""
    if value is None:
        return 0, TEMPLATE_TOKENS, []
    if isinstance(value, str):
        value = [value]
    elif not isinstance(value, list):
        raise ValueError(f"{where}: must be a string or a list")
    elif value and all(_is_id(item) for item in value):
        value = [value]
    tokens, texts = TEMPLATE_TOKENS + MESSAGE_TOKENS * len(value), []
    for index, item in enumerate(value):
        if isinstance(item, str):
            texts.append(item)
            tokens += utf8_size(item)
        elif isinstance(item, list) and all(_is_id(entry) for entry in item):
            tokens += len(item)
        else:
            raise ValueError(f"{where}[{index}]: must be a string or a list of token ids")
    return len(value), tokens, texts


def _is_id(value: JsonValue) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
