"""The most a call can cost where only the context window bounds it (B-5)."""

from decimal import Decimal
from typing import Any, cast

import pytest

from tokenward.kernel.usage import Usage
from tokenward.pipeline.guard import FlowLimits
from tokenward.pipeline.holding import cost_bound, unknown_window
from tokenward.pipeline.interfaces import Provider
from tokenward.pipeline.stages import Bound, Read
from tokenward.prices.book import ModelPrice, PriceBook
from tokenward.prices.overrides import PriceOverride
from tokenward.providers.ask import Ask, Request
from tokenward.providers.openai import OPENAI

AT = 1_795_000_000_000  # 2026-11-18
ROUTE = next(route for route in OPENAI.routes if route.operation == "chat")
LIMITS = FlowLimits(call_limit_s=1, hangup_drain_s=1, hold_ttl_ms=1, throttle_wait_s=1)
PROVIDER = Provider(
    name="p",
    dialect="openai",
    base_url="https://api.example",
    credential=None,
    models=("*",),
    prices_from="openai",
    service_tiers=("",),
)


def priced(context_tokens: int | None, max_output_tokens: int | None = None) -> ModelPrice:
    override = PriceOverride(
        input_usd_per_mtok=Decimal(1),
        output_usd_per_mtok=Decimal(2),
        context_tokens=context_tokens,
        max_output_tokens=max_output_tokens,
    )
    price = PriceBook({"mine": override}).find("openai", "mine", AT)
    assert price is not None
    return price


def reading(price: ModelPrice | None, **fields: Any) -> Read:
    ask = Ask(route=ROUTE, model="mine", most=Usage(input=100), **fields)
    nobody, nothing = cast("Bound", None), cast("Request", None)
    return Read(bound=nobody, request=nothing, ask=ask, provider=PROVIDER, price=price)


@pytest.mark.req("B-5")
@pytest.mark.parametrize("choices", [1, 3])
def test_output_that_no_limit_holds_is_held_at_the_context_window(choices: int) -> None:
    price = priced(context_tokens=8_000, max_output_tokens=500)
    read = reading(price, output_open="no limit", choices=choices)
    bound = cost_bound(read, read.ask.most, LIMITS)
    assert bound is not None
    assert (bound.output_min, bound.output_max) == (8_000, 8_000)
    dearest = Usage(input=100, output=8_000 * choices)
    assert bound.cost_nusd(bound.output_max) >= price.cost(dearest).nusd


@pytest.mark.req("B-5")
@pytest.mark.parametrize("reason", ["output_open", "open_ended"])
@pytest.mark.parametrize("price", [None, priced(context_tokens=None, max_output_tokens=500)])
def test_a_window_that_is_not_known_bounds_nothing(price: ModelPrice | None, reason: str) -> None:
    read = reading(price, **{reason: "what is kept"})
    assert "context window is not known" in unknown_window(read.ask, price)
    known = priced(context_tokens=9)
    assert unknown_window(read.ask, known) == ""
    assert unknown_window(reading(None).ask, None) == ""


@pytest.mark.req("B-5")
def test_each_round_reads_and_each_compaction_writes_a_whole_window() -> None:
    price = priced(context_tokens=8_000)
    read = reading(price, output_open="c", open_ended="c", rounds=2, choices=2)
    bound = cost_bound(read, read.ask.most, LIMITS)
    assert bound is not None
    assert bound.tokens(bound.output_max) == 4 * 8_000
