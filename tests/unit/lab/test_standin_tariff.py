"""The stand-in's own price list and sums."""

from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal

import pytest
from genai_prices import Usage, calc_price

from tokenward.lab.standin.tariff import Tariff, Used, cost_nusd

DAY = datetime(2026, 11, 1, tzinfo=UTC)
TOKEN_MODELS = [
    ("openai", "gpt-5-mini"),
    ("openai", "gpt-5-nano"),
    ("openai", "gpt-4o-mini"),
    ("openai", "gpt-4o"),
    ("openai", "gpt-6-astra"),
    ("openai", "gpt-3.5-turbo-instruct"),
    ("anthropic", "claude-haiku-4-5"),
    ("anthropic", "claude-opus-5-5"),
    ("anthropic", "claude-sonnet-5"),
    ("gemini", "gemini-2.5-flash"),
    ("gemini", "gemini-2.5-pro"),
]


def cost(dialect: str, name: str, used: Used) -> int:
    model = Tariff().find(name, dialect)
    assert model is not None
    return cost_nusd(model, used)


def public_price_nusd(dialect: str, name: str, usage: Usage) -> int:
    price = calc_price(
        usage,
        name,
        provider_id={"gemini": "google"}.get(dialect, dialect),
        genai_request_timestamp=DAY,
    )
    return int((price.total_price * 10**9).to_integral_value(ROUND_CEILING))


@pytest.mark.parametrize(("dialect", "name"), TOKEN_MODELS)
@pytest.mark.parametrize("prompt", [1_003, 300_000])
def test_a_plain_call_costs_what_the_public_list_says(dialect: str, name: str, prompt: int) -> None:
    mine = cost(dialect, name, Used(input=prompt, output=77, reasoning=70))
    assert mine == public_price_nusd(dialect, name, Usage(input_tokens=prompt, output_tokens=77))


@pytest.mark.parametrize(("dialect", "name"), [m for m in TOKEN_MODELS if "turbo" not in m[1]])
def test_cached_input_costs_what_the_public_list_says(dialect: str, name: str) -> None:
    mine = cost(dialect, name, Used(input=500, cached=503, output=1))
    theirs = Usage(input_tokens=1_003, cache_read_tokens=503, output_tokens=1)
    assert mine == public_price_nusd(dialect, name, theirs)


@pytest.mark.parametrize(
    ("dialect", "name", "used", "usd"),
    [
        # golden sums, worked out by hand
        ("anthropic", "claude-haiku-4-5", Used(input=56_322, cached=72_960, output=87), "0.064053"),
        ("anthropic", "claude-haiku-4-5", Used(input=15, cache_write_1h=4_803), "0.009621"),
        ("anthropic", "claude-sonnet-5", Used(input=10, cache_write=1_000, output=0), "0.00252"),
        ("anthropic", "claude-sonnet-5", Used(input=10_682, searches=1), "0.031364"),
        ("anthropic", "claude-opus-5-5", Used(input=1_000, output=100, speed="fast"), "0.012"),
        ("anthropic", "claude-opus-5-5", Used(input=1_000, output=100, region="us"), "0.0066"),
        ("openai", "gpt-5-nano", Used(input=17, output=482, reasoning=448), "0.00019365"),
        ("openai", "gpt-5-mini", Used(input=1_000, output=100, tier="priority"), "0.00081"),
        ("openai", "gpt-5-mini", Used(input=1_000, output=100, tier="flex"), "0.000225"),
        ("openai", "gpt-6-astra", Used(input=500, cached=400, cache_write=100), "0.00665"),
        ("openai", "tts-1", Used(characters=1_000), "0.015"),
        ("openai", "whisper-1", Used(audio_ms=60_000), "0.006"),
        ("openai", "gpt-image-1", Used(input=20, output_image=4_160), "0.1665"),
        ("openai", "text-embedding-3-small", Used(input=50), "0.000001"),
        ("gemini", "gemini-2.5-flash", Used(input=20, input_audio=100, output=1), "0.0001085"),
        ("gemini", "gemini-2.5-pro", Used(input=200_000), "0.25"),
        ("gemini", "gemini-2.5-pro", Used(input=200_001), "0.5000025"),
    ],
)  # fmt: skip
def test_a_worked_out_sum_is_met(dialect: str, name: str, used: Used, usd: str) -> None:
    exact = (Decimal(usd) * 10**9).to_integral_value(ROUND_CEILING)
    assert cost(dialect, name, used) == exact


def test_a_cost_above_zero_is_never_billed_as_zero() -> None:
    assert cost("openai", "gpt-5-nano", Used(cached=1)) == 5
    assert cost("openai", "text-embedding-3-small", Used(input=1)) == 20


def test_a_model_is_found_by_its_dated_name_and_only_by_its_own_dialect() -> None:
    tariff = Tariff()
    assert tariff.find("gpt-4o-mini-2024-07-18", "openai") is tariff.find("gpt-4o-mini", "openai")
    assert tariff.find("claude-haiku-4-5-20251001", "anthropic") is not None
    assert tariff.find("claude-haiku-4-5", "openai") is None
    assert tariff.find("gpt-99", "openai") is None


def test_an_extra_model_is_served_in_every_dialect() -> None:
    tariff = Tariff({"my-model": ("0.10", "0.40")})
    for dialect in ("openai", "anthropic", "gemini"):
        model = tariff.find("my-model", dialect)
        assert model is not None
        assert cost_nusd(model, Used(input=10, output=10)) == 5_000


@pytest.mark.parametrize(("share", "output"), [(0, 40), (1, 55), (5, 115), (8, 160), (9, 160)])
def test_a_call_that_was_cut_owes_its_thinking_and_the_parts_that_were_made(
    share: int, output: int
) -> None:
    used = Used(input=9, output=160, reasoning=40)
    assert used.after(share, 8).output == output
    assert used.after(share, 8).input == 9
