"""The library's figures in our units."""

from decimal import Decimal

import pytest
from genai_prices.data import providers
from genai_prices.types import ModelPrice, Tier, TieredPrices

from tokenward.prices.ceilings import max_output_tokens
from tokenward.prices.listing import dated_prices, usd_of
from tokenward.prices.rates import UNITS, make_card, pico_a_unit

MAIN = {"openai", "anthropic", "google", "groq", "mistral", "deepseek", "x-ai"}


def test_every_token_price_of_the_main_providers_is_whole_pico_dollars() -> None:
    for provider in providers:
        for model in provider.models if provider.id in MAIN else ():
            for _, prices in dated_prices(model):
                for key in prices.keys() & UNITS.keys():
                    if UNITS[key] == 1_000_000:
                        for usd in usd_of(prices, key):
                            assert usd * 1_000_000 == pico_a_unit(usd, key)


def test_a_finer_price_is_rounded_up() -> None:
    assert pico_a_unit(Decimal("0.0833333333333333"), "cache_write_mtok") == 83_334
    assert pico_a_unit(Decimal("0.111"), "audio_hours") == 30_834


def test_every_price_key_of_the_main_providers_chat_models_is_read() -> None:
    unread = {
        key
        for provider in providers
        if provider.id in MAIN
        for model in provider.models
        if isinstance(model.prices, ModelPrice) and "output_mtok" in vars(model.prices)
        for key in vars(model.prices).keys() - UNITS.keys()
    }
    assert unread == set()


def test_a_row_applies_from_the_first_token_beyond_its_start() -> None:
    tiers = [Tier(start=10, price=Decimal(3)), Tier(start=100, price=Decimal(2))]
    price = TieredPrices(base=Decimal(1), tiers=tiers)
    card = make_card({"input_mtok": price}, is_claude=False)
    rates = [card.row(tokens)[0] for tokens in (0, 10, 11, 100, 101)]
    assert rates == [1_000_000, 1_000_000, 3_000_000, 3_000_000, 2_000_000]
    most = [card.cover_row(tokens)[0] for tokens in (0, 10, 11, 100, 101)]
    assert most == [1_000_000, 1_000_000, 3_000_000, 3_000_000, 3_000_000]


@pytest.mark.parametrize(
    ("model", "context", "ceiling"),
    [
        ("gpt-4o-mini", 128_000, 16_384),
        ("gpt-4o-2024-05-13", 128_000, 4_096),
        ("gpt-4.1-nano", 1_000_000, 32_768),
        ("o3", 200_000, 100_000),
        ("o4-mini", 200_000, 100_000),
        ("gpt-5-mini", 400_000, 128_000),
        ("gpt-6-sol", 1_050_000, 128_000),
        ("gpt-5-chat-latest", 400_000, 16_384),
        ("gpt-4", 8_192, 4_096),
        ("gpt-3.5-turbo", 16_385, 4_096),
        ("claude-3-haiku-20240307", 200_000, 4_096),
        ("claude-3-5-sonnet-20241022", 200_000, 8_192),
        ("claude-opus-4-1-20250805", 200_000, 32_000),
        ("claude-sonnet-4-5", 200_000, 64_000),
        ("claude-haiku-4-5", 200_000, 64_000),
        ("claude-opus-4-5", 200_000, 64_000),
        ("gemini-2.5-flash", 1_048_576, 65_535),
        ("gemini-2.0-flash-001", 1_000_000, 8_192),
        ("gemini-1.5-pro", None, 8_192),
        ("nobody-knows", 1_000, None),
    ],
)
def test_the_longest_answer_of_well_known_families_is_known(
    model: str, context: int | None, ceiling: int | None
) -> None:
    assert max_output_tokens(model, context) == ceiling
