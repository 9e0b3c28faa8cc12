"""Which rates apply? All rates of a model at one moment, by service tier and speed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

from tokenward.prices.dates import When
from tokenward.prices.rates import FEES, Card, Prices, dearest_card, make_card
from tokenward.prices.surcharges import (
    ANY_TIER,
    STANDARD_SPEEDS,
    STANDARD_TIERS,
    is_prepaid,
)

_TIER: Final = "service_tier"
_SPEED: Final = "speed"
_BATCH: Final = "processing"
"""Batches never pass through the guard's routes, so their discount is never given."""


@dataclass(frozen=True, slots=True)
class Variant:
    """Prices that replace the listed ones for calls of a kind: `{"service_tier": "flex"}`."""

    when: When
    kind: Mapping[str, str]
    prices: Prices


@dataclass(frozen=True, slots=True)
class Tariff:
    """`cards` by (service tier, speed), with ("", "") for the listed price; `dearest` is the
    highest of all that is known about the model, for circumstances that nobody has described."""

    cards: Mapping[tuple[str, str], Card]
    dearest: Card
    is_claude: bool
    guessed: frozenset[str]
    """Buckets whose rate is another model's of the same provider."""

    def every_card(self) -> tuple[Card, ...]:
        """All rates that there are."""
        return (*self.cards.values(), self.dearest)

    def find(self, tier: str, speed: str) -> Card | None:
        """The rates for this tier and speed, in the provider's words; None if not known."""
        card = self.cards.get((tier, speed))
        if card is not None:
            return card
        tier = "" if tier in STANDARD_TIERS else tier
        speed = "" if speed in STANDARD_SPEEDS else speed
        return self.cards.get((tier, speed))

    def billed(self, tier: str, speed: str) -> tuple[Card, str]:
        """The rates that a call was billed at, and a doubt where that is not certain."""
        card = self.find(tier, speed)
        if card is not None:
            return card, ""
        if is_prepaid(tier, is_claude=self.is_claude):
            card = self.find("", speed)
            if card is not None:
                return card, f"the tier {tier!r} is paid beforehand; the listed price was taken"
        return self.dearest, (
            f"what the service tier {tier[:40]!r} at the speed {speed[:40]!r} costs is not known; "
            "the highest known price was taken"
        )

    def reachable(self, tiers: Iterable[str], speeds: Iterable[str]) -> list[Card] | None:
        """All rates that a call may be billed at; None if a speed has no known price: unlike a
        tier, which was bargained for, it is the caller's to choose and costs several times more."""
        cards = []
        for tier, speed in product(tiers, speeds):
            if self.find("", speed) is None:
                return None
            if tier == ANY_TIER:
                known = dict.fromkeys(known for known, _ in self.cards)
                cards += [self.billed(one, speed)[0] for one in known]
            else:
                cards.append(self.billed(tier, speed)[0])
        return cards


def make_tariff(
    listed: Prices,
    variants: Sequence[Variant],
    fees: Prices,
    at_ms: int,
    *,
    is_claude: bool,
    hears_unpriced: bool,
) -> Tariff:
    """The tariff at a moment. `fees` stand in for fees that are missing. The library's rule: for
    each price the first variant counts that holds and whose kind is the call's. A variant of a kind
    that no usage report shows (a route, a sort of search) counts where it is dearer."""

    def card(kind: Mapping[str, str], *first: Prices) -> Card:
        prices = {**fees, **listed}
        for variant in reversed(held):
            if variant.kind.items() <= kind.items():
                prices.update(variant.prices)
        for preferred in first:
            prices.update(preferred)
        return make_card(prices, is_claude=is_claude, hears_unpriced=hears_unpriced)

    held = [variant for variant in variants if variant.when.holds(at_ms)]
    unseen = [v for v in held if not v.kind.keys() <= {_TIER, _SPEED, _BATCH}]
    tiers = {variant.kind.get(_TIER, "") for variant in held} | {""}
    speeds = {variant.kind.get(_SPEED, "") for variant in held} | {""}
    cards = {}
    for tier, speed in product(sorted(tiers), sorted(speeds)):
        kind = {name: word for name, word in ((_TIER, tier), (_SPEED, speed)) if word}
        options = [card(kind), *(card(kind, variant.prices) for variant in unseen)]
        cards[tier, speed] = dearest_card(options, is_claude=is_claude)
    known = [*cards.values(), *(card({}, variant.prices) for variant in variants)]
    return Tariff(
        cards=cards,
        dearest=dearest_card(known, is_claude=is_claude),
        is_claude=is_claude,
        guessed=frozenset(
            bucket for bucket, key in FEES.items() if key in fees and key not in listed
        ),
    )
