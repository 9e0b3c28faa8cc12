"""Prices against the library's own arithmetic, and bounds against costs."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from genai_prices.data import providers
from genai_prices.types import (
    ClauseEquals,
    ClauseOr,
    MatchLogic,
    ModelInfo,
    Provider,
)
from genai_prices.types import Usage as LibraryUsage
from hypothesis import event, given
from hypothesis import strategies as st
from msgspec.structs import replace

from tokenward.kernel.usage import COUNTS, Usage
from tokenward.prices.book import PriceBook
from tokenward.prices.listing import dated_prices

MAIN = {"openai", "anthropic", "google", "groq", "mistral", "deepseek", "x-ai"}
TUNED = {
    "ft:gpt-4o": "ft:gpt-4o-2024-08-06:acme::1",
    "ft:gpt-4o-mini": "ft:gpt-4o-mini-2024-07-18:acme::1",
}
BOOK = PriceBook({})
NOW = 1_795_000_000_000  # 2026-11-18
CALL_MS = 20 * 60_000


def exact_names(clause: MatchLogic) -> Iterator[str]:
    if isinstance(clause, ClauseEquals):
        yield clause.equals
    elif isinstance(clause, ClauseOr):
        for alternative in clause.or_:
            yield from exact_names(alternative)


def priced() -> Iterator[tuple[Provider, ModelInfo, str]]:
    """Every model of the main providers that has a price, with a name that means it."""
    for provider in providers:
        for model in provider.models if provider.id in MAIN else ():
            for name in (model.id, *exact_names(model.match), TUNED.get(model.id, "")):
                found = provider.find_model(name)
                if found is model and BOOK.find(provider.id, name, NOW):
                    yield provider, model, name
                    break


PRICED = {f"{provider.id} {name}": (provider, model, name) for provider, model, name in priced()}
models = st.sampled_from(sorted(PRICED))
counts = st.integers(0, 20) | st.integers(0, 400_000)
moments = (
    st.integers(1_704_067_200_000, 1_830_000_000_000)
    | st.integers(NOW, NOW + 30 * 86_400_000)
    | st.sampled_from([1_798_761_600_000 + shift for shift in (-60_000, -1, 0, 1)])  # 2027
)


def test_nearly_every_model_of_the_main_providers_is_covered() -> None:
    listed = sum(
        all(prices for _, prices in dated_prices(model))
        for provider in providers
        if provider.id in MAIN
        for model in provider.models
    )
    assert len(PRICED) >= listed - 10  # documents by the page, voice sessions
    assert len(PRICED) > 300


def priced_usage(model: ModelInfo, drawn: dict[str, int]) -> Usage:
    """Only what the library prices without ambiguity, and in the same way as we promise to."""
    keys = set.intersection(*(set(prices) for _, prices in dated_prices(model)))
    is_claude = "claude" in model.id
    wants = {
        "input": "input_mtok",
        "output": "output_mtok",
        "cache_read": "cache_read_mtok",
        "input_audio": "input_audio_mtok",
        "cache_read_audio": "cache_audio_read_mtok",
        "output_audio": "output_audio_mtok",
        "output_image": "output_image_mtok",
        "input_image": "input_image_mtok",
        "cache_read_image": "cache_image_read_mtok",
        "cache_write_5m": "cache_write_mtok" if is_claude else "input_mtok",
        "cache_write_1h": "cache_write_1h_mtok",
        "searches": "web_searches_kcount",
        "file_searches": "storage_searches_kcount",
        "characters": "input_mchars",
    }
    kept = {bucket: drawn[bucket] for bucket, key in wants.items() if key in keys}
    if "input_video_mtok" in keys:  # one bucket of ours, two prices of theirs
        kept.pop("input_image", None)
    return Usage(**kept)


def library_nusd(provider: Provider, model: ModelInfo, usage: Usage, at_ms: int) -> Decimal:
    theirs = LibraryUsage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_write_5m + usage.cache_write_1h,
        cache_write_1h_tokens=usage.cache_write_1h,
        input_audio_tokens=usage.input_audio + usage.cache_read_audio,
        cache_audio_read_tokens=usage.cache_read_audio,
        input_image_tokens=usage.input_image + usage.cache_read_image,
        cache_image_read_tokens=usage.cache_read_image,
        output_audio_tokens=usage.output_audio,
        output_image_tokens=usage.output_image,
        input_characters=usage.characters,
        web_searches=usage.searches,
        storage_searches=usage.file_searches,
    )
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    kind = {"service_tier": usage.service_tier, "speed": usage.speed}
    price = model.calc_price(theirs, provider, genai_request_timestamp=at, price_context=kind)
    return price.total_price * 1_000_000_000


@pytest.mark.req("M-1")
@given(
    models,
    st.fixed_dictionaries(dict.fromkeys(COUNTS, counts)),
    moments,
    st.integers(0, 3),
)
def test_a_cost_is_the_librarys_rounded_up(
    chosen: str, drawn: dict[str, int], at_ms: int, which: int
) -> None:
    provider, model, name = PRICED[chosen]
    usage = priced_usage(model, drawn)
    price = BOOK.find(provider.id, name, at_ms)
    assert price is not None
    tiers = sorted({tier for tier, _ in price.tariffs[0].cards})
    usage = replace(usage, service_tier=tiers[which % len(tiers)])
    exact = library_nusd(provider, model, usage, at_ms)
    cost = price.cost(usage)
    assert cost.nusd - 1 < exact <= cost.nusd
    assert cost.doubts == ()


@pytest.mark.req("M-10")
def test_every_model_costs_on_every_tier_what_the_library_says() -> None:
    drawn = {bucket: 1_000 + place for place, bucket in enumerate(COUNTS)}
    tiers_seen = set()
    for provider, model, name in PRICED.values():
        price = BOOK.find(provider.id, name, NOW)
        assert price is not None
        for tier, speed in price.tariffs[0].cards:
            for more in (0, 500_000):
                usage = priced_usage(model, drawn | {"input": drawn["input"] + more})
                usage = replace(usage, service_tier=tier, speed=speed)
                exact = library_nusd(provider, model, usage, NOW)
                assert price.cost(usage).nusd - 1 < exact <= price.cost(usage).nusd, (name, tier)
            tiers_seen.add(tier or speed)
    assert tiers_seen == {"", "default", "flex", "priority", "fast"}


@given(models, st.sampled_from([name for name in COUNTS if name != "reasoning"]), moments)
def test_no_use_at_a_price_is_free(chosen: str, bucket: str, at_ms: int) -> None:
    price = BOOK.find(*chosen.split(), at_ms)
    assert price is not None
    cost = price.cost(Usage(**{bucket: 1}))
    assert cost.nusd > 0 or cost.doubts


TIERS = ["", "default", "auto", "priority", "flex", "fast", "standard", "platinum"]
REGIONS = ["", "global", "us", "moon"]


@st.composite
def calls(draw: st.DrawFn) -> tuple[Usage, Usage, dict[str, Any]]:
    """A usage, the most that was foreseen, and what else was foreseen of the call."""
    circumstances = {
        "service_tier": draw(st.sampled_from(TIERS)),
        "region": draw(st.sampled_from(REGIONS)),
        "speed": draw(st.sampled_from(["", "", "standard", "fast"])),
    }
    common = st.sampled_from(["input", "cache_read", "cache_write_5m", "searches", "output"])
    names = draw(st.sets(common)) | draw(st.sets(st.sampled_from(COUNTS), max_size=2))
    names -= {"reasoning"}
    bucket = draw(st.sampled_from(["output", "output", "output_audio", "output_image"]))
    names -= {"output", "output_audio", "output_image"} - {"output", bucket}
    usage = Usage(**{name: draw(counts) for name in names}, **circumstances)
    foreseen = {
        "service_tiers": (circumstances["service_tier"], *draw(st.lists(st.sampled_from(TIERS)))),
        "regions": (circumstances["region"], *draw(st.lists(st.sampled_from(REGIONS)))),
        "speeds": (circumstances["speed"], *draw(st.lists(st.just("")))),
        "output_bucket": bucket,
    }
    return usage, foresee(usage, draw), foreseen


def foresee(usage: Usage, draw: st.DrawFn) -> Usage:
    """The same tokens in buckets that they could have been taken for, and some more."""
    most = {name: getattr(usage, name) for name in COUNTS if not name.startswith("output")}
    most["reasoning"] = 0

    def move(source: str, target: str) -> None:
        if draw(st.booleans()):
            most[target] += most.pop(source)
            most[source] = 0

    move("cache_read_audio", "input_audio")
    move("cache_read_image", "input_image")
    move("cache_write_5m", "cache_write_1h")
    for target in ("input", "cache_write_5m", "cache_write_1h"):
        move("cache_read", target)
    move("input", "cache_write_1h")
    more = draw(st.dictionaries(st.sampled_from(["input", "input_image", "searches"]), counts))
    return Usage(**{name: count + more.get(name, 0) for name, count in most.items()})


@pytest.mark.req("B-5")
@given(models, calls(), moments, st.integers(0, CALL_MS))
def test_no_call_costs_more_than_its_bound(
    chosen: str,
    call: tuple[Usage, Usage, dict[str, Any]],
    at_ms: int,
    lasts_ms: int,
) -> None:
    usage, most, foreseen = call
    price = BOOK.find(*chosen.split(), at_ms)
    later = BOOK.find(*chosen.split(), at_ms + lasts_ms)
    assert price is not None
    assert later is not None
    limits = {"output_min": 0, "output_max": usage.output_tokens, "choices": 1}
    has_output = usage.output_tokens > 0
    bound = price.bound(most=most, has_output=has_output, **limits, **foreseen)
    event(f"bound known: {bound is not None}")
    if bound is not None:
        held_nusd = bound.cost_nusd(usage.output_tokens)
        assert price.cost(usage).nusd <= held_nusd
        assert later.cost(usage).nusd <= held_nusd
        assert usage.total_tokens <= bound.tokens(usage.output_tokens)


@pytest.mark.req("M-10")
@given(models, calls(), moments)
def test_a_bound_is_refused_only_where_the_cost_would_be_doubted(
    chosen: str, call: tuple[Usage, Usage, dict[str, Any]], at_ms: int
) -> None:
    usage, most, foreseen = call
    price = BOOK.find(*chosen.split(), at_ms)
    assert price is not None
    bucket = foreseen["output_bucket"]
    limits = {"output_min": 0, "output_max": usage.output_tokens, "choices": 1}
    bound = price.bound(most=most, has_output=True, **limits, **foreseen)
    if bound is None:
        reached = {name: getattr(most, name) for name in COUNTS} | {"output": 1, bucket: 1}
        costs = [
            price.cost(Usage(**reached, service_tier=tier, speed=speed))
            for tier in foreseen["service_tiers"]
            for speed in foreseen["speeds"]
        ]
        assert any(cost.doubts for cost in costs)


@given(st.text(max_size=300), st.sampled_from(sorted(MAIN)))
def test_no_name_breaks_the_book(name: str, provider: str) -> None:
    BOOK.find(provider, name, NOW)


PARTS = """-2026-01-01 -20260101 @20260101 -001 -1 1 -latest -preview -fast -v1:0 : models/ us. ft:
x"""
parts = st.sampled_from(PARTS.split())


@given(models, st.lists(parts, min_size=1, max_size=2).map("".join), st.booleans())
def test_a_longer_name_has_the_price_that_the_library_gives_it_or_none(
    chosen: str, extra: str, is_before: bool
) -> None:
    provider, _, name = PRICED[chosen]
    longer = extra + name if is_before else name + extra
    ours = BOOK.find(provider.id, longer, NOW)
    theirs = provider.find_model(longer, all_providers=providers)
    event(f"ours {ours is not None}, theirs {theirs is not None}")
    if ours is not None:
        assert theirs is not None
        at = datetime.fromtimestamp(NOW / 1000, UTC)
        usd = theirs.get_prices(at).calc_price(LibraryUsage(input_tokens=1))["total_price"]
        assert ours.cost(Usage(input=1)).nusd - 1 < usd * 1_000_000_000
