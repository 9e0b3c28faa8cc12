"""Answers that are one JSON document: what do they say was used?

Every reader takes the whole body and never raises: what cannot be read is a `Reading` without
usage and with the reason.
"""

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import replace

from tokenward.kernel.usage import Usage
from tokenward.providers.ask import Ask
from tokenward.providers.interfaces import Reading
from tokenward.providers.openai.usage import (
    billed_tier,
    duration_usage,
    token_usage,
    transcript_usage,
)

DOCUMENT_LIMIT: Final = 64 * 1024 * 1024
"""The longest document that is read, in bytes; ten pictures in base64 fit."""


class _Document(Struct):
    """The members that matter, of any shape; pictures are counted and not decoded."""

    model: object = None
    usage: object = None
    service_tier: object = None
    status: object = None
    error: object = None
    output: object = None
    tool_usage: object = None
    duration: object = None
    data: list[Raw] | None = None


_decoder: Final = msgspec.json.Decoder(_Document)


def read_document(body: bytes, ask: Ask, usage_of: Callable[[_Document, Ask], Usage]) -> Reading:
    """The reading of a whole document, its usage found by `usage_of`."""
    try:
        document = _decoder.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return Reading(usage=None, problem="the answer is not the JSON document it should be")
    return _reading(document, ask, usage_of)


def read_response(response: object, ask: Ask) -> Reading:
    """The reading of a response that came inside an event, decoded already."""
    try:
        document = msgspec.convert(response, _Document)
    except (msgspec.ValidationError, ValueError):
        return Reading(usage=None, problem="the response is not the object it should be")
    return _reading(document, ask, response_usage)


def _reading(document: _Document, ask: Ask, usage_of: Callable[[_Document, Ask], Usage]) -> Reading:
    model = document.model if isinstance(document.model, str) else ""
    is_error = bool(document.error) or document.status == "failed"
    try:
        usage: Usage | None = usage_of(document, ask)
        problem = ""
    except ValueError as error:
        usage, problem = None, str(error)
    return Reading(usage=usage, model=model[:256], problem=problem, is_error=is_error)


def completion_usage(document: _Document, ask: Ask) -> Usage:
    """Chat, text completions and embeddings. A model that searches bills a search a choice."""
    return counted(document.usage, document.service_tier, ask)


def counted(report: object, tier: object, ask: Ask) -> Usage:
    """The usage of a completion, from its report and the tier it was served at."""
    usage = token_usage(report, has_output=ask.has_output)
    tier, searches = billed_tier(tier), ask.most.searches
    return replace(usage, service_tier=tier, searches=searches) if tier or searches else usage


def response_usage(document: _Document, ask: Ask) -> Usage:
    """A response, with the paid tool calls among its output. One that is still being made (in the
    background) has used nothing yet that counts."""
    if document.status in ("queued", "in_progress"):
        raise ValueError("the response is still being made, its usage comes later")
    usage = token_usage(document.usage)
    searches, file_searches = count_searches(document.output)
    doubts = usage.doubts
    tools = document.tool_usage if isinstance(document.tool_usage, dict) else {}
    billed = _member(tools.get("web_search"), "num_requests")
    pictures = _member(tools.get("image_gen"), "total_tokens")
    if pictures:
        doubts = (*doubts, f"{pictures} tokens of the picture tool are billed at another price")
    return replace(
        usage,
        service_tier=billed_tier(document.service_tier),
        searches=searches if billed is None else billed,
        file_searches=file_searches,
        doubts=doubts,
    )


def compaction_usage(document: _Document, ask: Ask) -> Usage:
    """A compaction; what stands among its output was paid for by the calls that made it."""
    usage = token_usage(document.usage)
    return replace(usage, service_tier=billed_tier(document.service_tier))


def image_usage(document: _Document, ask: Ask) -> Usage:
    """Pictures, billed by tokens where the answer says so, else by their number."""
    if document.usage is not None:
        return token_usage(document.usage, made="output_image")
    if document.data is None or ask.has_output:
        raise ValueError("the answer says neither what was used nor what was made")
    return Usage(images=len(document.data))


def transcription_usage(document: _Document, ask: Ask) -> Usage:
    """A transcript; one without a report may still say how long the recording was."""
    if document.usage is None and document.duration is not None and not ask.has_output:
        return duration_usage(_seconds(document.duration))
    return transcript_usage(document.usage)


def count_searches(output: object) -> tuple[int, int]:
    """Paid web searches and file searches among the items of a response. Opening a page that was
    found, or searching in it, is free."""
    web, files = 0, 0
    for item in output if isinstance(output, list) else []:
        kind = item.get("type") if isinstance(item, dict) else None
        if kind == "web_search_call":
            action = item.get("action")
            is_free = isinstance(action, dict) and action.get("type") in (
                "open_page",
                "find_in_page",
            )
            web += not is_free
        files += kind == "file_search_call"
    return web, files


def _member(value: object, name: str) -> int | None:
    count = value.get(name) if isinstance(value, dict) else None
    is_count = isinstance(count, int) and not isinstance(count, bool) and 0 <= count < 2**40
    return count if is_count else None


def _seconds(value: object) -> object:
    """Older servers write the duration as text."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value
