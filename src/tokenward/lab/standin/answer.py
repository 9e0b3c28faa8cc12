"""What goes over the wire: one document, or a stream in parts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from tokenward.lab.standin.dialect import Dialect
from tokenward.lab.standin.script import Prompt, Script
from tokenward.lab.standin.tariff import Model, Used

JSON: Final = b"application/json"
EVENTS: Final = b"text/event-stream; charset=utf-8"
encode: Final = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Document:
    """An answer in one piece. `chunks`: the parts it would have had as a stream, for its pace."""

    body: bytes
    media_type: bytes = JSON
    chunks: int = 1


@dataclass(slots=True)
class Stream:
    """An answer in parts. Each of `chunks` carries one part of the visible output."""

    opening: bytes
    chunks: list[bytes]
    closing: bytes
    error: Callable[[int], bytes]
    """After so many chunks: the event that says that it broke down on the way."""
    media_type: bytes = EVENTS


Answer = Document | Stream


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What an operation may know of the call beside its prompt."""

    number: int
    now_s: int
    model: Model
    query: dict[str, str]

    def id_of(self, prefix: str, width: int = 24) -> str:
        """An id in the provider's manner, unlike any other call's."""
        return f"{prefix}{self.number:0{width}x}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One thing a dialect can be asked: how its request is read and its answer written."""

    dialect: Dialect
    name: str
    kinds: tuple[str, ...]
    """The kinds of model that do it."""
    read: Callable[[dict[str, Any], str], Prompt]
    """Body and model in the path → prompt. Raises RejectedError."""
    write: Callable[[Script, Call], Answer]
    bill: Callable[[Script, Call], Used] | None = None
    """What is charged, where it is not the script's own count."""
    is_free: bool = False


def sse(value: object) -> bytes:
    """A server-sent event without a name."""
    return b"data: %b\n\n" % encode(value)


def sse_named(name: str, value: object) -> bytes:
    """A server-sent event with a name."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), encode(value))
