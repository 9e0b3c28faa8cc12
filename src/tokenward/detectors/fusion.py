"""All signs of one call together: one e-value per origin, one e-CUSUM per key.

The e-value is the likelihood ratio "thief against owner", where the owner is a mixture of an
ordinary day and a day on which the owner moved. Under that model its mean is one whatever the
signs' dependence inside a hypothesis was taken for, and a mixture stays valid. Several unfamiliar
origins of one day are averaged (valid under any dependence, Vovk and Wang 2021), days multiply in
an e-CUSUM that falls back to one on ordinary days (Shin, Ramdas and Rinaldo, "E-detectors"): the
chance of a false alarm within T days above a threshold c is at most T/c.
"""

from math import exp, log
from typing import Final

from msgspec import Struct

from tokenward.detectors import consistency, novelty, probe
from tokenward.detectors.days import changed_by_owner
from tokenward.detectors.doubts import with_doubt
from tokenward.detectors.past import (
    DAY_MS,
    News,
    Origin,
    Past,
    Seen,
    short,
    trim,
)
from tokenward.detectors.signs import LEAST, Sign
from tokenward.detectors.values import values_of
from tokenward.kernel.signals import Signals

CALLS_MAX: Final = 1_000_000
ORIGIN_CALLS_MAX: Final = 1_000
FEW_CALLS: Final = 5
"""So many first calls are kept one by one: detectors ask whether there were that many."""
REST: Final = 3.0
"""An ordinary day speaks against theft: the strain of a key falls by so much, as a logarithm."""
FADE_DAYS: Final = 7
"""What the owner's own origin did once is forgiven after so many days."""
TOLD_FROM: Final = log(2)
"""What speaks less for theft than two to one is not told."""


class Opinion(Struct, frozen=True, kw_only=True, gc=False):
    """What the detectors make of a call.

    `log_e` is the evidence of its origin and `total` that with what the key has shown before, both
    as natural logarithms of an e-value. `signs` speak for theft, strongest first; `against` does
    not, in words. `is_cold`: the key has no history; `is_first_day`: it had none when the day
    began; `is_familiar`: the origin is its owner's; `is_usual_place`: so is its network;
    `is_usual`: nothing here is new. `dearer` says why the model is a dearer one than any before,
    "" if it is not.
    """

    origin: str
    is_cold: bool = False
    is_first_day: bool = False
    is_usual: bool = False
    is_familiar: bool = False
    is_usual_place: bool = False
    log_e: float = 0.0
    total: float = 0.0
    signs: tuple[Sign, ...] = ()
    against: tuple[str, ...] = ()
    dearer: str = ""


def look(call: Signals, past: Past, key_kind: str = "", more: tuple[Sign, ...] = ()) -> Opinion:
    """Is this the owner? Pure: the past is only read. `more` are signs of detectors that watch
    several calls (`recent.py`)."""
    once = [*probe.score(call, past, key_kind), *consistency.score(call, past, key_kind), *more]
    origin = short(call.origin)
    doubt = past.doubts.get(origin)
    if not once and doubt is None and is_as_always(call, origin, past):
        return Opinion(origin=origin, is_usual=True, is_familiar=True)
    habits = novelty.score(call, past, key_kind)
    if call.proof:
        habits.append(_holder(call.proof))
    today = call.at_ms // DAY_MS
    if doubt is not None and doubt.last < today - FADE_DAYS and is_familiar(origin, past, today):
        doubt = None
    if doubt is not None:
        once = with_doubt(once, doubt)
    marks: dict[str, float] = {}
    for sign in once:
        marks[sign.code] = max(sign.weight, marks.get(sign.code, 0.0))
    log_e = _ratio(habits, key_kind) + sum(marks.values())
    signs = [sign for sign in (*once, *habits) if sign.reason and sign.weight > TOLD_FROM]
    signs.sort(key=lambda sign: (-sign.weight, sign.code))
    total = log_e
    is_owners = is_familiar(origin, past, today)
    if not is_owners:
        total = _key_total(origin, log_e, past, today)
    return Opinion(
        origin=origin,
        is_cold=novelty.is_cold(past),
        is_first_day=past.first in (0, today),
        is_familiar=is_owners,
        is_usual_place=novelty.is_usual_place(call, past, today),
        log_e=log_e,
        total=total,
        signs=tuple(signs),
        against=tuple(s.reason for s in habits if s.reason and s.weight < -TOLD_FROM),
        dearer=novelty.dearer_reason(call, past),
    )


def _key_total(origin: str, log_e: float, past: Past, today: int) -> float:
    """The evidence of an unfamiliar origin with that of the key's other strangers and days.

    Strangers of one day are averaged by network: who changes programs is one stranger. An origin
    that was there on an earlier day is in the strain already, and does not count twice.
    """
    strain = strain_at(past, today)
    known = past.origins.get(origin)
    if log_e <= 0 or (known is not None and known.first < today):
        return max(log_e, min(strain, log_e + strain))
    strangers = dict(past.strangers) if past.strain_day == today else {}
    strangers[origin] = max(log_e, strangers.get(origin, log_e))
    return strain + _mean(_by_place(strangers))


def _by_place(strangers: dict[str, float]) -> dict[str, float]:
    """The strongest evidence of each network."""
    places: dict[str, float] = {}
    for origin, weight in strangers.items():
        place = origin.partition("@")[2]
        places[place] = max(weight, places.get(place, weight))
    return places


def _mean(weights: dict[str, float]) -> float:
    """Of e-values, as a logarithm like they are."""
    return log(sum(exp(min(each, 50.0)) for each in weights.values()) / len(weights))


def _holder(proof: str) -> Sign:
    """Whoever shows a proof of possession has the holder's machine, or is the holder."""
    return Sign(
        kind="E1",
        detector="proof",
        code="proof:shown",
        reason=f"the caller has proven to be the key's holder ({proof})",
        ordinary=0.999,
        moved=0.999,
        thief=0.01,
    )


def _ratio(habits: list[Sign], key_kind: str) -> float:
    """The mixture likelihood ratio of what is new and what is not, as a logarithm."""
    if not habits:
        return 0.0
    ordinary = moved = thief = 1.0
    moves = LEAST
    for sign in habits:
        ordinary *= sign.ordinary
        moved *= sign.moved
        thief *= sign.thief
        if sign.code == "place:new":
            moves = sign.ordinary
        elif sign.code == "place:usual":
            moves = 1 - sign.ordinary
    owner = (1 - moves) * ordinary + moves * moved + changed_by_owner(habits, key_kind)
    return log(max(thief, 1e-30)) - log(max(owner, 1e-30))


def is_as_always(call: Signals, origin: str, past: Past) -> bool:
    """Every value is usual, and so is the origin: the quick answer for most calls."""
    today = call.at_ms // DAY_MS
    if novelty.is_cold(past) or not is_familiar(origin, past, today):
        return False
    for name, value in values_of(call).items():
        if not novelty.is_usual_value(name, value, past, today):
            return False
    return True


def is_familiar(origin: str, past: Past, today: int) -> bool:
    """The sub-stream is the owner's: there on the key's first day, or on enough days since."""
    known = past.origins.get(origin)
    return known is not None and novelty.is_usual(
        Seen(known.first, known.last, known.days), past, today
    )


def strain_at(past: Past, today: int) -> float:
    """The key's e-CUSUM at the beginning of `today`, as a logarithm, never below zero."""
    days = today - past.strain_day
    if days <= 0 or past.strain_day == 0:
        return past.strain
    strain = past.strain
    if past.strangers:
        strain, days = max(0.0, strain + _mean(_by_place(past.strangers))), days - 1
    return max(0.0, strain - REST * days)


def learn(call: Signals, past: Past, opinion: Opinion) -> bool:
    """Teach the past one clean call; True if that is worth keeping (a mere count is not). Only
    days count: no number of calls on one day moves a habit by more than one day (D1). The caller
    sees to it that refused, challenged, frozen and flagged calls never come here."""
    today = call.at_ms // DAY_MS
    changed = _turn_day(past, today)
    past.calls = min(past.calls + 1, CALLS_MAX)
    name, is_first_day = opinion.origin, past.first == today
    origin = past.origins.get(name)
    if origin is None:
        past.origins[name] = Origin(today, today)
        changed = True
    else:
        origin.calls = min(origin.calls + 1, ORIGIN_CALLS_MAX)
        changed |= origin.calls <= FEW_CALLS or past.calls <= FEW_CALLS
        if origin.last < today:
            origin.last, origin.days, changed = today, origin.days + 1, True
    if not opinion.is_usual and not opinion.is_cold and (origin is None or origin.first == today):
        past.strangers[name] = max(opinion.log_e, past.strangers.get(name, -50.0))
    for habit, value in values_of(call).items():
        changed |= _see(past, habit, value, today, is_first_day=is_first_day)
    if novelty.is_dearer(call, past) and not is_first_day:
        _note_news(past, "dearer", today)
    if opinion.dearer:  # and yet allowed: its owner has said that it is meant
        past.level_before = max(past.level_before, call.asked.level or 0)
    if call.asked.level is not None:
        past.priced = min(past.priced + 1, CALLS_MAX)
        changed |= past.priced <= FEW_CALLS
        if call.asked.level > past.level:
            past.level, changed = call.asked.level, True
    if changed:
        trim(past, today)
    return changed


def _turn_day(past: Past, today: int) -> bool:
    """Begin a day; whether it is another one."""
    if past.calls == 0:
        past.first = past.last = past.strain_day = today
        past.days = 1
        return True
    if past.strain_day < today:
        past.strain, past.strain_day, past.strangers = strain_at(past, today), today, {}
    if past.last < today:
        past.last, past.days, past.level_before = today, past.days + 1, past.level
        return True
    return False


def _see(past: Past, habit: str, value: str, today: int, *, is_first_day: bool) -> bool:
    """Note a value; whether that is new today."""
    values = past.values.setdefault(habit, {})
    seen = values.get(value)
    if seen is None:
        values[value] = Seen(today, today)
        if not is_first_day:
            _note_news(past, habit, today)
        return True
    if seen.last < today:
        seen.last, seen.days = today, seen.days + 1
        return True
    return False


def _note_news(past: Past, habit: str, today: int) -> None:
    news = past.news.setdefault(habit, News())
    if news.last < today:
        news.last, news.days = today, news.days + 1
