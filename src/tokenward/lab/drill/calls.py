"""One call of the drill: what is asked, and what came back."""

import json
from typing import Any, Final, NamedTuple

import msgspec

ANTHROPIC: Final = "anthropic"
OPENAI: Final = "openai"
CHAT: Final = "/v1/chat/completions"
MESSAGES: Final = "/v1/messages"
RESPONSES: Final = "/v1/responses"
EMBEDDINGS: Final = "/v1/embeddings"
DEAD: Final = "/v1/organizations"
"""A route that only checkers of stolen keys ask for."""
STOPS: Final = ("stepup:required", "key:frozen")
"""Refusals because of evidence, until somebody says that it was meant."""
SLOWS: Final = "rate:suspect"
"""A refusal because of evidence that is milder: a minute later the same call may pass."""

Body = dict[str, Any]


class Ask(NamedTuple):
    """A call to be made: with which program, from where. `body` None is a GET."""

    program: str
    address: str
    path: str
    body: Body | None

    @property
    def dialect(self) -> str:
        """Whose route it is."""
        return ANTHROPIC if self.path == MESSAGES else OPENAI


class Said(NamedTuple):
    """What came back. `code` is the guard's own word for a refusal, `text` the answer."""

    status: int
    code: str = ""
    text: str = ""

    @property
    def is_stopped(self) -> bool:
        """Refused because of evidence, now and a minute later."""
        return self.code in STOPS

    @property
    def is_slowed(self) -> bool:
        """Refused because suspects of this key call too fast."""
        return self.code == SLOWS

    @property
    def is_held_back(self) -> bool:
        """Refused because of evidence, in either way."""
        return self.is_stopped or self.is_slowed

    @property
    def name(self) -> str:
        """What went wrong, in one word: the code, or the status of what has none."""
        return self.code or f"status {self.status}"


def understood(status: int, body: bytes) -> Said:
    """What an answer of either dialect says; what is no JSON says nothing."""
    try:
        said: Any = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return Said(status)
    if not isinstance(said, dict):
        return Said(status)
    if status != 200:
        error = said.get("error")
        told = error if isinstance(error, dict) else {}
        return Said(status, code=str(told.get("code") or ""))
    return Said(status, text=text_in(said))


def text_in(said: Body) -> str:
    """The answer's words, in the dialect of whoever gave it."""
    if choices := said.get("choices"):
        return str(choices[0].get("message", {}).get("content") or "")
    blocks = said.get("content")
    if output := said.get("output"):
        blocks = [each for item in output for each in item.get("content") or ()]
    return "".join(str(each.get("text", "")) for each in blocks) if isinstance(blocks, list) else ""


def written(
    body: Body, *, is_spaced: bool, is_escaped: bool, is_sorted: bool, is_html_escaped: bool
) -> bytes:
    """The body as JSON, the way a program writes it (`heads.Style`)."""
    text = json.dumps(
        body,
        separators=None if is_spaced else (",", ":"),
        ensure_ascii=is_escaped,
        sort_keys=is_sorted,
    )
    if is_html_escaped:
        for sign in "<>&":
            text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text.encode()
