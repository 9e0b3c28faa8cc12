"""POST /v1/images/…: what may it cost at most?

GPT image models are billed by tokens, which depend on size and quality; others by the picture.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tokenward.kernel.json_text import JsonObject, JsonValue
from tokenward.kernel.usage import Usage
from tokenward.providers.ask import Ask, Request
from tokenward.providers.openai import fields
from tokenward.providers.openai.conversation import prompt_said
from tokenward.providers.openai.form import read_form
from tokenward.providers.openai.input_bound import TEMPLATE_TOKENS, utf8_size
from tokenward.providers.request_body import as_count, as_flag, as_model_name, as_text

PARTIAL_IMAGE_TOKENS: Final = 100
"""What each partial image of a stream costs (OpenAI, "Image generation")."""
INPUT_IMAGE_TOKENS: Final = 16_384
"""Twice the most of GPT Image 1: 65 + 8 * 129 tokens of tiles + 6,240 at high fidelity."""
PICTURE_TOKENS: Final = {"low": 408, "medium": 1_584}
"""GPT Image 1 and 1.5, in their largest size (OpenAI, "Image generation", output tokens)."""
PICTURE_TOKENS_HIGH: Final = 6_240
PICTURE_TOKENS_NEWER: Final = 32_768
"""Later models: more than twice what the provider's calculator shows for its largest size at
high quality (about 13,000); no formula is published."""

_BY_TOKENS: Final = re.compile(r"(?:^|/)(?:gpt-image|chatgpt-image)")
_FIRST_MODELS: Final = re.compile(r"(?:^|/)gpt-image-1(?:\.5)?(?:-mini)?(?:-20\d\d|$)")
_HIGH_AT_MOST: Final = re.compile(r"(?:^|/)gpt-image-(?:1(?:\.5)?(?:-mini)?|2)(?:-20\d\d|$)")
_KNOWN_QUALITIES: Final = ("low", "medium", "high")


@dataclass(frozen=True, slots=True)
class _Order:
    """What is ordered, from JSON or from a form."""

    model: str
    n: int
    prompt: str
    quality: str
    output_format: str
    partial_images: int
    stream: bool


def generate(request: Request, document: JsonObject) -> Ask:
    """POST /v1/images/generations."""
    fields.refuse_detours(document)
    return _ask(request, _order(document, as_flag(document.get("stream"), "stream")), 0)


def edit(request: Request) -> Ask:
    """POST /v1/images/edits: a form with the pictures to edit."""
    form = read_form(request.headers.get(b"content-type", b""), request.body)
    document: dict[str, JsonValue] = dict(form.texts)
    fields.refuse_detours(document)
    for name in ("n", "partial_images"):
        if name in form.texts:
            document[name] = _whole_number(form.texts[name], name)
    is_stream = form.texts.get("stream", "").lower() in ("true", "1")
    if not form.files:
        raise ValueError("image: there must be a picture to edit")
    return _ask(request, _order(document, is_stream), len(form.files))


def _order(document: Mapping[str, JsonValue], stream: bool) -> _Order:
    partial_images = document.get("partial_images")
    return _Order(
        model=as_model_name(document.get("model"), "model"),
        n=fields.choices({"n": document.get("n")}),
        prompt=as_text(document.get("prompt"), "prompt"),
        quality=as_text(document.get("quality"), "quality"),
        output_format=as_text(document.get("output_format"), "output_format"),
        partial_images=0 if partial_images is None else as_count(partial_images, "partial_images"),
        stream=stream,
    )


def _ask(request: Request, order: _Order, pictures: int) -> Ask:
    if _BY_TOKENS.search(order.model) is None:
        return Ask(
            route=request.route,
            model=order.model,
            stream=order.stream,
            most=Usage(images=order.n),
            has_output=False,
            said=prompt_said(order.prompt),
        )
    return Ask(
        route=request.route,
        model=order.model,
        stream=order.stream,
        most=Usage(
            # Whether each picture made reads the input anew is not documented.
            input=(utf8_size(order.prompt) + TEMPLATE_TOKENS) * order.n,
            input_image=pictures * INPUT_IMAGE_TOKENS * order.n,
        ),
        output_asked=_tokens_most(order),
        output_bucket="output_image",
        choices=order.n,
        unbounded=_unbounded(order),
        said=prompt_said(order.prompt),
    )


def _tokens_most(order: _Order) -> int:
    partial = order.partial_images * PARTIAL_IMAGE_TOKENS
    if _FIRST_MODELS.search(order.model):
        return PICTURE_TOKENS.get(order.quality, PICTURE_TOKENS_HIGH) + partial
    return PICTURE_TOKENS_NEWER + partial


def _unbounded(order: _Order) -> str:
    if order.output_format in ("gif", "svg"):
        return f"how many tokens a picture of the format {order.output_format} takes is not public"
    if _HIGH_AT_MOST.search(order.model) or order.quality in _KNOWN_QUALITIES:
        return ""
    return f"{order.model} chooses among qualities without public limits; set quality to high"


def _whole_number(text: str, name: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise ValueError(f"{name}: must be a whole number")
    return int(text)
