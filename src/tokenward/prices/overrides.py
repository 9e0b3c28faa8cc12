"""The operator's own prices: for private models, and where the library is wrong.

An override replaces the library's prices of a model as a whole. It names a model exactly, or many
with `*`; an exact name wins over a pattern, a longer pattern over a shorter one. Names are
case-sensitive. Its prices hold for every service tier; a speed but the standard one it does not
price at all.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from fnmatch import translate
from typing import Final

from tokenward.kernel.errors import SettingsError
from tokenward.prices.rates import FILE_SEARCH, IMAGE, SEARCH, Prices

_TOO_FAR: Final = 100
_MTOK_MAX, _MTOK_MIN = Decimal(5_000), Decimal("0.00001")


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceOverride:
    """US dollars per million tokens (or characters), per hour of audio, per search, per picture.

    What is None costs what it is a kind of (cached input as input, audio as text), with the
    provider's usual multiples for cache writes; a search, the dearest known of the provider.
    """

    input_usd_per_mtok: Decimal
    output_usd_per_mtok: Decimal | None = None
    cache_read_usd_per_mtok: Decimal | None = None
    cache_write_usd_per_mtok: Decimal | None = None
    cache_write_1h_usd_per_mtok: Decimal | None = None
    input_audio_usd_per_mtok: Decimal | None = None
    output_audio_usd_per_mtok: Decimal | None = None
    input_image_usd_per_mtok: Decimal | None = None
    output_image_usd_per_mtok: Decimal | None = None
    search_usd: Decimal | None = None
    file_search_usd: Decimal | None = None
    image_usd: Decimal | None = None
    character_usd_per_mchar: Decimal | None = None
    audio_usd_per_hour: Decimal | None = None
    context_tokens: int | None = None
    max_output_tokens: int | None = None


_PRICE_FIELDS: Final = tuple(f.name for f in fields(PriceOverride) if not f.name.endswith("tokens"))
_KEYS: Final[Mapping[str, tuple[str, int]]] = {
    "cache_read_usd_per_mtok": ("cache_read_mtok", 1),
    "cache_write_usd_per_mtok": ("cache_write_mtok", 1),
    "cache_write_1h_usd_per_mtok": ("cache_write_1h_mtok", 1),
    "search_usd": (SEARCH, 1_000),
    "file_search_usd": (FILE_SEARCH, 1_000),
    "image_usd": (IMAGE, 1),
    "character_usd_per_mchar": ("input_mchars", 1),
    "audio_usd_per_hour": ("audio_hours", 1),
}
"""The library's price key and how many of our units it is for; others differ in `_usd_per`."""
_MAX_USD: Final[Mapping[str, int]] = {
    "search_usd": 1,
    "file_search_usd": 1,
    "image_usd": 100,
    "audio_usd_per_hour": 1_000,
}
"""More than ten times the dearest known; others are bounded as prices per million are."""


def to_prices(override: PriceOverride) -> Prices:
    """The override by the library's price keys."""
    prices: dict[str, Decimal] = {}
    for name in _PRICE_FIELDS:
        usd: Decimal | None = getattr(override, name)
        if usd is not None:
            key, per = _KEYS.get(name, (name.replace("_usd_per", ""), 1))
            prices[key] = usd * per
    return prices


def to_pattern(glob: str) -> re.Pattern[str]:
    """`*` stands for any text, every other character for itself."""
    return re.compile(translate(glob.replace("[", "[[]").replace("?", "[?]")))


def check_override(
    model: str, override: PriceOverride, known: Mapping[str, tuple[Decimal, Decimal]]
) -> None:
    """Refuse prices that look like a slip of units (B-6). `known` has the lowest and the highest
    price that the library lists for this model, by field. Raises SettingsError."""
    for name in _PRICE_FIELDS:
        usd: Decimal | None = getattr(override, name)
        if usd is None:
            continue
        where = f'[prices] "{model}" {name} = {usd}'
        if not usd.is_finite() or usd < 0:
            raise SettingsError(f"{where}: a price is a number of US dollars, 0 or more.")
        if name in known and usd:
            _check_known(where, usd, *known[name])
        elif usd:
            _check_unknown(where, name, usd)
    for name in ("context_tokens", "max_output_tokens"):
        tokens: int | None = getattr(override, name)
        if tokens is not None and tokens < 1:
            raise SettingsError(f'[prices] "{model}" {name} = {tokens}: must be at least 1.')


def _check_known(where: str, usd: Decimal, low: Decimal, high: Decimal) -> None:
    if low / _TOO_FAR <= usd <= high * _TOO_FAR:
        return
    listed = f"${low}" if low == high else f"${low} to ${high}"
    raise SettingsError(
        f"{where}: the price library lists {listed} for this model. Prices are US dollars per "
        f"MILLION tokens; one more than {_TOO_FAR} times off is taken for a slip of units."
    )


def _check_unknown(where: str, name: str, usd: Decimal) -> None:
    if name in _MAX_USD:
        if usd > _MAX_USD[name]:
            raise SettingsError(
                f"{where}: more than ${_MAX_USD[name]} is taken for a slip of units. The price is "
                "US dollars for ONE, not for a thousand."
            )
    elif not _MTOK_MIN <= usd <= _MTOK_MAX:
        raise SettingsError(
            f"{where}: prices are US dollars per MILLION tokens; above ${_MTOK_MAX} or below "
            f"${_MTOK_MIN} (but for 0) is taken for a slip of units."
        )
