"""The price book: which price has this model, from this provider, at this time?"""

import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cached_property
from typing import Final

from genai_prices.data import providers as bundled
from genai_prices.types import ModelInfo, Provider

from tokenward.prices.ceilings import max_output_tokens
from tokenward.prices.listing import (
    DatedPrice,
    Listing,
    dated_prices,
    dearest_fees,
    list_fixed,
    list_model,
    usd_of,
)
from tokenward.prices.model_price import ModelPrice
from tokenward.prices.names import NAME_MAX, ModelIndex
from tokenward.prices.overrides import PriceOverride, check_override, to_pattern, to_prices
from tokenward.prices.rates import FEES, Prices, pico_a_unit
from tokenward.prices.surcharges import audio_ms_min

__all__ = ["ModelPrice", "PriceBook"]

_KEPT_MAX: Final = 512
"""Models whose compiled prices are kept; the oldest goes first. Unknown names are not kept, so
that strangers' inventions take no memory."""

_VENDORS: Final[Mapping[str, str]] = {
    "openai": "openai",
    "anthropic": "anthropic",
    "gemini": "google",
    "google": "google",
}


class PriceBook:
    """The library's dated prices under the operator's overrides. Pure; knows no clock.

    Raises SettingsError for an override that looks like a slip of units.
    """

    def __init__(
        self,
        overrides: Mapping[str, PriceOverride],
        library: Sequence[Provider] = tuple(bundled),
    ) -> None:
        self._sellers = {provider.id: _Seller(provider) for provider in library}
        self._exact = {name: override for name, override in overrides.items() if "*" not in name}
        globs = sorted(overrides.keys() - self._exact.keys(), key=_specific_first)
        self._patterns = [(to_pattern(glob), glob, overrides[glob]) for glob in globs]
        for name, override in overrides.items():
            check_override(name, override, self._listed_usd(name))
        every = dearest_fees(m for provider in library for m in provider.models)
        self._fees_elsewhere = {
            bucket: pico_a_unit(usd, key)
            for bucket, key in FEES.items()
            for usd in usd_of(every, key)
        }
        self._kept: dict[tuple[str, str], DatedPrice] = {}

    def find(self, prices_from: str, model: str, at_ms: int) -> ModelPrice | None:
        """The price of a model for calls that begin at `at_ms` (Unix milliseconds), or None: no
        override names it, and the library's provider `prices_from` (or one whose models it sells)
        lists no such model with a price. `model` is the caller's word and may be anything."""
        dated = self._kept.get((prices_from, model))
        if dated is None:
            if len(model) > NAME_MAX or not model.isprintable():
                return None
            dated = self._compile(prices_from, model)
            if dated is None:
                return None
            if len(self._kept) >= _KEPT_MAX:
                del self._kept[next(iter(self._kept))]
            self._kept[prices_from, model] = dated
        return dated.at(at_ms)

    def source_for(self, name: str, dialect: str, base_url: str) -> str:
        """The library's id of a provider: the one that is served at this address, or has this
        name, or whose dialect it speaks; "" if there is none."""
        for provider_id, seller in self._sellers.items():
            if re.match(seller.provider.api_pattern, base_url):
                return provider_id
        if name in self._sellers:
            return name
        vendor = _VENDORS.get(dialect, "")
        return vendor if vendor in self._sellers else ""

    def _compile(self, source: str, name: str) -> DatedPrice | None:
        sold = self._sold(source, name) if name.isascii() else None
        override = self._override(name)
        context = sold[1].context_window if sold else None
        ceiling: int | None = None
        listing: Listing | None = None
        if override is not None:
            seller = sold[0] if sold else self._sellers.get(source)
            is_claude = source == "anthropic" or "claude" in name.lower()
            fees = seller.fees if seller else {}
            listing = list_fixed(to_prices(override), fees, is_claude=is_claude)
            context = override.context_tokens or context
            ceiling = override.max_output_tokens
        elif sold is not None:
            seller, info = sold
            is_claude = seller.provider.id == "anthropic" or "claude" in info.id.lower()
            listing = list_model(info, seller.fees, is_claude=is_claude)
        if listing is None:
            return None
        return DatedPrice(
            listing,
            ModelPrice(
                model=name,
                context_tokens=context,
                max_output_tokens=ceiling or max_output_tokens(name, context),
                tariffs=(),
                audio_ms_min=audio_ms_min(source, name),
                fees_elsewhere=self._fees_elsewhere,
            ),
        )

    def _override(self, name: str) -> PriceOverride | None:
        exact = self._exact.get(name)
        if exact is not None:
            return exact
        return next((o for pattern, _, o in self._patterns if pattern.match(name)), None)

    def _sold(self, source: str, name: str) -> "tuple[_Seller, ModelInfo] | None":
        seller = self._sellers.get(source)
        if seller is None:
            return None
        others = seller.provider.fallback_model_providers or ()
        for provider_id in (source, *others):
            seller = self._sellers.get(provider_id)
            model = seller.index.find(name.lower()) if seller else None
            if seller and model:
                return seller, model
        return None

    def _listed_usd(self, name: str) -> dict[str, tuple[Decimal, Decimal]]:
        """The lowest and highest input and output price of the models that an override means, from
        any provider at any time."""
        found: dict[str, list[Decimal]] = {"input_mtok": [], "output_mtok": []}
        for model in self._meant(name):
            for _, prices in dated_prices(model):
                for key, all_usd in found.items():
                    all_usd += [usd for usd in usd_of(prices, key) if usd]
        return {
            key.replace("_mtok", "_usd_per_mtok"): (min(all_usd), max(all_usd))
            for key, all_usd in found.items()
            if all_usd
        }

    def _meant(self, name: str) -> Iterator[ModelInfo]:
        for seller in self._sellers.values():
            if "*" in name:
                yield from seller.index.matching(to_pattern(name))
            else:
                model = seller.index.find(name.lower())
                if model is not None:
                    yield model


class _Seller:
    """A provider of the library, indexed when it is first asked."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider

    @cached_property
    def index(self) -> ModelIndex:
        return ModelIndex(self.provider.models)

    @cached_property
    def fees(self) -> Prices:
        return dearest_fees(self.provider.models)


def _specific_first(glob: str) -> tuple[int, str]:
    return -len(glob.replace("*", "")), glob
