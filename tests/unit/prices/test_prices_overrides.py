"""The operator's own prices."""

from decimal import Decimal
from typing import Any

import pytest

from tokenward.kernel.errors import SettingsError
from tokenward.kernel.usage import Usage
from tokenward.prices.book import ModelPrice, PriceBook
from tokenward.prices.overrides import PriceOverride

AT = 1_795_000_000_000  # 2026-11-18


def override(input_usd: str, output_usd: str | None = None, **more: Any) -> PriceOverride:
    return PriceOverride(
        input_usd_per_mtok=Decimal(input_usd),
        output_usd_per_mtok=None if output_usd is None else Decimal(output_usd),
        **more,
    )


def find(overrides: dict[str, PriceOverride], model: str, provider: str = "openai") -> ModelPrice:
    price = PriceBook(overrides).find(provider, model, AT)
    assert price is not None
    return price


def input_nusd(overrides: dict[str, PriceOverride], model: str) -> int:
    return find(overrides, model).cost(Usage(input=1)).nusd


def test_an_override_wins_over_the_library() -> None:
    assert input_nusd({"gpt-4o": override("2", "8")}, "gpt-4o") == 2_000


def test_the_most_specific_override_wins() -> None:
    overrides = {
        "*": override("1"),
        "my-*": override("2"),
        "my-big-*": override("3"),
        "my-big-model": override("4"),
        "my-*-model": override("5"),
    }
    prices = {
        name: input_nusd(overrides, name)
        for name in ("other", "my-one", "my-big-one", "my-big-model", "my-own-model")
    }
    assert prices == {
        "other": 1_000,
        "my-one": 2_000,
        "my-big-one": 3_000,
        "my-big-model": 4_000,
        "my-own-model": 5_000,
    }


def test_names_of_overrides_are_exact_but_for_the_star() -> None:
    book = PriceBook({"My-model": override("1"), "a?[b]*": override("1")})
    assert book.find("", "my-model", AT) is None
    assert book.find("", "My-model", AT) is not None
    assert book.find("", "a?[b]c", AT) is not None
    assert book.find("", "axbc", AT) is None


def test_a_hostile_name_does_not_hang_a_pattern_of_many_stars() -> None:
    book = PriceBook({"*a" * 20 + "b": override("1")})
    assert book.find("", "a" * 256, AT) is None


def test_every_price_of_an_override_is_charged() -> None:
    price = find(
        {
            "mine": override(
                "1",
                "2",
                cache_read_usd_per_mtok=Decimal("0.1"),
                cache_write_usd_per_mtok=Decimal("1.5"),
                cache_write_1h_usd_per_mtok=Decimal(3),
                input_audio_usd_per_mtok=Decimal(4),
                output_audio_usd_per_mtok=Decimal(5),
                input_image_usd_per_mtok=Decimal(6),
                output_image_usd_per_mtok=Decimal(7),
                search_usd=Decimal("0.01"),
                file_search_usd=Decimal("0.0025"),
                image_usd=Decimal("0.04"),
                character_usd_per_mchar=Decimal(15),
                audio_usd_per_hour=Decimal("0.36"),
            )
        },
        "mine",
    )
    costs = {
        bucket: price.cost(Usage(**{bucket: 1_000})).nusd
        for bucket in (
            "input", "output", "cache_read", "cache_write_5m", "cache_write_1h", "input_audio",
            "output_audio", "input_image", "output_image", "searches", "file_searches", "images",
            "characters", "audio_ms",
        )
    }  # fmt: skip
    assert costs == {
        "input": 1_000_000,
        "output": 2_000_000,
        "cache_read": 100_000,
        "cache_write_5m": 1_500_000,
        "cache_write_1h": 3_000_000,
        "input_audio": 4_000_000,
        "output_audio": 5_000_000,
        "input_image": 6_000_000,
        "output_image": 7_000_000,
        "searches": 10_000_000_000,
        "file_searches": 2_500_000_000,
        "images": 40_000_000_000,
        "characters": 15_000_000,
        "audio_ms": 100_000,
    }


def test_a_local_model_may_cost_nothing() -> None:
    assert input_nusd({"llama": override("0", "0")}, "llama") == 0
    assert input_nusd({"gpt-oss-120b": override("0", "0")}, "gpt-oss-120b") == 0


def test_limits_of_an_override_win_over_what_is_known() -> None:
    known = find({"gpt-4o": override("2", "8")}, "gpt-4o")
    assert (known.context_tokens, known.max_output_tokens) == (128_000, 16_384)
    limits = {"context_tokens": 1_000, "max_output_tokens": 100}
    own = find({"gpt-4o": override("2", "8", **limits)}, "gpt-4o")
    assert (own.context_tokens, own.max_output_tokens) == (1_000, 100)


@pytest.mark.req("B-6")
@pytest.mark.parametrize("usd", ["2500", "0.0025", "251", "0.0249"])
@pytest.mark.parametrize("model", ["gpt-4o-2024-11-20", "gpt-4o-2024-1*"])
def test_a_price_a_thousandfold_off_is_refused_at_load(model: str, usd: str) -> None:
    with pytest.raises(SettingsError) as refused:
        PriceBook({"chatgpt-4o-latest": override("5"), model: override(usd)})
    text = str(refused.value)
    assert model in text
    assert f"= {usd}:" in text
    assert "lists $2.5" in text
    assert "MILLION" in text


@pytest.mark.req("B-6")
def test_the_output_price_is_checked_too_and_within_a_hundredfold_all_is_well() -> None:
    with pytest.raises(SettingsError, match="output_usd_per_mtok = 10000"):
        PriceBook({"gpt-4o": override("2.5", "10000")})
    PriceBook({"gpt-4o": override("0.5", "100")})


@pytest.mark.req("B-6")
@pytest.mark.parametrize(
    "wrong",
    [
        override("5001"),
        override("0.000009"),
        override("-1"),
        override("NaN"),
        override("Infinity"),
        override("1", "5001"),
        override("1", cache_read_usd_per_mtok=Decimal("0.000001")),
        override("1", search_usd=Decimal(10)),
        override("1", image_usd=Decimal(400)),
        override("1", audio_usd_per_hour=Decimal(3_600)),
        override("1", character_usd_per_mchar=Decimal(15_000)),
        override("1", context_tokens=0),
        override("1", max_output_tokens=-1),
    ],
)
def test_a_price_that_cannot_be_meant_is_refused_for_any_model(wrong: PriceOverride) -> None:
    with pytest.raises(SettingsError, match='"private-model"'):
        PriceBook({"private-model": wrong})


def test_a_pattern_is_compared_with_all_models_that_it_means() -> None:
    with pytest.raises(SettingsError, match="input_usd_per_mtok"):
        PriceBook({"gpt-4o-2024-05-*": override("5000")})
    PriceBook({"*": override("1")})
