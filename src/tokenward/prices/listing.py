"""What does a model cost, through time? Dated prices, compiled for the moment of a call."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from genai_prices import types as library

from tokenward.prices.dates import ALWAYS, When, to_when
from tokenward.prices.model_price import ModelPrice
from tokenward.prices.rates import FEES, UNITS, Prices
from tokenward.prices.tariff import Tariff, Variant, make_tariff

CALL_MS_MAX: Final = 20 * 60_000
"""A call that begins now has ended by then, so a bound looks that far ahead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Prices in force at some time (of those that hold the last one counts, else the first), the
    variants for kinds of calls, and how what is missing is filled in."""

    prices: tuple[tuple[When, Prices], ...]
    variants: tuple[Variant, ...] = ()
    fees: Prices
    is_claude: bool
    hears_unpriced: bool = False

    def tariffs(self, at_ms: int) -> tuple[tuple[Tariff, ...], int]:
        """The tariff now, then those that may begin while a call lasts; and until when this
        answer stays true."""
        moments, turn = [at_ms], self._next_turn(at_ms)
        while turn <= at_ms + CALL_MS_MAX:
            moments.append(turn)
            turn = self._next_turn(turn)
        until_ms = min([*moments[1:2], turn - CALL_MS_MAX])
        return tuple(self._tariff(moment) for moment in moments), until_ms

    def _tariff(self, at_ms: int) -> Tariff:
        holding = [prices for when, prices in self.prices if when.holds(at_ms)]
        return make_tariff(
            holding[-1] if holding else self.prices[0][1],
            self.variants,
            self.fees,
            at_ms,
            is_claude=self.is_claude,
            hears_unpriced=self.hears_unpriced,
        )

    def _next_turn(self, at_ms: int) -> int:
        whens = [when for when, _ in self.prices] + [variant.when for variant in self.variants]
        return min(when.next_turn(at_ms) for when in whens)


class DatedPrice:
    """A model's price at any time. Keeps the last answer for as long as it is true."""

    __slots__ = ("_listing", "_price", "_since_ms", "_until_ms")

    def __init__(self, listing: Listing, price: ModelPrice) -> None:
        """`price` has everything but the tariffs."""
        self._listing = listing
        self._price = price
        self._since_ms = self._until_ms = 0

    def at(self, at_ms: int) -> ModelPrice:
        """The price for calls that begin at this moment (Unix milliseconds)."""
        if not self._since_ms <= at_ms < self._until_ms:
            tariffs, until_ms = self._listing.tariffs(at_ms)
            self._price = replace(self._price, tariffs=tariffs)
            self._since_ms, self._until_ms = at_ms, until_ms
        return self._price


def list_model(model: library.ModelInfo, fees: Prices, *, is_claude: bool) -> Listing | None:
    """The library's entry for a model; None if it has no price, or one that we cannot read and
    would leave out. A model named for audio without a price for audio is not priced for it."""
    prices = dated_prices(model)
    variants = tuple(
        Variant(to_when(variant.constraint), variant.when, _by_key(variant.prices))
        for variant in model.price_variants or ()
    )
    every = [*(listed for _, listed in prices), *(variant.prices for variant in variants)]
    if not all(listed for _, listed in prices) or any(p.keys() - UNITS.keys() for p in every):
        return None
    return Listing(
        prices=prices,
        variants=variants,
        fees=fees,
        is_claude=is_claude,
        hears_unpriced="-audio" in model.id and "input_audio_mtok" not in prices[0][1],
    )


def list_fixed(prices: Prices, fees: Prices, *, is_claude: bool) -> Listing:
    """Prices that hold always, for calls of any kind."""
    return Listing(prices=((ALWAYS, prices),), fees=fees, is_claude=is_claude)


def dated_prices(model: library.ModelInfo) -> tuple[tuple[When, Prices], ...]:
    """The listed prices of a model, each with when it holds."""
    if isinstance(model.prices, library.ModelPrice):
        return ((ALWAYS, _by_key(model.prices)),)
    return tuple((to_when(p.constraint), _by_key(p.prices)) for p in model.prices)


def dearest_fees(models: Iterable[library.ModelInfo]) -> Prices:
    """The dearest fee of each sort that any of the models is listed with."""
    fees: dict[str, Decimal] = {}
    for model in models:
        for _, prices in dated_prices(model):
            for key in FEES.values():
                for price in usd_of(prices, key):
                    fees[key] = max(price, fees.get(key, price))
    return fees


def usd_of(prices: Prices, key: str) -> list[Decimal]:
    """A price at every reach of the context; nothing if it is not listed."""
    price = prices.get(key)
    if isinstance(price, library.TieredPrices):
        return [price.base, *(tier.price for tier in price.tiers)]
    return [] if price is None else [price]


def _by_key(prices: library.ModelPrice) -> Prices:
    return {key: price for key, price in vars(prices).items() if price is not None}
