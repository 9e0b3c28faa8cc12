"""How many tokens is this text exactly? Where a tokenizer is installed and asked for."""

import warnings
from collections.abc import Callable
from typing import Final

from tokenward.kernel.errors import SettingsError

Counter = Callable[[str, tuple[str, ...]], int | None]

_O200K: Final = ("gpt-4o", "gpt-4.1", "gpt-4.5", "gpt-5", "gpt-6", "chatgpt-", "o1", "o3", "o4")
_CL100K: Final = ("gpt-4", "gpt-3.5-turbo", "text-embedding-3-", "text-embedding-ada-002")
TEXT_CHARS_MAX: Final = 400_000
"""Longer requests are not counted: at 20 ns a character that is 8 ms of everybody's time."""


def no_counter(model: str, texts: tuple[str, ...]) -> int | None:
    """The counter of a guard that was not told to count."""
    return None


def exact_counter() -> Counter:
    """A counter for OpenAI's models; it says None where the tokenizer of the model is not known
    or the text is too long. Takes half a second and 150 MB to make.

    Raises SettingsError if the library `bpe-openai` is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # how the library reads its data
            import bpe_openai  # type: ignore[import-untyped]  # it ships no types
    except ImportError:
        raise SettingsError(
            "ledger.exact_counts needs a tokenizer: pip install 'tokenward[tokenizer]'"
        ) from None
    encodings = {
        "o200k": bpe_openai.get_encoding("o200k_base"),
        "cl100k": bpe_openai.get_encoding("cl100k_base"),
    }

    def count(model: str, texts: tuple[str, ...]) -> int | None:
        name = encoding_name(model)
        if name is None or sum(map(len, texts)) > TEXT_CHARS_MAX:
            return None
        return sum(len(encodings[name].encode_ordinary(text)) for text in texts)

    return count


def encoding_name(model: str) -> str | None:
    """`o200k` or `cl100k`; None for models whose tokenizer is not public."""
    if model.startswith(_O200K):
        return "o200k"
    return "cl100k" if model.startswith(_CL100K) else None
