"""What is asked of a Gemini model, and what can it cost?"""

from typing import Final
from urllib.parse import parse_qsl

from msgspec.structs import replace

from tokenward.kernel.json_text import JsonObject
from tokenward.providers.ask import Ask, Request
from tokenward.providers.gemini.content import measure
from tokenward.providers.gemini.conversation import embed_said, generate_said
from tokenward.providers.gemini.proto_json import (
    count_field,
    field,
    list_field,
    object_field,
    object_fields,
    snake_case,
    unknown_names,
)
from tokenward.providers.gemini.rewriting import CONFIG
from tokenward.providers.gemini.tools import tool_cost
from tokenward.providers.request_body import as_text, model_in_path, read_object

IMAGE_OUTPUT_TOKENS: Final = 2_520
"""The largest picture a model makes (4K); a smaller limit would pay for a piece of one."""

_BOUNDED_FIELDS: Final = frozenset(
    (
        "model", "contents", "systemInstruction", "tools", "toolConfig", "safetySettings",
        "generationConfig", "cachedContent", "labels", "serviceTier", "store",
    )
)  # fmt: skip
_BOUNDED_CONFIG: Final = frozenset(
    (
        "maxOutputTokens", "candidateCount", "stopSequences", "temperature", "topP", "topK",
        "seed", "presencePenalty", "frequencyPenalty", "responseLogprobs", "logprobs",
        "responseMimeType", "responseSchema", "responseJsonSchema", "_responseJsonSchema",
        "responseFormat", "responseModalities", "speechConfig", "thinkingConfig", "imageConfig",
        "mediaResolution", "enableEnhancedCivicAnswers", "audioTimestamp",
        "audioTranscriptionConfig",
    )
)  # fmt: skip
_ALTS: Final = ("", "json", "sse")
_STANDARD_TIERS: Final = ("", "unspecified", "standard")


def read_generate(request: Request, *, is_stream: bool) -> Ask:
    """A call to the model. Raises ValueError with a plain reason for what no provider accepts."""
    _check_alt(request)
    model = model_in_path(request)
    body = read_object(request)
    _check_model(body, model)
    if not object_fields(body, "contents"):
        raise ValueError("contents: is required")
    config = object_field(body, "generationConfig")
    content = measure(body, len(request.body))
    tools = tool_cost(body, model)
    output_bucket, unbounded_kind = _output_bucket(config, model)
    output_asked = count_field(config, "maxOutputTokens", 1)
    return Ask(
        route=request.route,
        model=model,
        stream=is_stream,
        most=replace(content.most, searches=tools.searches),
        output_asked=output_asked,
        output_min=_output_min(config, output_bucket),
        output_bucket=output_bucket,
        choices=count_field(config, "candidateCount", 1) or 1,
        service_tiers=_service_tiers(body),
        open_ended=content.open_ended or tools.open_ended,
        unbounded=_unbounded_field(body, config) or tools.unbounded or unbounded_kind,
        given={name: body[name] for name in (CONFIG, snake_case(CONFIG)) if name in body},
        said=generate_said(body),
    )


def read_embed(request: Request) -> Ask:
    """One embedding or several: input tokens alone are billed."""
    _check_alt(request)
    model = model_in_path(request)
    body = read_object(request)
    for item in (body, *object_fields(body, "requests")):
        _check_model(item, model)
    content = measure(body, len(request.body))
    return Ask(
        route=request.route,
        model=model,
        most=content.most,
        has_output=False,
        open_ended=content.open_ended,
        said=embed_said(body),
    )


def read_count_tokens(request: Request) -> Ask:
    """Counting is free, and makes nothing."""
    model = model_in_path(request)
    body = read_object(request)
    for item in (body, object_field(body, "generateContentRequest")):
        _check_model(item, model)
    return Ask(route=request.route, model=model, has_output=False, said=generate_said(body))


def _check_alt(request: Request) -> None:
    for name, value in parse_qsl(request.query.decode("latin-1"), keep_blank_values=True):
        if name.lstrip("$") == "alt" and value.lower() not in _ALTS:
            raise ValueError("alt: must be json or sse; an answer in another form is not metered")


def _check_model(item: JsonObject, model: str) -> None:
    named = as_text(item.get("model"), "model").removeprefix("models/")
    if named not in ("", model):
        raise ValueError(f"model: the body names {named[:80]!r}, the path {model!r}")


def _output_bucket(config: JsonObject, model: str) -> tuple[str, str]:
    """The dearest kind of output, and why it has no bound ("" if it has one). Without a list of
    kinds a model answers in the kind it was made for, which its name tells."""
    asked = list_field(config, "responseModalities")
    kinds = {as_text(kind, "responseModalities").upper() for kind in asked}
    kinds.discard("MODALITY_UNSPECIFIED")
    if kinds - {"TEXT", "IMAGE", "AUDIO"} or (not kinds and "omni" in model):
        return "output", "nothing in the request limits how long an answer in moving pictures gets"
    if {"IMAGE", "AUDIO"} <= kinds:
        return "output", "an answer in both pictures and sound has no single dearest price"
    if "IMAGE" in kinds or (not kinds and ("image" in model or "banana" in model)):
        return "output_image", ""
    if "AUDIO" in kinds or (not kinds and "tts" in model):
        return "output_audio", ""
    return "output", ""


def _output_min(config: JsonObject, output_bucket: str) -> int:
    """Thoughts count toward the limit, so one below their budget leaves no answer (B-5)."""
    thinking = object_field(config, "thinkingConfig")
    is_automatic = field(thinking, "thinkingBudget") in (-1, "-1")
    budget = 0 if is_automatic else count_field(thinking, "thinkingBudget") or 0
    answer = IMAGE_OUTPUT_TOKENS if output_bucket == "output_image" else 1
    return budget + answer


def _service_tiers(body: JsonObject) -> tuple[str, ...]:
    """A tier that has no room may fall back to the standard one, so both are possible."""
    tier = as_text(field(body, "serviceTier"), "serviceTier").lower()
    tier = tier.removeprefix("service_tier_")
    return ("",) if tier in _STANDARD_TIERS else ("", tier[:40])


def _unbounded_field(body: JsonObject, config: JsonObject) -> str:
    unknown = unknown_names(body, _BOUNDED_FIELDS) or unknown_names(config, _BOUNDED_CONFIG)
    if not unknown:
        return ""
    return f"this guard does not know what the field {min(unknown)[:60]!r} costs"
