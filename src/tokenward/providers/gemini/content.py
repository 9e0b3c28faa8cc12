"""How many tokens can the content of a request become?

Text: a token is never less than a byte of the JSON that carries it. Pictures: 258 tokens a tile
of 768 x 768 after scaling into 3,072 x 3,072 (models up to 2.5), or at most 2,240 by media
resolution (from 3 on). Sound, film and PDF depend on a length that no byte count bounds (silence
compresses to nothing), and so do files, addresses and cached content: the context window bounds
those, at the price of sound, which is the dearest they can be.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tokenward.kernel.json_text import JsonObject, JsonValue
from tokenward.kernel.usage import Usage
from tokenward.providers.gemini.proto_json import field, object_field, object_fields
from tokenward.providers.request_body import as_text, objects_within

IMAGE_TOKENS: Final = 25 * 258
"""A tile's side is the picture's shorter side / 1.5, but at least 256 and at most 768. Within
3,072 x 3,072 no shape has more than 12 x 2 tiles (3,072 x 384); one more stands for the whole."""

_TEXT_TYPES: Final = ("text/", "application/json", "application/xml")


@dataclass(frozen=True, slots=True)
class Content:
    """The most tokens by bucket, and what makes the input unknowable ("" if nothing does)."""

    most: Usage
    open_ended: str


def measure(body: JsonObject, body_size: int) -> Content:
    """The most that the content of `body` can become, and what cannot be known of it."""
    pictures, inline_size, open_ended, may_sound = 0, 0, "", False
    for blob in _inline_everywhere(body):
        kind = _media_type(blob)
        if kind.startswith("image/"):
            pictures += 1
        elif not kind.startswith(_TEXT_TYPES):
            open_ended = f"media of the type {kind[:60]!r}"
            may_sound = may_sound or kind != "application/pdf"
    for blob in _inline_parts(body):
        if not _media_type(blob).startswith(_TEXT_TYPES):
            inline_size += len(as_text(blob.get("data"), "inlineData.data"))
    if any(_either(item, "fileData", "file_data") for item in objects_within(body)):
        open_ended, may_sound = "a file", True
    if field(body, "cachedContent") is not None:
        open_ended, may_sound = "cached content", True
    tokens = max(0, body_size - inline_size)
    most = Usage(
        input=0 if may_sound else tokens,
        input_audio=tokens if may_sound else 0,
        input_image=pictures * IMAGE_TOKENS,
    )
    return Content(most, open_ended)


def _inline_parts(body: JsonObject) -> Iterator[JsonObject]:
    """Inline data exactly where the format has it. It may only be taken out of the count here:
    elsewhere the same shape could be the plain arguments of a function."""
    contents = [*object_fields(body, "contents"), object_field(body, "content")]
    contents += [object_field(request, "content") for request in object_fields(body, "requests")]
    for content in contents:
        for part in object_fields(content, "parts"):
            blob = field(part, "inlineData")
            if isinstance(blob, dict):
                yield blob


def _inline_everywhere(body: JsonObject) -> Iterator[JsonObject]:
    for item in objects_within(body):
        blob = _either(item, "inlineData", "inline_data")
        if isinstance(blob, dict):
            yield blob


def _media_type(blob: JsonObject) -> str:
    kind = _either(blob, "mimeType", "mime_type")
    return kind.lower() if isinstance(kind, str) else ""


def _either(item: JsonObject, camel: str, snake: str) -> JsonValue:
    value = item.get(camel)
    return item.get(snake) if value is None else value
