"""Exact counts, where a tokenizer is known and installed."""

from hypothesis import given
from hypothesis import strategies as st

from tokenward.prices.counting import TEXT_CHARS_MAX, encoding_name, exact_counter

COUNT = exact_counter()


def test_known_models_are_counted_and_unknown_ones_are_not() -> None:
    assert COUNT("gpt-5-mini", ("hello world", "hello")) == 3
    assert COUNT("claude-haiku-4-5", ("hello world",)) is None
    assert encoding_name("gpt-4o-mini") == "o200k"
    assert encoding_name("gpt-4-turbo") == "cl100k"


def test_a_very_long_text_is_not_counted() -> None:
    assert COUNT("gpt-5-mini", ("a" * (TEXT_CHARS_MAX + 1),)) is None


@given(st.text(max_size=400))
def test_a_text_never_has_more_tokens_than_bytes(text: str) -> None:
    """What the cheap bound of every request rests on."""
    for model in ("gpt-5-mini", "gpt-4"):
        counted = COUNT(model, (text,))
        assert counted is not None
        assert counted <= len(text.encode("utf-8"))
