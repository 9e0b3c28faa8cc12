"""What does a call say, as far as a guard may remember it? Keyed hashes, never the words.

The hashes are made by a function that the guard keys, so that nobody who reads the record can try
texts against it. What is hashed is cut to a bounded length first: a longer text costs no more.
"""

import re
from collections.abc import Callable
from typing import Final

from tokenward.kernel.conversation import Conversation, Turn
from tokenward.kernel.signals import Content
from tokenward.signals.harness import find_harness
from tokenward.signals.probes import find_probe
from tokenward.signals.scripts import script_of

HashText = Callable[[bytes], str]
"""A keyed hash of 16 hex digits (HMAC-SHA-256 or keyed BLAKE2b, cut)."""

SYSTEM_CHARS: Final = 8 * 1024
"""Of the system prompt. What agents append behind it (the folder, the date) differs by the day."""
PREFIX_CHARS: Final = 256
END_CHARS: Final = 16 * 1024
"""Of the first user turn, from each end; its length counts as well."""
ANSWER_CHARS: Final = 1024
"""Of an answer's beginning. Whoever hears an answer pass must hear at least as much."""
ANSWER_BYTES: Final = 512
"""Of an answer without its white space: that much is known by nobody but who got it."""
ANSWER_BYTES_MIN: Final = 24
"""Shorter answers ("Yes.", "Done!") are given by every guard to everybody."""
ANSWERS_MAX: Final = 8
"""Assistant turns of the history that are hashed, the newest ones."""
_ROOT_TURNS: Final = 2
"""Agents send one turn about their surroundings before the user's own."""
_SCRIPT_TURNS: Final = 4
_YEARS_MAX: Final = 8
_NEAR_YEAR: Final = 40

_DIGITS: Final = b"0123456789"
_SPACE: Final = b" \t\n\r\v\f"
_YEAR: Final = re.compile(rb"20\d\d")
_DATE_NAMES: Final = re.compile(
    rb"(?:Mon|Tues?|Wed(?:nes)?|Thu(?:rs)?|Fri|Sat(?:ur)?|Sun)(?:day)?\b"
    rb"|(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?"
    rb"|Sep(?:t|tember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\b"
)
_PASSING: Final = "x-anthropic-billing-header:"
"""A system text that is none: Claude Code writes a checksum of each call into it."""


def read_content(
    said: Conversation | None,
    hash_text: HashText,
    *,
    operation: str = "",
    path: str = "",
    output_limit: int | None = None,
    size: int = 0,
) -> Content:
    """What is said in a call of this route; `output_limit` as the caller wrote it, 0 too, `size`
    of the body that says it.

    None (a route without text) shows no more than whether the route itself is a probe. Never
    raises; the cost is bounded by the limits of this file and those of `Conversation`.
    """
    probe, is_sure = find_probe(said, operation=operation, path=path, output_limit=output_limit)
    if said is None:
        return Content(probe=probe, is_sure=is_sure)
    system = _system_text(said.system)
    hashed = hash_text(b"system\0" + _stable(system)) if system else ""
    first = _first_words(said.turns)
    return Content(
        system=hashed,
        tools=_hash_tools(said.tools, hash_text),
        root=hash_text(b"root\0%b\0%b" % (hashed.encode(), first)) if first else "",
        prefix=hash_text(b"prefix\0" + _stable(system[:PREFIX_CHARS])) if system else "",
        script=script_of(_user_texts(said.turns)),
        probe=probe,
        is_sure=is_sure,
        harness=find_harness(said),
        answers=_answers(said.turns, hash_text),
        size=size,
    )


def hash_answer(text: str, hash_text: HashText) -> str:
    """The hash of an answer: the same when it is given and when it comes back in a later call's
    history; "" for one too short to tell anything.

    White space does not count, and neither does what follows the first 512 bytes: programs trim
    answers, join their parts in their own ways, and cut them off.
    """
    said = _bytes(text[:ANSWER_CHARS]).translate(None, _SPACE)[:ANSWER_BYTES]
    return hash_text(b"answer\0" + said) if len(said) >= ANSWER_BYTES_MIN else ""


def _answers(turns: tuple[Turn, ...], hash_text: HashText) -> tuple[str, ...]:
    hashes: list[str] = []
    for turn in reversed(turns):
        if turn.role == "assistant":
            answer = hash_answer(turn.text, hash_text)
            if answer:
                hashes.append(answer)
                if len(hashes) == ANSWERS_MAX:
                    break
    return tuple(hashes)


def _hash_tools(tools: tuple[str, ...], hash_text: HashText) -> str:
    """Of the names in alphabetical order: some programs declare them in any."""
    return hash_text(b"tools\0" + _bytes("\n".join(sorted(tools)))) if tools else ""


def _system_text(system: tuple[str, ...]) -> str:
    parts: list[str] = []
    left = SYSTEM_CHARS
    for text in system:
        if left > 0 and not text.startswith(_PASSING):
            parts.append(text[:left])
            left -= len(parts[-1])
    return "\n".join(parts)


def _stable(text: str) -> bytes:
    """`text` without its digits, and without the names of days and months near a year: a prompt
    that says what day it is would be a new one every day."""
    written = _bytes(text)
    if b"20" in written:
        written = _without_dates(written)
    return written.translate(None, _DIGITS)


def _without_dates(written: bytes) -> bytes:
    pieces: list[bytes] = []
    done = 0
    for count, year in enumerate(_YEAR.finditer(written)):
        if count == _YEARS_MAX:
            break
        start, end = max(done, year.start() - _NEAR_YEAR), year.end() + _NEAR_YEAR
        pieces += (written[done:start], _DATE_NAMES.sub(b"", written[start:end]))
        done = max(start, min(end, len(written)))
    return b"".join([*pieces, written[done:]])


def _first_words(turns: tuple[Turn, ...]) -> bytes:
    """What the user said before the first answer. It stands at the head of every later call of the
    same conversation."""
    words: list[bytes] = []
    for turn in turns:
        if turn.role == "user" and len(words) < _ROOT_TURNS:
            words.append(_ends(turn.text))
        elif words:  # some conversations begin with a word of the assistant
            break
    return b"\0".join(words)


def _ends(text: str) -> bytes:
    if len(text) <= 2 * END_CHARS:
        return _bytes(text)
    return _bytes(f"{text[:END_CHARS]}\0{len(text)}\0{text[-END_CHARS:]}")


def _user_texts(turns: tuple[Turn, ...]) -> list[str]:
    """The newest texts of the user first: they are short and their own, where the first may be
    a page of instructions."""
    texts: list[str] = []
    for turn in reversed(turns):
        if turn.role == "user":
            texts.append(turn.text)
            if len(texts) == _SCRIPT_TURNS:
                break
    return texts


def _bytes(text: str) -> bytes:
    """In UTF-8; half a surrogate pair, which JSON can write, as it stands."""
    return text.encode("utf-8", "surrogatepass")
