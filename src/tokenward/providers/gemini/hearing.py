"""Where does an answer of the Gemini API keep its text?"""

from typing import Final

from msgspec import DecodeError, Struct
from msgspec.json import Decoder


class _Part(Struct, gc=False):
    text: str | None = None
    thought: bool | None = None


class _Content(Struct, gc=False):
    parts: list[_Part] | None = None


class _Candidate(Struct, gc=False):
    index: int = 0
    content: _Content | None = None


class _Answer(Struct, gc=False):
    candidates: list[_Candidate] | None = None


_answer: Final = Decoder(_Answer).decode


def answer_text(data: bytes) -> str:
    """The first candidate's text in a document or a piece of a stream, without its thoughts; ""
    for what cannot be read, never an exception."""
    try:
        candidates = _answer(data).candidates
    except (DecodeError, ValueError, RecursionError):
        return ""
    for candidate in candidates or ():
        if candidate.index == 0 and candidate.content is not None:
            parts = candidate.content.parts or ()
            return "".join(part.text for part in parts if part.text and not part.thought)
    return ""
