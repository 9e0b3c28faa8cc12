"""How much can a model say at most? The price library does not know, so a small table does.

Only families whose limit is stated on the provider's own model page, as read in early 2026. A limit
that is too high makes the provider refuse the call; one that is too low cuts long answers short,
and only of callers who set no limit of their own. A family that is not listed has no known limit.
"""

from fnmatch import fnmatchcase
from typing import Final

_CEILINGS: Final[tuple[tuple[str, int], ...]] = (
    # OpenAI, "Models" and "Compare models". The window of the oldest is shared with the prompt, so
    # half of it: with the whole, every call would be refused.
    ("gpt-3.5-turbo-instruct*", 2_048),
    ("gpt-3.5-turbo*", 4_096),
    ("gpt-4", 4_096),
    ("gpt-4-0[36]*", 4_096),
    ("gpt-4-turbo*", 4_096),
    ("gpt-4-1106*", 4_096),
    ("gpt-4-0125*", 4_096),
    ("gpt-4-vision*", 4_096),
    ("gpt-4o-2024-05-13", 4_096),
    ("gpt-4o*realtime*", 4_096),
    ("gpt-4o*transcribe*", 2_000),
    ("gpt-4o*", 16_384),
    ("chatgpt-4o*", 16_384),
    ("gpt-audio*", 16_384),
    ("gpt-4.1*", 32_768),
    ("gpt-4.5*", 16_384),
    ("o1-preview*", 32_768),
    ("o1-mini*", 65_536),
    ("o[134]", 100_000),
    ("o[134]-*", 100_000),
    ("gpt-[56]*-chat*", 16_384),
    ("gpt-[56]*-image*", 16_384),
    ("gpt-[56]*", 128_000),
    # Anthropic, "Models overview".
    ("claude-3-haiku*", 4_096),
    ("claude-3-opus*", 4_096),
    ("claude-3-sonnet*", 4_096),
    ("claude-3-5-*", 8_192),
    ("claude-3-7-*", 64_000),
    ("claude-opus-4-1*", 32_000),
    ("claude-opus-4-0*", 32_000),
    ("claude-opus-4-2025*", 32_000),
    ("claude-opus-4-5*", 64_000),
    ("claude-opus-4-6*", 128_000),
    ("claude-sonnet-4*", 64_000),
    ("claude-haiku-4-5*", 64_000),
    # Google, "Gemini models".
    ("gemini-2.5-*-tts*", 16_384),
    ("gemini-2.5-flash-image*", 32_768),
    ("gemini-2.5-*", 65_535),
    ("gemini-2.0-*", 8_192),
    ("gemini-1.5-*", 8_192),
    # DeepSeek, "Models & Pricing".
    ("deepseek-chat*", 8_192),
)


def max_output_tokens(model: str, context_tokens: int | None) -> int | None:
    """The most output tokens a choice, never more than half the context window, which the prompt
    shares; None if not known."""
    name = model.lower()
    known = next((tokens for glob, tokens in _CEILINGS if fnmatchcase(name, glob)), None)
    if known is None or context_tokens is None:
        return known
    return min(known, max(1, context_tokens // 2))
