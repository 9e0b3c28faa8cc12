"""Which names have a price, and which have none."""

from decimal import Decimal

import pytest

from tokenward.kernel.usage import Usage
from tokenward.prices.book import PriceBook
from tokenward.prices.overrides import PriceOverride

AT = 1_795_000_000_000  # 2026-11-18
BOOK = PriceBook({})


def input_nusd(book: PriceBook, provider: str, model: str) -> int | None:
    price = book.find(provider, model, AT)
    return None if price is None else price.cost(Usage(input=1)).nusd


@pytest.mark.req("B-6")
@pytest.mark.parametrize(
    ("provider", "model", "nusd"),
    [
        ("openai", "gpt-4o", 2_500),
        ("openai", "GPT-4o", 2_500),
        ("openai", "gpt-4o-2024-11-20", 2_500),
        ("openai", "gpt-5-nano-2025-08-07", 50),
        ("openai", "ft:gpt-4o-2024-08-06:acme:bot:abc123", 3_750),
        ("openai", "ft:gpt-4o-mini-2024-07-18:acme::abc123", 300),
        ("openai", "ft:gpt-3.5-turbo-0125:acme::abc123", 3_000),
        ("azure", "gpt-4o", 2_500),
        ("anthropic", "claude-opus-4-1-20250805", 15_000),
        ("anthropic", "claude-sonnet-4-20250514", 3_000),
        ("anthropic", "claude-3-5-haiku-latest", 800),
        ("google", "gemini-1.5-flash-002", 75),
        ("google", "gemini-2.0-flash-001", 100),
        ("google", "gemini-2.5-pro-preview-06-05", 1_250),
        ("google", "claude-sonnet-4-5@20250929", 3_000),
        ("aws", "us.anthropic.claude-opus-4-5-20251101-v1:0", 5_500),
        ("mistral", "magistral-small-2506", 500),
        ("openrouter", "anthropic/claude-sonnet-4.5", 3_000),
    ],
)
def test_ids_aliases_and_dated_snapshots_have_a_price(provider: str, model: str, nusd: int) -> None:
    assert input_nusd(BOOK, provider, model) == nusd


@pytest.mark.req("B-6")
@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-9"),
        ("openai", "gpt-4o-2031-01-01"),
        ("openai", "gpt-4o-ultra"),
        ("openai", "gpt-5-nano-turbo"),
        ("openai", "gpt-4o-realtime-preview-pro"),
        ("openai", "ft:gpt-4.1-2025-04-14:acme::abc123"),
        ("openai", "ft:gpt-4-0613:acme::abc123"),
        ("openai", "ft:gpt-5:acme::abc123"),
        ("openai", "ft:"),
        ("openai", "gpt-6-moderation"),
        ("openai", "moderation"),
        ("openai", ""),
        ("anthropic", "claude-opus-4-15"),
        ("anthropic", "claude-opus-4-10-20270101"),
        ("anthropic", "claude-opus-4-5-fast"),
        ("anthropic", "claude-3-opus-2"),
        ("google", "x-gemini-1.5-flash-free"),
        ("google", "xgemini-1.5-flash"),
        ("google", "gemini-1.5-flash-8b"),
        ("google", "gemini-1.5-flashy"),
        ("google", "gemini-2.5-pro-ultra"),
        ("google", "gemini-3.6-flash-lite"),
        ("google", "tunedModels/gemini-1.5-flash"),
        ("google", "gemma-3"),
        ("mistral", "mistral-nemo:free"),
        ("mistral", "mistral-ocr-latest"),
        ("", "gpt-4o"),
        ("no-such-provider", "gpt-4o"),
        ("anthropic", "gpt-4o"),
    ],
)
def test_new_names_tuned_models_and_models_listed_without_a_price_have_none(
    provider: str, model: str
) -> None:
    assert BOOK.find(provider, model, AT) is None


@pytest.mark.req("B-6")
@pytest.mark.parametrize(
    "model",
    [
        "gpt-4o\0",
        "\0",
        "gpt-4o\n",
        "gpt-4o ",
        "gpt\u20114o",
        "ｇｐｔ-4o",
        "a" * 10**6,
        "gpt-4o\x7f",
    ],
)
def test_names_that_no_provider_has_are_no_model(model: str) -> None:
    assert BOOK.find("openai", model, AT) is None


def test_names_take_no_memory_that_grows() -> None:
    book = PriceBook({"local-*": PriceOverride(input_usd_per_mtok=Decimal(1))})
    for number in range(2_000):
        assert book.find("openai", f"no-such-model-{number}", AT) is None
    assert len(book._kept) == 0
    for number in range(2_000):
        assert book.find("openai", f"local-{number}", AT) is not None
    assert len(book._kept) <= 512
    assert input_nusd(book, "openai", "local-0") == 1_000


def test_the_window_and_the_ceiling_come_with_the_price() -> None:
    price = BOOK.find("openai", "gpt-4o", AT)
    assert price is not None
    assert (price.model, price.context_tokens, price.max_output_tokens) == (
        "gpt-4o",
        128_000,
        16_384,
    )


@pytest.mark.parametrize(
    ("name", "dialect", "base_url", "source"),
    [
        ("anything", "openai", "https://api.groq.com/openai", "groq"),
        ("openai", "openai", "https://api.openai.com/v1", "openai"),
        ("x", "gemini", "https://generativelanguage.googleapis.com", "google"),
        ("x", "openai", "https://mine.openai.azure.com/openai/v1", "azure"),
        ("groq", "openai", "http://127.0.0.1:8000", "groq"),
        ("local", "openai", "http://127.0.0.1:8000", "openai"),
        ("local", "anthropic", "http://127.0.0.1:8000", "anthropic"),
        ("local", "gemini", "http://127.0.0.1:8000", "google"),
        ("local", "smalltalk", "http://127.0.0.1:8000", ""),
    ],
)
def test_prices_are_the_addresss_then_the_names_then_the_dialects(
    name: str, dialect: str, base_url: str, source: str
) -> None:
    assert BOOK.source_for(name, dialect, base_url) == source
