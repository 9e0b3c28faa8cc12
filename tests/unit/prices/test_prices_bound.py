"""The most a call can cost."""

from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from tokenward.kernel.bound import CostBound
from tokenward.kernel.usage import Usage
from tokenward.prices.book import ModelPrice, PriceBook
from tokenward.prices.overrides import PriceOverride

AT = 1_795_000_000_000  # 2026-11-18
MINUTE_MS = 60_000
BOOK = PriceBook({})


def listed(provider: str, model: str, at_ms: int = AT) -> ModelPrice:
    price = BOOK.find(provider, model, at_ms)
    assert price is not None
    return price


def bound(price: ModelPrice, most: Usage, **changes: Any) -> CostBound | None:
    asked: dict[str, Any] = {
        "has_output": True,
        "output_bucket": "output",
        "output_min": 1,
        "output_max": 1_000,
        "choices": 1,
        "service_tiers": ("",),
        "regions": ("",),
        "speeds": ("",),
    }
    return price.bound(most=most, **(asked | changes))


def known(price: ModelPrice, most: Usage, **changes: Any) -> CostBound:
    found = bound(price, most, **changes)
    assert found is not None
    return found


@pytest.mark.req("B-5")
def test_a_plain_call_is_bounded_by_its_input_and_its_output_limit() -> None:
    found = known(listed("openai", "gpt-4o"), Usage(input=1_000), choices=3)
    assert found == CostBound(
        fixed_pico=1_000 * 2_500_000,
        output_pico=10_000_000,
        fixed_tokens=1_000,
        output_min=1,
        output_max=1_000,
        choices=3,
    )


@pytest.mark.req("B-5")
def test_a_call_is_bounded_at_the_highest_context_tier_it_can_reach() -> None:
    price = listed("openai", "gpt-5.4")
    short = known(price, Usage(input=272_000))
    long = known(price, Usage(input=272_001))
    assert (short.fixed_pico, short.output_pico) == (272_000 * 2_500_000, 15_000_000)
    assert (long.fixed_pico, long.output_pico) == (272_001 * 5_000_000, 22_500_000)


@pytest.mark.req("B-5")
def test_a_call_is_bounded_at_the_dearest_tier_that_may_bill_it() -> None:
    price = listed("openai", "gpt-5")
    most = Usage(input=1_000)
    standard = known(price, most).fixed_pico
    assert known(price, most, service_tiers=("", "priority")).fixed_pico == 2 * standard
    assert known(price, most, service_tiers=("auto",)).fixed_pico == 2 * standard
    assert known(price, most, service_tiers=("flex",)).fixed_pico * 2 == standard
    assert known(price, most, service_tiers=("platinum",)).fixed_pico == 2 * standard


@pytest.mark.req("B-5")
def test_input_may_turn_out_to_be_written_to_a_cache_that_nobody_asked_for() -> None:
    implicit = known(listed("openai", "gpt-5.6-sol"), Usage(input=1_000))
    assert implicit.fixed_pico == 1_000 * 5_000_000
    claude = listed("anthropic", "claude-opus-5")
    assert known(claude, Usage(input=1_000)).fixed_pico == 1_000 * 5_000_000
    assert known(claude, Usage(cache_write_5m=1_000)).fixed_pico == 1_000 * 6_250_000
    assert known(claude, Usage(cache_write_1h=1_000)).fixed_pico == 1_000 * 10_000_000


def test_a_token_hoped_to_be_cached_may_be_read_anew() -> None:
    price = listed("anthropic", "claude-opus-5")
    assert known(price, Usage(cache_read=10)) == known(price, Usage(input=10))


def test_output_is_bounded_by_the_dearest_kind_it_may_be() -> None:
    price = listed("openai", "gpt-realtime")
    assert known(price, Usage()).output_pico == 16_000_000
    assert known(price, Usage(), output_bucket="output_audio").output_pico == 64_000_000


def test_a_route_without_output_is_bounded_without_an_output_price() -> None:
    price = listed("openai", "text-embedding-3-small")
    assert bound(price, Usage(input=10)) is None
    found = known(price, Usage(input=10), has_output=False, output_min=0, output_max=0)
    assert (found.fixed_pico, found.output_pico) == (200_000, 0)


@pytest.mark.req("B-6")
@pytest.mark.parametrize(
    ("model", "most"),
    [
        ("gpt-4o", Usage(characters=1)),
        ("gpt-4o", Usage(audio_ms=1)),
        ("gpt-4o", Usage(images=1)),
        ("gpt-4o-audio-preview", Usage(input_audio=1)),
        ("tts-1", Usage(input=1)),
    ],
)
def test_what_has_no_price_has_no_bound(model: str, most: Usage) -> None:
    assert bound(listed("openai", model), most, has_output=False) is None


def test_searches_are_bounded_by_their_fee_or_the_dearest_of_the_provider() -> None:
    most = Usage(searches=3)
    assert known(listed("openai", "gpt-4o"), most).fixed_pico == 3 * 10_000_000_000
    assert known(listed("google", "gemini-1.5-pro"), most).fixed_pico == 3 * 35_000_000_000
    assert bound(listed("groq", "llama-3.1-8b-instant"), most) is None


def test_a_fee_for_the_call_itself_is_part_of_the_bound() -> None:
    assert known(listed("perplexity", "sonar"), Usage()).fixed_pico == 12_000_000_000


@pytest.mark.req("M-10")
def test_a_speed_is_bounded_only_where_its_price_is_listed() -> None:
    most = Usage(input=1_000)
    fast = known(listed("anthropic", "claude-opus-5"), most, speeds=("", "fast"))
    assert fast.fixed_pico == 1_000 * 10_000_000
    assert bound(listed("anthropic", "claude-opus-4-6"), most, speeds=("", "fast")) is None


@pytest.mark.req("M-10")
def test_a_region_that_may_cost_a_tenth_more_is_bounded_so() -> None:
    price = listed("anthropic", "claude-opus-5")
    found = known(price, Usage(input=1_000, searches=1), regions=("", "us"))
    assert (found.fixed_pico, found.output_pico) == (5_500_000_000 + 10**10, 27_500_000)


@pytest.mark.req("B-5")
def test_a_price_that_rises_while_the_call_lasts_is_in_its_bound_but_not_yet_in_its_cost() -> None:
    new_year_ms = 1_798_761_600_000  # 2027-01-01, when gemini-3.8-flash doubles
    most = Usage(input=1_000)
    long_before = listed("google", "gemini-3.8-flash", new_year_ms - 21 * MINUTE_MS)
    assert known(long_before, most).fixed_pico == 1_000 * 750_000
    before = listed("google", "gemini-3.8-flash", new_year_ms - 5 * MINUTE_MS)
    assert known(before, most).fixed_pico == 1_000 * 1_500_000
    assert before.cost(most).nusd == 750_000
    after = listed("google", "gemini-3.8-flash", new_year_ms)
    assert after.cost(most).nusd == 1_500_000


@pytest.mark.req("B-5")
def test_hours_of_the_day_have_their_own_price() -> None:
    midnight_ms = AT - AT % 86_400_000
    most = Usage(input=1_000)

    def at(hour: int, minute: int) -> tuple[int, int]:
        at_ms = midnight_ms + (hour * 60 + minute) * MINUTE_MS
        price = listed("deepseek", "deepseek-flash", at_ms)
        return price.cost(most).nusd, known(price, most).cost_nusd(0)

    assert at(0, 30) == (150_000, 150_000)
    assert at(0, 50) == (150_000, 300_000)
    assert at(1, 0) == (300_000, 300_000)
    assert at(3, 50) == (300_000, 300_000)
    assert at(4, 0) == (150_000, 150_000)
    assert at(23, 59) == (150_000, 150_000)


def test_times_may_be_asked_in_any_order() -> None:
    book = PriceBook({})
    rises_ms = 1_798_761_600_000
    for at_ms, nusd in ((rises_ms, 1_500), (AT, 750), (rises_ms + 1, 1_500), (AT - 1, 750)):
        price = book.find("google", "gemini-3.8-flash", at_ms)
        assert price is not None
        assert price.cost(Usage(input=1)).nusd == nusd


def test_fewer_tokens_of_the_same_kinds_have_a_bound_too() -> None:
    price = listed("openai", "gpt-5.4")
    most = Usage(input=300_000, input_image=1_000)
    assert known(price, replace(most, input=1)).fixed_pico < known(price, most).fixed_pico


def test_an_override_is_bounded_at_its_own_price_on_every_tier() -> None:
    override = PriceOverride(input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal(2))
    price = PriceBook({"mine": override}).find("", "mine", AT)
    assert price is not None
    tiers = ("", "auto", "priority")
    assert known(price, Usage(input=1), service_tiers=tiers).fixed_pico == 1_000_000
    assert bound(price, Usage(input=1), speeds=("fast",)) is None


def test_a_tenth_more_is_rounded_up() -> None:
    override = PriceOverride(input_usd_per_mtok=Decimal(1), output_usd_per_mtok=Decimal("0.000016"))
    price = PriceBook({"mine": override}).find("", "mine", AT)
    assert price is not None
    assert known(price, Usage(), regions=("us",)).output_pico == 18


def test_a_write_for_an_hour_is_bounded_as_the_dearer_write() -> None:
    override = PriceOverride(
        input_usd_per_mtok=Decimal(1),
        output_usd_per_mtok=Decimal(2),
        cache_write_usd_per_mtok=Decimal(3),
        cache_write_1h_usd_per_mtok=Decimal("2.5"),
    )
    price = PriceBook({"claude-mine": override}).find("anthropic", "claude-mine", AT)
    assert price is not None
    assert known(price, Usage(cache_write_1h=1)).fixed_pico == 3_000_000
