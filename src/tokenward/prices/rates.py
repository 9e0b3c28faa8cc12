"""What does a unit cost? Integer pico-dollars, one row for each reach of the context.

A row has one rate for each bucket of `kernel/usage.py`, in the order of `BUCKETS`. A kind that has
no rate of its own takes the rate of what it is a kind of; None means that nothing is known.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from operator import attrgetter
from typing import Final

from genai_prices.types import TieredPrices

from tokenward.kernel.money import PICO_PER_USD
from tokenward.kernel.usage import Usage
from tokenward.prices.surcharges import CLAUDE_CONTAINER_PICO

Rate = int | None
Row = tuple[Rate, ...]
Prices = Mapping[str, Decimal | TieredPrices]
"""US dollars by the library's price keys, and by `IMAGE`."""

TOKEN_BUCKETS: Final = (
    "input",
    "input_audio",
    "input_image",
    "cache_read",
    "cache_read_audio",
    "cache_read_image",
    "cache_write_5m",
    "cache_write_1h",
    "output",
    "output_audio",
    "output_image",
)
OTHER_BUCKETS: Final = (
    "searches",
    "file_searches",
    "characters",
    "audio_ms",
    "images",
    "containers",
)
BUCKETS: Final = TOKEN_BUCKETS + OTHER_BUCKETS
counts_of: Final[Callable[[Usage], tuple[int, ...]]] = attrgetter(*BUCKETS)

SEARCH: Final = "web_searches_kcount"
FILE_SEARCH: Final = "storage_searches_kcount"
FEES: Final[Mapping[str, str]] = {"searches": SEARCH, "file_searches": FILE_SEARCH}
"""Buckets of paid tool calls, each with its price key."""
REQUEST: Final = "requests_kcount"
IMAGE: Final = "image"
_MEGA: Final = 1_000_000
UNITS: Final[Mapping[str, int]] = {
    "input_mtok": _MEGA,
    "input_audio_mtok": _MEGA,
    "input_image_mtok": _MEGA,
    "input_video_mtok": _MEGA,
    "cache_read_mtok": _MEGA,
    "cache_audio_read_mtok": _MEGA,
    "cache_image_read_mtok": _MEGA,
    "cache_write_mtok": _MEGA,
    "cache_write_5m_mtok": _MEGA,
    "cache_write_1h_mtok": _MEGA,
    "output_mtok": _MEGA,
    "output_audio_mtok": _MEGA,
    "output_image_mtok": _MEGA,
    "output_video_mtok": _MEGA,
    "output_reasoning_mtok": _MEGA,
    "output_citation_mtok": _MEGA,
    "input_mchars": _MEGA,
    "audio_hours": 3_600_000,
    "input_audio_hours": 3_600_000,
    SEARCH: 1_000,
    FILE_SEARCH: 1_000,
    REQUEST: 1_000,
    IMAGE: 1,
}
"""How many of our units a price is for. A price under any other key is one we cannot read."""


def pico_a_unit(price_usd: Decimal, key: str) -> int:
    """Exact where a pico-dollar is fine enough, as it is for every token price; else rounded up."""
    numerator, denominator = price_usd.as_integer_ratio()
    return -(-numerator * PICO_PER_USD // (denominator * UNITS[key]))


def dearest(rates: Iterable[Rate]) -> Rate:
    """The highest that is known; None if none is."""
    return max((rate for rate in rates if rate is not None), default=None)


def _cover(*rates: Rate) -> Rate:
    """The highest; None if any is not known: it could be higher."""
    highest = 0
    for rate in rates:
        if rate is None:
            return None
        highest = max(highest, rate)
    return highest


def _first(*rates: Rate) -> Rate:
    return next((rate for rate in rates if rate is not None), None)


@dataclass(frozen=True, slots=True)
class Card:
    """The rates of a model in one set of circumstances.

    `rows[i]` applies to calls of more than `starts[i]` input tokens, to all their tokens (prices
    are cliffs). `cover_rows[i]` is the dearest of the rows that a call can reach that far, and
    of the kinds that a unit can turn out to be: a cached token may be read anew, plain input may be
    written to a cache by a provider that does so unasked. `call_pico` is due for any call.
    """

    starts: tuple[int, ...]
    rows: tuple[Row, ...]
    cover_rows: tuple[Row, ...]
    call_pico: int

    def row(self, input_tokens: int) -> Row:
        """The rates of a call with this many input tokens."""
        return self.rows[bisect_left(self.starts, input_tokens) - 1]

    def cover_row(self, input_tokens: int) -> Row:
        """The dearest rates that a call of at most this many input tokens can reach."""
        return self.cover_rows[bisect_left(self.starts, input_tokens) - 1]


def make_card(prices: Prices, *, is_claude: bool, hears_unpriced: bool = False) -> Card:
    """Compile prices. `is_claude`: writes to the cache happen only when asked for, and cost more
    than input also where no price is given. `hears_unpriced`: audio is not priced as text."""
    starts = sorted({-1}.union(*(_starts(price) for price in prices.values())))
    rows = []
    for start in starts:
        pico = {key: pico_a_unit(_at(price, start + 1), key) for key, price in prices.items()}
        rows.append(_row(pico, is_claude=is_claude, hears_unpriced=hears_unpriced))
    fee = prices.get(REQUEST, Decimal(0))
    call_pico = max(pico_a_unit(_at(fee, start + 1), REQUEST) for start in starts)
    return _card(starts, rows, call_pico, is_claude=is_claude)


def dearest_card(cards: Iterable[Card], *, is_claude: bool) -> Card:
    """At every reach, for every bucket, the highest rate that any of the cards knows."""
    cards = tuple(cards)
    if len(cards) == 1:
        return cards[0]
    starts = sorted({start for card in cards for start in card.starts})
    rows = [
        tuple(
            dearest(rates) for rates in zip(*(card.row(start + 1) for card in cards), strict=True)
        )
        for start in starts
    ]
    return _card(starts, rows, max(card.call_pico for card in cards), is_claude=is_claude)


def cover_of(rows: Iterable[Row]) -> Row:
    """The highest rate of each bucket; None where one of the rows does not know it."""
    return tuple(_cover(*rates) for rates in zip(*rows, strict=True))


def _card(starts: list[int], rows: list[Row], call_pico: int, *, is_claude: bool) -> Card:
    cover_rows: list[Row] = []
    for row in rows:
        cover = _cover_row(row, is_claude=is_claude)
        cover_rows.append(cover_of((*cover_rows[-1:], cover)))
    return Card(tuple(starts), tuple(rows), tuple(cover_rows), call_pico)


def _row(pico: Mapping[str, int], *, is_claude: bool, hears_unpriced: bool) -> Row:
    get = pico.get
    text = get("input_mtok")
    said = dearest((get("output_mtok"), get("output_reasoning_mtok"), get("output_citation_mtok")))
    written = _first(get("cache_write_5m_mtok"), get("cache_write_mtok"))
    kept = get("cache_write_1h_mtok")
    if is_claude and text is not None:
        written = _first(written, -(-text * 5 // 4))
        kept = _first(kept, text * 2)
    written = _first(written, text)
    heard = _first(get("input_audio_mtok"), None if hears_unpriced else text)
    # One bucket holds pictures and video: the dearer rate is the safe one.
    seen = _first(dearest((get("input_image_mtok"), get("input_video_mtok"))), text)
    return (
        text,
        heard,
        seen,
        _first(get("cache_read_mtok"), text),
        _first(get("cache_audio_read_mtok"), heard),
        _first(get("cache_image_read_mtok"), seen),
        written,
        _first(kept, written),
        said,
        _first(get("output_audio_mtok"), None if hears_unpriced else said),
        _first(dearest((get("output_image_mtok"), get("output_video_mtok"))), said),
        get(SEARCH),
        get(FILE_SEARCH),
        get("input_mchars"),
        dearest((get("audio_hours"), get("input_audio_hours"))),
        get(IMAGE),
        CLAUDE_CONTAINER_PICO if is_claude else None,
    )


def _cover_row(row: Row, *, is_claude: bool) -> Row:
    text, heard, seen, read, read_heard, read_seen, written, kept, said, spoken, drawn = row[:11]
    text = _cover(text, read) if is_claude else _cover(text, read, written)
    heard = _cover(heard, read_heard, text)
    seen = _cover(seen, read_seen, text)
    written = _cover(written, text)
    return (
        text,
        heard,
        seen,
        text,
        heard,
        seen,
        written,
        _cover(kept, written),
        said,
        _cover(spoken, said),
        _cover(drawn, said),
        *row[11:],
    )


def _starts(price: Decimal | TieredPrices) -> list[int]:
    return [tier.start for tier in price.tiers] if isinstance(price, TieredPrices) else []


def _at(price: Decimal | TieredPrices, input_tokens: int) -> Decimal:
    if not isinstance(price, TieredPrices):
        return price
    reached = [tier.price for tier in price.tiers if input_tokens > tier.start]
    return reached[-1] if reached else price.base
