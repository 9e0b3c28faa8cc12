"""Golden costs, and what a call is billed at when its report says more than tokens."""

from decimal import Decimal
from typing import get_type_hints

import pytest

from tokenward.kernel.money import NUSD_MAX
from tokenward.kernel.usage import Usage
from tokenward.prices.book import ModelPrice, PriceBook
from tokenward.prices.overrides import PriceOverride
from tokenward.settings.shape import Server

AT = 1_795_000_000_000  # 2026-11-18
BOOK = PriceBook({})


def listed(provider: str, model: str, at_ms: int = AT) -> ModelPrice:
    price = BOOK.find(provider, model, at_ms)
    assert price is not None
    return price


def priced(
    input_usd: str,
    cache_read_usd: str,
    output_usd: str,
    model: str = "golden",
    provider: str = "openai",
) -> ModelPrice:
    override = PriceOverride(
        input_usd_per_mtok=Decimal(input_usd),
        cache_read_usd_per_mtok=Decimal(cache_read_usd),
        output_usd_per_mtok=Decimal(output_usd),
    )
    price = PriceBook({model: override}).find(provider, model, AT)
    assert price is not None
    return price


@pytest.mark.req("M-1")
@pytest.mark.parametrize(
    ("rates", "usage", "nusd"),
    [
        pytest.param(
            ("1", "0.1", "5"),
            Usage(input=56_322, cache_read=72_960, output=87),
            64_053_000,
            id="G2",
        ),
        pytest.param(
            ("2.5", "0.25", "15"),
            Usage(input=2_618, cache_read=3_456, output=285),
            11_684_000,
            id="G3",
        ),
        pytest.param(
            ("0.05", "0.005", "0.40"), Usage(input=17, output=482, reasoning=448), 193_650, id="G4"
        ),
        pytest.param(
            ("1.25", "0.625", "10"),
            Usage(input=5_005, cache_read=257_955, output=1_744),
            184_918_125,
            id="G7",
        ),
        pytest.param(
            ("1.4", "0.26", "0"), Usage(input=2_823, cache_read=41_518), 14_746_880, id="G15"
        ),
    ],
)
def test_golden_usage_costs_what_the_provider_billed(
    rates: tuple[str, str, str], usage: Usage, nusd: int
) -> None:
    cost = priced(*rates).cost(usage)
    assert (cost.nusd, cost.doubts) == (nusd, ())


@pytest.mark.req("M-1")
def test_golden_g4_at_the_listed_price() -> None:
    usage = Usage(input=17, output=482, reasoning=448)
    assert listed("openai", "gpt-5-nano").cost(usage).nusd == 193_650


@pytest.mark.req("M-1")
def test_golden_g11_a_write_for_an_hour_costs_twice_the_input() -> None:
    usage = Usage(input=15, cache_write_1h=4_803, output=47)
    nusd = 15 * 3_000 + 4_803 * 6_000 + 47 * 15_000
    assert listed("anthropic", "claude-sonnet-4-5").cost(usage).nusd == nusd
    unlisted = priced("3", "0.3", "15", "claude-private", "anthropic")
    assert unlisted.cost(usage).nusd == nusd


@pytest.mark.req("M-1")
def test_golden_g14_a_write_costs_a_quarter_more_from_gpt_5_6_on() -> None:
    usage = Usage(input=500, cache_read=400, cache_write_5m=100)
    assert listed("openai", "gpt-5.6-sol").cost(usage).nusd == 2_660_000
    assert listed("openai", "gpt-4o").cost(usage).nusd == 500 * 2_500 + 400 * 1_250 + 100 * 2_500


@pytest.mark.req("M-1")
def test_golden_g17_a_claude_write_without_a_listed_price_costs_a_quarter_more() -> None:
    price = priced("3", "0.3", "15", "claude-private", "anthropic")
    assert price.cost(Usage(cache_write_5m=1_000)).nusd == 3_750_000


@pytest.mark.req("B-4")
def test_ten_thousand_one_token_calls_cost_their_exact_sum_and_none_is_free() -> None:
    price = listed("openai", "gpt-5-nano")
    costs = [price.cost(Usage(input=1)).nusd for _ in range(10_000)]
    assert set(costs) == {50}
    assert sum(costs) == 500_000


def test_a_rate_finer_than_a_nano_dollar_is_rounded_up_once_for_the_whole_call() -> None:
    price = priced("0.0375", "0.0375", "0")
    assert price.cost(Usage(input=1)).nusd == 38
    assert price.cost(Usage(input=1_000)).nusd == 37_500


def test_nothing_used_costs_nothing() -> None:
    assert listed("openai", "gpt-4o").cost(Usage()).nusd == 0


def test_a_kind_of_token_without_a_price_costs_what_it_is_a_kind_of() -> None:
    price = listed("openai", "gpt-4")
    for bucket in ("input", "input_audio", "input_image", "cache_read", "cache_read_audio",
                   "cache_read_image", "cache_write_5m", "cache_write_1h"):  # fmt: skip
        assert price.cost(Usage(**{bucket: 1})).nusd == 30_000
    for bucket in ("output", "output_audio", "output_image"):
        assert price.cost(Usage(**{bucket: 1})).nusd == 60_000


def test_audio_and_pictures_have_their_own_prices_where_they_are_listed() -> None:
    realtime = listed("openai", "gpt-realtime")
    usage = Usage(input_audio=1, cache_read_audio=1, output_audio=1, input_image=1)
    assert realtime.cost(usage).nusd == 32_000 + 400 + 64_000 + 5_000
    assert listed("google", "gemini-2.5-flash-image").cost(Usage(output_image=1)).nusd == 30_000


def test_a_model_for_audio_without_a_price_for_audio_is_doubted_not_priced_as_text() -> None:
    cost = listed("openai", "gpt-4o-audio-preview").cost(Usage(input_audio=10))
    assert cost.nusd == 10 * 10_000
    assert "input_audio has no price" in cost.doubts[0]


def test_speech_and_recordings_are_priced_by_character_and_millisecond() -> None:
    assert listed("openai", "tts-1").cost(Usage(characters=1_000)).nusd == 15_000_000
    assert listed("openai", "whisper-1").cost(Usage(audio_ms=3_600_000)).nusd == 360_000_000


def test_groq_bills_ten_seconds_of_any_recording() -> None:
    price = listed("groq", "whisper-large-v3-turbo")
    assert price.cost(Usage(audio_ms=1)) == price.cost(Usage(audio_ms=10_000))
    assert price.cost(Usage(audio_ms=0)).nusd == 0


def test_a_fee_for_the_call_itself_is_due_once() -> None:
    assert listed("perplexity", "sonar").cost(Usage(input=1)).nusd == 12_000_000 + 1_000


@pytest.mark.req("M-10")
def test_a_search_costs_its_fee_and_an_unlisted_fee_the_dearest_of_the_provider() -> None:
    usage = Usage(searches=2)
    assert listed("openai", "gpt-4o").cost(usage).nusd == 20_000_000
    cost = listed("google", "gemini-1.5-pro").cost(usage)
    assert cost.nusd == 70_000_000
    assert cost.doubts
    foreign = listed("groq", "llama-3.1-8b-instant").cost(usage)
    assert foreign.nusd == 70_000_000
    assert foreign.doubts


@pytest.mark.req("M-10")
@pytest.mark.parametrize(
    ("tier", "nusd"),
    [
        ("", 1_250_000),
        ("default", 1_250_000),
        ("standard", 1_250_000),
        ("auto", 1_250_000),
        ("flex", 625_000),
        ("priority", 2_500_000),
    ],
)
def test_the_tier_that_comes_back_sets_the_price(tier: str, nusd: int) -> None:
    cost = listed("openai", "gpt-5").cost(Usage(input=1_000, service_tier=tier))
    assert (cost.nusd, cost.doubts) == (nusd, ())


@pytest.mark.req("M-10")
def test_a_tier_has_its_own_dates() -> None:
    usage = Usage(input=1_000, service_tier="flex")
    new_year_ms = 1_798_761_600_000  # 2027-01-01
    assert listed("google", "gemini-3.8-flash-tts", new_year_ms - 1).cost(usage).nusd == 250_000
    assert listed("google", "gemini-3.8-flash-tts", new_year_ms).cost(usage).nusd == 500_000


@pytest.mark.req("M-10")
def test_an_unknown_tier_costs_the_highest_known_price_and_is_doubted() -> None:
    cost = listed("openai", "gpt-5").cost(Usage(input=1_000, service_tier="platinum"))
    assert cost.nusd == 2_500_000
    assert "'platinum'" in cost.doubts[0]


@pytest.mark.req("M-10")
def test_a_tier_before_its_price_is_known_costs_the_highest_known_and_is_doubted() -> None:
    early = listed("openai", "gpt-5", 1_767_225_600_000)  # 2026-01-01
    cost = early.cost(Usage(input=1_000, service_tier="priority"))
    assert cost.nusd == 2_500_000
    assert cost.doubts


def test_anthropics_prepaid_tier_costs_the_listed_price_and_is_doubted() -> None:
    price = listed("anthropic", "claude-opus-5")
    cost = price.cost(Usage(input=1_000, service_tier="priority"))
    assert cost.nusd == 5_000_000
    assert cost.doubts


@pytest.mark.req("M-10")
def test_fast_mode_costs_its_price_and_six_times_the_price_where_none_is_listed() -> None:
    fast = listed("anthropic", "claude-opus-5").cost(Usage(input=1_000, speed="fast"))
    assert (fast.nusd, fast.doubts) == (10_000_000, ())
    unlisted = listed("anthropic", "claude-opus-4-6").cost(Usage(input=1_000, speed="fast"))
    assert unlisted.nusd == 30_000_000
    assert unlisted.doubts


@pytest.mark.req("M-10")
def test_inference_kept_in_the_us_costs_a_tenth_more_but_its_searches_do_not() -> None:
    price = listed("anthropic", "claude-opus-5")
    home = price.cost(Usage(input=1_000, output=10, searches=1, region="us"))
    assert (home.nusd, home.doubts) == (5_500_000 + 275_000 + 10_000_000, ())
    for word in ("", "global", "not_available"):
        assert price.cost(Usage(input=1_000, region=word)).nusd == 5_000_000
    elsewhere = price.cost(Usage(input=1_000, region="moon"))
    assert elsewhere.nusd == 5_500_000
    assert "'moon'" in elsewhere.doubts[0]


@pytest.mark.req("M-10")
def test_a_long_prompt_puts_all_tokens_on_the_higher_price() -> None:
    price = listed("google", "gemini-2.5-pro")
    at_edge = price.cost(Usage(input=100_000, cache_read=100_000, output=10))
    assert at_edge.nusd == 100_000 * 1_250 + 100_000 * 125 + 10 * 10_000
    beyond = price.cost(Usage(input=100_000, cache_read=100_001, output=10))
    assert beyond.nusd == 100_000 * 2_500 + 100_001 * 250 + 10 * 15_000


def test_what_has_no_price_is_charged_at_the_highest_of_its_sort_and_doubted() -> None:
    embedding = listed("openai", "text-embedding-3-small")
    cost = embedding.cost(Usage(output=10))
    assert cost.nusd == 200
    assert cost.doubts == ("output has no price; the highest known of its sort was taken",)
    picture = embedding.cost(Usage(images=1))
    assert picture.nusd == 0
    assert picture.doubts


def test_no_report_is_too_odd_for_a_cost() -> None:
    price = listed("openai", "gpt-5")
    cost = price.cost(Usage(output=10**40, service_tier="x" * 10_000, region="\0", speed="🚀"))
    assert cost.nusd == NUSD_MAX
    assert all(len(doubt) < 250 for doubt in cost.doubts)


@pytest.mark.req("B-5")
def test_a_container_costs_what_the_longest_call_in_one_would() -> None:
    longest_s = get_type_hints(Server, include_extras=True)["call_limit_s"].__metadata__[0].le
    cost = listed("anthropic", "claude-haiku-4-5").cost(Usage(containers=1))
    assert cost.nusd * 3_600 >= longest_s * 50_000_000
    assert cost.doubts == ()
    assert listed("openai", "gpt-5").cost(Usage(containers=1)).doubts
