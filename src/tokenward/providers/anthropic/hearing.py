"""Where does an answer of the Messages API keep its text? Functions return "" for what they cannot
read, and never raise."""

from typing import Final

from msgspec import DecodeError, Struct
from msgspec.json import Decoder


class _Block(Struct, gc=False):
    type: str = ""
    text: str | None = None


class _Message(Struct, gc=False):
    content: list[_Block] = []


class _Delta(Struct, gc=False):
    delta: _Block | None = None


_message: Final = Decoder(_Message).decode
_delta: Final = Decoder(_Delta).decode


def message_text(body: bytes) -> str:
    """Of a whole message: its text blocks."""
    try:
        blocks = _message(body).content
    except (DecodeError, ValueError, RecursionError):
        return ""
    return "\n".join(block.text for block in blocks if block.type == "text" and block.text)


def delta_text(data: bytes) -> str:
    """Of a `content_block_delta`; thoughts and the input of tools are no text."""
    try:
        delta = _delta(data).delta
    except (DecodeError, ValueError, RecursionError):
        return ""
    if delta is None or delta.type != "text_delta":
        return ""
    return delta.text or ""
