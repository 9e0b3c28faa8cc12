"""How should this call go? Asked by the header `x-standin` or by a directive in the last user text.

    x-standin: chunks=50; gap_ms=20; fail=reset@3
    "Tell me a story [[standin output_tokens=400 reasoning=100]]"

The header passes through a guard; the directive serves clients that cannot set headers. Where
both name a key, the header counts.
"""

import re
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

_DIRECTIVE: Final = re.compile(r"\[\[standin\s+([^\]]*)\]\]")
_HUGE_MAX: Final = 256 * 2**20
_COUNT_MAX: Final = 10**9
_WAIT_MS_MAX: Final = 600_000


class Fault(StrEnum):
    """How an answer breaks, after so many chunks of content."""

    RESET = "reset"
    """The TCP connection is reset. After 0 chunks: before the head of the answer."""
    CLOSE = "close"
    """The body ends properly, but too early: no last event, half a document."""
    HANG = "hang"
    """Nothing more is sent and the connection stays open, until the client leaves."""
    ERROR = "error"
    """The dialect's error event inside the stream; for a document, status 500 instead."""
    GARBAGE = "garbage"
    """What should be JSON is not, from that chunk on."""


class UsageReport(StrEnum):
    """What the answer tells of what was used. The bill always tells the truth."""

    HONEST = ""
    NONE = "none"
    """No usage anywhere."""
    HIDDEN = "hidden"
    """Reasoning is billed, but reported nowhere."""
    EVERY = "every"
    """A running total in every chunk, as some compatible servers send."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """One call's script directions. Counts are tokens unless the name says otherwise."""

    chunks: int = 0
    """Chunks of content in a stream; 0 = as it likes (up to 8)."""
    gap_ms: float = 0
    """Between chunks; a document takes as long as its stream would."""
    first_ms: float = 0
    """Before the head and the first chunk."""
    output_tokens: int = -1
    """Visible output of each choice; the request's own limit stays above it. -1 = as it likes."""
    input_tokens: int = -1
    """All input, cached or not. -1 = counted from the request."""
    reasoning: int = -1
    """Thinking beside the visible output, of each choice. -1 = 32 where it is asked for."""
    cached: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    searches: int = 0
    """Paid web searches (Anthropic)."""
    status: int = 0
    """Answer with this error before the first byte; nothing is billed."""
    retry_after: str = ""
    """The header of an error; without it 1 where waiting helps."""
    fail: Fault | None = None
    fail_after: int = 1
    """`fail=reset@3` gives 3: chunks of content sent whole before the fault."""
    usage: UsageReport = UsageReport.HONEST
    tier: str = ""
    """The service tier it serves and bills at, whatever was asked."""
    tool: str = ""
    """`force` calls the first tool, `none` calls no tool."""
    redirect: str = ""
    """Answers 302 to there."""
    huge: int = 0
    """The text has at least so many bytes; the tokens stay as they are."""
    echo: bool = False
    """Says what the user said."""
    deaf: bool = False
    """Does not notice a hang-up: a cut call is billed as if it had been finished."""
    tag: str = ""
    """Copied to the line of the bill, so that a test finds it."""


_KINDS: Final[dict[str, Any]] = {
    field.name: field.type for field in fields(Behaviour) if field.name != "fail_after"
}
DEFAULT: Final = Behaviour()


def directive_in(said: str) -> str:
    """What stands inside the first `[[standin …]]` of a text, or ""."""
    if "[[standin" not in said:
        return ""
    found = _DIRECTIVE.search(said)
    return found.group(1) if found else ""


def without_directive(said: str) -> str:
    """The text as a person meant it."""
    return _DIRECTIVE.sub("", said).strip() if "[[standin" in said else said


def behaviour_of(header: str, directive: str) -> Behaviour:
    """The behaviour both ask for. Raises ValueError that names what it does not understand."""
    return _parsed(header, directive) if header or directive else DEFAULT


@lru_cache(maxsize=1024)
def _parsed(header: str, directive: str) -> Behaviour:
    values: dict[str, Any] = {}
    for item in [*directive.split(), *header.split(";")]:
        name, is_pair, text = item.strip().partition("=")
        if not name and not is_pair:
            continue
        if name not in _KINDS:
            raise ValueError(f"x-standin: {name!r} is not a key; known: {', '.join(_KINDS)}")
        try:
            values |= _value(name, text.strip())
        except ValueError:
            raise ValueError(f"x-standin: {text!r} is not a value for {name}") from None
    return Behaviour(**values)


def _value(name: str, text: str) -> dict[str, Any]:
    if name == "fail":
        fault, _, after = text.partition("@")
        return {"fail": Fault(fault), "fail_after": _count(after or "1")}
    if name == "usage":
        return {"usage": UsageReport(text)}
    kind = _KINDS[name]
    if kind is bool:
        return {name: text in ("1", "true")}
    if kind is int:
        return {name: _count(text, most=_HUGE_MAX if name == "huge" else _COUNT_MAX)}
    if kind is float:
        return {name: _wait_ms(text)}
    return {name: text}


def _wait_ms(text: str) -> float:
    wait_ms = float(text)
    if not 0 <= wait_ms <= _WAIT_MS_MAX:
        raise ValueError(text)
    return wait_ms


def _count(text: str, most: int = _COUNT_MAX) -> int:
    number = int(text)
    if not 0 <= number <= most:
        raise ValueError(text)
    return number
