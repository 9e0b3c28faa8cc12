"""Where does an answer of the OpenAI dialect keep its text? The first choice's, in documents and
in events. Functions return "" for what they cannot read, and never raise."""

from collections.abc import Callable
from typing import Final

from msgspec import DecodeError, Raw, Struct
from msgspec.json import Decoder


class _Part(Struct, gc=False):
    type: str = ""
    text: str | None = None


class _Item(Struct, gc=False):
    type: str = ""
    content: Raw = Raw()


class _Response(Struct, gc=False):
    output: list[_Item] = []


class _ResponseEvent(Struct, gc=False):
    type: str = ""
    delta: str | None = None


class _Words(Struct, gc=False):
    content: str | None = None


class _Choice(Struct, gc=False):
    index: int = 0
    delta: _Words | None = None
    message: _Words | None = None
    text: str | None = None


class _Completion(Struct, gc=False):
    choices: list[_Choice] = []


_completion: Final = Decoder(_Completion).decode
_response: Final = Decoder(_Response).decode
_parts: Final = Decoder(list[_Part]).decode
_response_event: Final = Decoder(_ResponseEvent).decode
_DELTA: Final = b"response.output_text.delta"


def completion_text(data: bytes) -> str:
    """Of a chat or text completion, a whole one or a chunk of a stream."""
    try:
        choices = _completion(data).choices
    except (DecodeError, ValueError, RecursionError):
        return ""
    for choice in choices:
        if choice.index == 0:
            words = choice.delta or choice.message
            return (words.content if words is not None else choice.text) or ""
    return ""


def response_text(body: bytes) -> str:
    """Of a response: the texts of all its messages."""
    try:
        messages = [item.content for item in _response(body).output if item.type == "message"]
        parts = [part for content in messages for part in _parts(content)]
    except (DecodeError, ValueError, RecursionError):
        return ""
    return "\n".join(part.text for part in parts if part.text)


def response_event_text(data: bytes) -> str:
    """Of an event of a streamed response."""
    if _DELTA not in data:
        return ""
    try:
        event = _response_event(data)
    except (DecodeError, ValueError, RecursionError):
        return ""
    return (event.delta or "") if event.type == "response.output_text.delta" else ""


IN_DOCUMENTS: Final[dict[str, Callable[[bytes], str]]] = {
    "chat": completion_text,
    "completions": completion_text,
    "responses": response_text,
}
"""By operation."""
IN_EVENTS: Final[dict[str, Callable[[bytes], str]]] = {
    "chat": completion_text,
    "completions": completion_text,
    "responses": response_event_text,
}
