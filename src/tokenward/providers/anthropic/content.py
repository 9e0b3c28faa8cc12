"""How many tokens can the content of a request become?

Text: a token is never less than a byte of the JSON that carries it. Pictures: the provider
scales them down to a ceiling, whatever their size. Everything else (PDF pages, files and
addresses that the provider fetches) is open ended: only the model's context window bounds it.
"""

from collections.abc import Iterator
from typing import Final

from tokenward.kernel.json_text import JsonObject, JsonValue
from tokenward.providers.request_body import objects_within

IMAGE_TOKENS: Final = 5_000
"""Documented ceilings a picture: about 1,600, and 4,784 for models of high resolution."""

_KNOWN_BLOCKS: Final = frozenset(
    (
        "text", "image", "document", "search_result", "thinking", "redacted_thinking",
        "tool_use", "tool_result", "tool_reference", "server_tool_use", "mcp_tool_use",
        "mcp_tool_result", "web_search_tool_result", "web_fetch_tool_result",
        "code_execution_tool_result", "bash_code_execution_tool_result",
        "text_editor_code_execution_tool_result", "tool_search_tool_result",
        "advisor_tool_result", "fallback", "compaction", "browser_state",
    )
)  # fmt: skip
_OPEN_SOURCES: Final = {
    "base64": "a PDF's pages",
    "url": "a document fetched from an address",
    "file": "an uploaded file",
}


def most_tokens(body: JsonObject, body_size: int) -> int:
    """The most tokens that what the body itself holds can become."""
    pictures = sum(item.get("type") == "image" for item in objects_within(body))
    inline = sum(len(data) for block in _blocks(body) if (data := _inline_data(block)))
    return max(0, body_size - inline) + pictures * IMAGE_TOKENS


def what_is_open(body: JsonObject) -> str:
    """What makes the input unknowable from the body, in plain words; "" if nothing does."""
    for block in _blocks(body):
        kind = block.get("type")
        if not isinstance(kind, str) or kind not in _KNOWN_BLOCKS:
            return f"content of the type {str(kind)[:60]!r}"
    for item in objects_within(body):
        source = item.get("source")
        if item.get("type") == "document" and isinstance(source, dict):
            kind = source.get("type")
            if kind not in ("text", "content"):
                return _OPEN_SOURCES.get(str(kind), "a document of an unknown kind")
    return ""


def cache_ttl(body: JsonObject) -> str:
    """The longest time the request asks its input to be cached: "", "5m" or "1h"."""
    longest = ""
    for item in objects_within(body):
        control = item.get("cache_control")
        if isinstance(control, dict):
            if control.get("ttl", "5m") != "5m":
                return "1h"
            longest = "5m"
    return longest


def _blocks(body: JsonObject) -> Iterator[JsonObject]:
    """Content blocks exactly where the format has them, inside tool results too. A picture may
    only be taken out of the count here: elsewhere the same shape could be a tool's plain text."""
    for message in _objects(body.get("messages")):
        for block in _objects(message.get("content")):
            yield block
            if block.get("type") == "tool_result":
                yield from _objects(block.get("content"))


def _objects(value: JsonValue) -> Iterator[JsonObject]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))


def _inline_data(block: JsonObject) -> str:
    source = block.get("source")
    if block.get("type") not in ("image", "document") or not isinstance(source, dict):
        return ""
    data = source.get("data")
    return data if source.get("type") == "base64" and isinstance(data, str) else ""
