"""What does it say? The same words for the same request, at no cost."""

from typing import Final
from zlib import crc32

# fmt: off
_WORDS: Final = (
    "amber", "birch", "cedar", "delta", "ember", "flint", "grove", "heath",
    "ivory", "jetty", "kelp", "lark", "maple", "north", "olive", "pearl",
    "quay", "river", "slate", "thorn", "umber", "vale", "wharf", "yarn",
    "zinc", "ash", "bay", "cove", "dune", "elm", "fern", "glen",
)
# fmt: on
_RIBBON_WORDS: Final = 4096
CHARS_PER_TOKEN: Final = 4


def _ribbon() -> tuple[str, tuple[int, ...]]:
    """A long text and where each of its words starts; one word is one token."""
    state, starts, words, at = 1, [0], [], 0
    for _ in range(_RIBBON_WORDS):
        state = (state * 1103515245 + 12345) % 2**31
        word = _WORDS[(state >> 16) % len(_WORDS)]
        words.append(word)
        at += len(word) + 1
        starts.append(at)
    return " ".join(words) + " ", tuple(starts)


_TEXT, _STARTS = _ribbon()


def seed_of(*parts: str) -> int:
    """A number that is the same for the same parts, on every machine."""
    return crc32("\0".join(parts).encode("utf-8", "surrogatepass"))


def prose(seed: int, tokens: int) -> str:
    """`tokens` words, without a space at the end; "" for none."""
    if tokens <= 0:
        return ""
    first = seed % _RIBBON_WORDS
    rounds, last = divmod(first + tokens, _RIBBON_WORDS)
    if rounds == 0:
        return _TEXT[_STARTS[first] : _STARTS[last]].rstrip()
    middle = _TEXT * (rounds - 1)
    return (_TEXT[_STARTS[first] :] + middle + _TEXT[: _STARTS[last]]).rstrip()


def padded(text: str, size: int) -> str:
    """`text`, gone on with until it is `size` characters long."""
    missing = size - len(text)
    if missing <= 0:
        return text
    return text + " " + (_TEXT * (missing // len(_TEXT) + 1))[: missing - 1]


def tokens_in(chars: int) -> int:
    """About how many tokens so many characters are, at least one unless there are none."""
    return -(-chars // CHARS_PER_TOKEN)


def pieces(text: str, count: int) -> list[str]:
    """`text` in at most `count` pieces of about one length, none of them empty."""
    count = max(1, min(count, len(text)))
    size = len(text)
    return [text[size * i // count : size * (i + 1) // count] for i in range(count)]
