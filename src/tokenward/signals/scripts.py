"""In which script does a caller write? A cheap sign that a key has changed hands."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

SAMPLE_CHARS: Final = 128
LETTERS_MIN: Final = 20
"""Fewer letters (a greeting, a number) say nothing of who writes."""
_JAPANESE_SHARE: Final = 10
"""One letter of kana in this many makes a text with Chinese characters Japanese."""

_BLOCK_BITS: Final = 7
_RANGES: Final = (
    ("latin", 0x0000, 0x02FF),
    ("greek", 0x0300, 0x03FF),
    ("cyrillic", 0x0400, 0x04FF),
    ("armenian", 0x0500, 0x057F),
    ("hebrew", 0x0580, 0x05FF),
    ("arabic", 0x0600, 0x077F),
    ("devanagari", 0x0900, 0x097F),
    ("bengali", 0x0980, 0x09FF),
    ("gurmukhi", 0x0A00, 0x0A7F),
    ("gujarati", 0x0A80, 0x0AFF),
    ("tamil", 0x0B80, 0x0BFF),
    ("telugu", 0x0C00, 0x0C7F),
    ("kannada", 0x0C80, 0x0CFF),
    ("malayalam", 0x0D00, 0x0D7F),
    ("sinhala", 0x0D80, 0x0DFF),
    ("thai", 0x0E00, 0x0E7F),
    ("lao", 0x0E80, 0x0EFF),
    ("myanmar", 0x1000, 0x107F),
    ("georgian", 0x1080, 0x10FF),
    ("hangul", 0x1100, 0x11FF),
    ("ethiopic", 0x1200, 0x137F),
    ("khmer", 0x1780, 0x17FF),
    ("latin", 0x1E00, 0x1EFF),
    ("kana", 0x3000, 0x30FF),
    ("han", 0x3400, 0x9FFF),
    ("hangul", 0xAC00, 0xD7FF),
    ("han", 0x20000, 0x323FF),
)
"""Unicode's blocks in steps of 128 code points; a script that shares a step goes with its
neighbour."""
_SCRIPT_OF: Final = {
    block: name
    for name, first, last in _RANGES
    for block in range(first >> _BLOCK_BITS, (last >> _BLOCK_BITS) + 1)
}
_NO_LETTERS: Final = bytes(set(range(256)) - set(range(65, 91)) - set(range(97, 123)))


def script_of(texts: Iterable[str]) -> str:
    """The script most letters of `texts` are in ("latin", "cyrillic", "han" …); "" where there are
    fewer than `LETTERS_MIN` letters, or mostly letters of a script not listed here. Looks at the
    first `SAMPLE_CHARS` characters only."""
    sample = ""
    for text in texts:
        sample += text[: SAMPLE_CHARS - len(sample)]
        if len(sample) >= SAMPLE_CHARS:
            break
    if sample.isascii():
        letters = len(sample.encode("ascii").translate(None, _NO_LETTERS))
        return "latin" if letters >= LETTERS_MIN else ""
    blocks = Counter([ord(char) >> _BLOCK_BITS for char in sample if char.isalpha()])
    if blocks.total() < LETTERS_MIN:
        return ""
    scripts: Counter[str] = Counter()
    for block, count in blocks.items():
        scripts[_SCRIPT_OF.get(block, "")] += count
    if scripts["kana"] * _JAPANESE_SHARE >= blocks.total():
        return "japanese"
    return scripts.most_common(1)[0][0]
