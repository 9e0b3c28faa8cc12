"""What is usual for a key: bounded, decaying, and the same whichever gateway saw it first."""

from hashlib import blake2b
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

VALUES_MAX: Final = 16
ORIGINS_MAX: Final = 16
MARKS_MAX: Final = 8
TEXT_MAX: Final = 96
NEW_ROOM: Final = 4
"""Of the values and origins of a full past, so many are kept for what is new."""
NEW_DAYS: Final = 2
"""What was seen on no more days than this gives way to what was seen on more."""
FORGET_DAYS: Final = 90
DAY_MS: Final = 86_400_000
VERSION: Final = b"\x01"
BYTES_MAX: Final = 40_960
"""A packed past is never longer: at most 14 habits of 16 values, and 16 origins."""


class Seen(Struct, array_like=True, gc=False):
    """A value of a habit: the first and last day (days since 1970, UTC) and on how many it was
    seen. Only days count, never calls: no flood of calls makes a value more usual (D1)."""

    first: int
    last: int
    days: int = 1


class Origin(Struct, array_like=True, gc=False):
    """A sub-stream: one program in one network. `calls` counts clean ones, up to a thousand."""

    first: int
    last: int
    days: int = 1
    calls: int = 1


class Doubt(Struct, array_like=True, gc=False):
    """What an origin has shown that counts once: by code, how much it speaks for theft (a
    logarithm). `last` is the day of the newest."""

    last: int
    marks: dict[str, float] = {}


class News(Struct, array_like=True, gc=False):
    """On how many days a habit showed something new, and the last of them."""

    days: int = 0
    last: int = 0


class Past(Struct, array_like=True, gc=False):
    """What is known of a key. Every part is merged by smallest, largest or union, so that pasts
    of several gateways fold into one in any order (`merging.py`).

    `first`, `last` and `days` are of days with clean calls, `calls` their number up to a million.
    `level` is the dearest price (see `kernel.signals.Asked`) of `priced` clean calls, and
    `level_before` what it was when the day began. `doubts` hold
    evidence, not habits: refused calls may add to them. `strain` is the logarithm of the e-CUSUM
    at the beginning of `strain_day`, `strangers` the evidence of that day's unfamiliar origins.
    """

    first: int = 0
    last: int = 0
    days: int = 0
    calls: int = 0
    level: int = 0
    origins: dict[str, Origin] = {}
    values: dict[str, dict[str, Seen]] = {}
    news: dict[str, News] = {}
    doubts: dict[str, Doubt] = {}
    strain: float = 0.0
    strain_day: int = 0
    strangers: dict[str, float] = {}
    priced: int = 0
    level_before: int = 0

    def earlier_days(self, today: int) -> int:
        """Days of clean use before today."""
        return self.days - (1 if self.last == today else 0)


def short(text: str) -> str:
    """The text as a past keeps it: at most `TEXT_MAX` bytes; a hash of what is longer, or is not
    ASCII."""
    if len(text) <= TEXT_MAX and text.isascii():
        return text
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


_Dated = TypeVar("_Dated", Origin, Seen)
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Past).decode


def pack(past: Past) -> bytes:
    """The past as bytes, at most `BYTES_MAX`; the same past gives the same bytes."""
    return VERSION + _encode(past)


def unpack(blob: bytes) -> Past | None:
    """The past in `blob`; None for what is not one, or of another version."""
    if blob[:1] != VERSION or len(blob) > BYTES_MAX:
        return None
    try:
        return _decode(blob[1:])
    except msgspec.DecodeError:
        return None


def trim(past: Past, today: int) -> None:
    """Forget what was not seen for `FORGET_DAYS`, and of too many what was seen longest ago."""
    oldest = today - FORGET_DAYS
    past.origins = _kept(past.origins, ORIGINS_MAX, oldest, past.first)
    past.doubts = _newest(past.doubts, ORIGINS_MAX, oldest)
    for name, values in past.values.items():
        if len(values) > VALUES_MAX or any(seen.last < oldest for seen in values.values()):
            past.values[name] = _kept(values, VALUES_MAX, oldest, past.first)
    if len(past.strangers) > ORIGINS_MAX:
        strongest = sorted(past.strangers.items(), key=lambda pair: (-pair[1], pair[0]))
        past.strangers = dict(sorted(strongest[:ORIGINS_MAX]))


def _kept(kept: dict[str, _Dated], most: int, oldest: int, first: int) -> dict[str, _Dated]:
    """What was not seen for long is forgotten. Of too many, what is established stays: nobody can
    drive out what is usual by showing many new things on one day. Some room is always left for
    what is new, else a full past could learn nothing."""
    if len(kept) <= most and all(each.last >= oldest for each in kept.values()):
        return kept
    fresh = {name: each for name, each in kept.items() if each.last >= oldest}
    old = {n: e for n, e in fresh.items() if e.first <= first or e.days > NEW_DAYS}
    new = {n: e for n, e in fresh.items() if n not in old}
    newest_old: list[str] = sorted(old, key=lambda n: (-old[n].last, -old[n].days, n))
    newest_new: list[str] = sorted(new, key=lambda n: (-new[n].last, n))
    room: int = min(len(newest_new), max(NEW_ROOM, most - len(newest_old)))
    stay = [*newest_old[: most - room], *newest_new[:room]]
    return {name: kept[name] for name in stay}


def _newest(doubts: dict[str, Doubt], most: int, oldest: int) -> dict[str, Doubt]:
    ranked = sorted(doubts.items(), key=lambda pair: (-pair[1].last, pair[0]))
    return {name: doubt for name, doubt in ranked[:most] if doubt.last >= oldest}
