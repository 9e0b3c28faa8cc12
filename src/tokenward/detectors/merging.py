"""Several gateways' views of one key, folded into one: in any order, and as often as it happens.

Every part is a smallest, a largest or a union, so that the fold is commutative, associative up to
what is trimmed, and idempotent: a view that is folded in twice changes nothing.
"""

from collections.abc import Callable
from typing import TypeVar

from tokenward.detectors.past import MARKS_MAX, Doubt, News, Origin, Past, Seen, pack, trim, unpack

_Part = TypeVar("_Part")


def merge(stored: bytes, mine: bytes) -> bytes:
    """The fold of two packed pasts. One that cannot be read gives way to the other."""
    theirs, ours = unpack(stored), unpack(mine)
    if theirs is None:
        return mine
    if ours is None:
        return stored
    return pack(fold(theirs, ours))


def fold(one: Past, other: Past) -> Past:
    """A new past that holds what either holds."""
    if not (one.calls and other.calls):
        first = one.first or other.first
    else:
        first = min(one.first, other.first)
    past = Past(
        first=first,
        last=max(one.last, other.last),
        days=max(one.days, other.days),
        calls=max(one.calls, other.calls),
        level=max(one.level, other.level),
        priced=max(one.priced, other.priced),
        origins=_union(one.origins, other.origins, _join_origins),
        values={
            name: _union(one.values.get(name, {}), other.values.get(name, {}), _join_seen)
            for name in sorted(one.values.keys() | other.values.keys())
        },
        news=_union(one.news, other.news, _join_news),
        doubts=_union(one.doubts, other.doubts, _join_doubts),
    )
    if one.last == other.last:
        past.level_before = min(one.level_before, other.level_before)
    else:
        past.level_before = (one if one.last > other.last else other).level_before
    later, earlier = (one, other) if one.strain_day >= other.strain_day else (other, one)
    past.strain, past.strain_day = later.strain, later.strain_day
    past.strangers = dict(sorted(later.strangers.items()))
    if later.strain_day == earlier.strain_day:
        past.strain = max(one.strain, other.strain)
        past.strangers = _union(one.strangers, other.strangers, max)
    trim(past, past.last)
    return past


def _union(
    one: dict[str, _Part], other: dict[str, _Part], join: Callable[[_Part, _Part], _Part]
) -> dict[str, _Part]:
    names = sorted(one.keys() | other.keys())
    return {
        name: join(one[name], other[name])
        if name in one and name in other
        else one.get(name, other.get(name))  # type: ignore[misc]  # it is in one of the two
        for name in names
    }


def _join_seen(one: Seen, other: Seen) -> Seen:
    return Seen(min(one.first, other.first), max(one.last, other.last), max(one.days, other.days))


def _join_origins(one: Origin, other: Origin) -> Origin:
    return Origin(
        min(one.first, other.first),
        max(one.last, other.last),
        max(one.days, other.days),
        max(one.calls, other.calls),
    )


def _join_news(one: News, other: News) -> News:
    return News(max(one.days, other.days), max(one.last, other.last))


def _join_doubts(one: Doubt, other: Doubt) -> Doubt:
    marks = _union(one.marks, other.marks, max)
    return Doubt(max(one.last, other.last), dict(list(marks.items())[:MARKS_MAX]))
