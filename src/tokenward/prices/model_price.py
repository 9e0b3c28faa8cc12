"""What can a call of this model cost at most, and what did it cost?"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import compress
from typing import Final

from msgspec import Struct

from tokenward.kernel.bound import CostBound
from tokenward.kernel.money import NUSD_MAX, nusd_from_pico
from tokenward.kernel.signals import price_level
from tokenward.kernel.usage import Usage
from tokenward.prices.rates import (
    BUCKETS,
    TOKEN_BUCKETS,
    Card,
    Row,
    counts_of,
    cover_of,
    dearest,
)
from tokenward.prices.surcharges import region_tenths, unlisted_speed_times
from tokenward.prices.tariff import Tariff

Reach = tuple[int, tuple[str, ...], tuple[str, ...]]
"""How far into the context (an index of `starts`), at which tiers and speeds."""
Cover = tuple[Row, int]
"""The dearest rates, and what is due for any call in pico-dollars."""

COVERS_MAX: Final = 128
_UNKNOWN: Final[Cover] = ((), -1)
_TOKENS: Final = len(TOKEN_BUCKETS)
_PLACES: Final = range(len(BUCKETS))
"""Most calls use two or three buckets: `compress(_PLACES, counts)` are the places of these."""
_AUDIO_MS: Final = BUCKETS.index("audio_ms")


class Cost(Struct, frozen=True, gc=False):
    """What a call cost, in nano-dollars, and what about it is not certain: then the higher price
    was taken. The doubts of the usage itself are not repeated."""

    nusd: int
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPrice:
    """The prices of one model for calls that begin now.

    `context_tokens` and `max_output_tokens` are None where not known. `tariffs` starts with the
    one that holds now; the others may begin before a call that begins now has ended.
    `fees_elsewhere` is the dearest known fee of any provider, in pico-dollars by bucket.
    """

    model: str
    context_tokens: int | None
    max_output_tokens: int | None
    tariffs: tuple[Tariff, ...]
    audio_ms_min: int = 0
    fees_elsewhere: Mapping[str, int]
    starts: tuple[int, ...] = field(init=False, repr=False)
    covers: dict[Reach, Cover | None] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )
    level: int | None = field(init=False, repr=False, compare=False)
    """How dear it is among models: the listed rate of its output, else of its dearest token
    (`kernel.signals.price_level`). None where no token has a price."""

    def __post_init__(self) -> None:
        cards = (card for tariff in self.tariffs for card in tariff.every_card())
        starts = sorted({start for card in cards for start in card.starts})
        object.__setattr__(self, "starts", tuple(starts))
        level = None
        if self.tariffs:
            row = self.tariffs[0].cards["", ""].row(0)
            level = price_level(row[BUCKETS.index("output")] or dearest(row[:_TOKENS]) or 0)
        object.__setattr__(self, "level", level)

    def bound(
        self,
        *,
        most: Usage,
        has_output: bool,
        output_bucket: str,
        output_min: int,
        output_max: int,
        choices: int,
        service_tiers: tuple[str, ...],
        regions: tuple[str, ...],
        speeds: tuple[str, ...],
    ) -> CostBound | None:
        """The dearest the call can get, whichever of these tiers, regions and speeds it is billed
        at, however far into the context it reaches, whatever hour strikes before it ends. None if
        something it may use has no price, or a speed has none.

        `most` holds for kinds too: a token counted in a bucket may be billed as any cheaper kind
        (written to a cache → read anew → read from it), or as plain input.
        """
        cover = self._cover(most.input_tokens, service_tiers, speeds)
        if cover is None:
            return None
        row, call_pico = cover
        counts = self._counts(most)
        if any(row[place] is None for place in compress(_PLACES, counts)):
            return None
        output_pico = row[BUCKETS.index(output_bucket)] if has_output else 0
        if output_pico is None:
            return None
        is_claude = self.tariffs[0].is_claude
        tenths = max(region_tenths(region, is_claude=is_claude)[0] for region in regions)
        tokens_pico, others_pico = _sum(counts, row)
        return CostBound(
            fixed_pico=_tenths(tokens_pico, tenths) + others_pico + call_pico,
            output_pico=_tenths(output_pico, tenths),
            fixed_tokens=most.input_tokens,
            output_min=output_min,
            output_max=output_max,
            choices=choices,
        )

    def _cover(
        self, input_tokens: int, service_tiers: tuple[str, ...], speeds: tuple[str, ...]
    ) -> Cover | None:
        """The dearest rates within reach, kept for the next call that reaches as far."""
        reach = (bisect_left(self.starts, input_tokens), service_tiers, speeds)
        known = self.covers.get(reach, _UNKNOWN)
        if known is not _UNKNOWN:
            return known
        cover = self._dearest_within(input_tokens, service_tiers, speeds)
        if len(self.covers) < COVERS_MAX:  # callers may name any tier
            self.covers[reach] = cover
        return cover

    def _dearest_within(
        self, input_tokens: int, service_tiers: tuple[str, ...], speeds: tuple[str, ...]
    ) -> Cover | None:
        cards: list[Card] = []
        for tariff in self.tariffs:
            reachable = tariff.reachable(service_tiers, speeds)
            if reachable is None:
                return None
            cards += reachable
        rows = [card.cover_row(input_tokens) for card in cards]
        row = rows[0] if len(rows) == 1 else cover_of(rows)
        return row, max(card.call_pico for card in cards)

    def cost(self, usage: Usage) -> Cost:
        """What this usage cost. Never raises: what has no price is charged at the highest known
        rate of its sort, and doubted."""
        tariff = self.tariffs[0]
        card, tier_doubt = tariff.billed(usage.service_tier, usage.speed)
        tenths, region_doubt = region_tenths(usage.region, is_claude=tariff.is_claude)
        doubts = [doubt for doubt in (tier_doubt, region_doubt) if doubt]
        counts = self._counts(usage)
        row = rates = card.row(usage.input_tokens)
        for place in compress(_PLACES, counts):
            bucket = BUCKETS[place]
            if row[place] is None:
                rates = self._filled(row)
                doubts.append(f"{bucket} has no price; the highest known of its sort was taken")
            elif bucket in tariff.guessed:
                doubts.append(f"{bucket} has no price; the provider's highest was taken")
        tokens_pico, others_pico = _sum(counts, rates)
        if tariff.find("", usage.speed) is None:
            tokens_pico *= unlisted_speed_times(usage.speed, is_claude=tariff.is_claude)
        pico = _tenths(tokens_pico, tenths) + others_pico + card.call_pico
        nusd = nusd_from_pico(pico)
        if nusd > NUSD_MAX:
            doubts.append("the cost is more than can be kept; the most that can was taken")
        return Cost(min(nusd, NUSD_MAX), tuple(doubts))

    def _counts(self, usage: Usage) -> tuple[int, ...]:
        counts = counts_of(usage)
        if 0 < counts[_AUDIO_MS] < self.audio_ms_min:
            return (*counts[:_AUDIO_MS], self.audio_ms_min, *counts[_AUDIO_MS + 1 :])
        return counts

    def _filled(self, row: Row) -> Row:
        token = dearest(row[:_TOKENS]) or 0
        return tuple(
            rate
            if rate is not None
            else (token if bucket in TOKEN_BUCKETS else self.fees_elsewhere.get(bucket, 0))
            for bucket, rate in zip(BUCKETS, row, strict=True)
        )


def _sum(counts: tuple[int, ...], row: Row) -> tuple[int, int]:
    """Pico-dollars of the tokens, and of everything else."""
    tokens_pico = others_pico = 0
    for place in compress(_PLACES, counts):
        due_pico = counts[place] * (row[place] or 0)
        if place < _TOKENS:
            tokens_pico += due_pico
        else:
            others_pico += due_pico
    return tokens_pico, others_pico


def _tenths(pico: int, tenths: int) -> int:
    return -(-pico * tenths // 10)
