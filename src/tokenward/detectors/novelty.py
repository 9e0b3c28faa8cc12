"""Has this key been seen with this network, program, model, prompt … before?

The likelihood of each habit's value on an ordinary day, on a day on which the owner moved, and
from a thief: Freeman et al. 2016 ("Who are you?", NDSS) for logins, with the owner's rates learned
from the key's own past by a Beta prior of its peers (`habits.py`). Class E2.
"""

from typing import Final

from tokenward.detectors.habits import (
    BY_NAME,
    COMMON_NONE,
    EARLY_CALLS,
    EARLY_DAYS,
    HABITS,
    KNOWN_DAYS,
    NONE,
    POPULAR,
    POPULAR_ELSE,
    PRIOR_DAYS,
    Habit,
)
from tokenward.detectors.past import DAY_MS, Past, Seen
from tokenward.detectors.signs import Sign
from tokenward.detectors.values import STEP, values_of
from tokenward.kernel.signals import KEY_KINDS, LEVELS_A_DOUBLING, Signals

NAME: Final = "novelty"
RATE_MAX: Final = 0.5
"""However changeable the owner, what stays the same never speaks for a thief."""
DEARER_CALLS: Final = 3
"""With its first calls a key shows which models it is for."""
MODELS_TRIED: Final = 3
"""A key that has called more models than that on its first day is being tried out by its owner, and
has no usual one yet."""
DEARER_STEP: Final = 2
"""How much dearer counts, in quarters of a doubling: 2 are a factor of 1.41."""
COSTLY_LEVEL: Final = 90
"""$6 for a million tokens of output: what small models cost less than, and large ones more."""
LEAP: Final = 3 * LEVELS_A_DOUBLING
"""Below that, a model that costs eight times as much is a costly one for this key."""
SPOKEN: Final = frozenset(
    ("place", "country", "network_kind", "block", "family", "model", "route", "script")
)
"""Habits whose values people can read."""
SERVICES: Final = ("app", "public")
LATE: Final = frozenset(("country", "network_kind", "block", "size", "limit"))
"""Habits that a database of networks, or a guard that sees more, begins later than the key. What is
new besides is new: who never had a public network, or a system prompt, has one for the first time.
"""
OF_NETWORKS: Final = frozenset(("country", "network_kind", "block"))
"""Those of them that a key has only with a public network."""


def is_cold(past: Past) -> bool:
    """There is no history to compare with."""
    return past.calls < EARLY_CALLS


def is_usual(seen: Seen | None, past: Past, today: int) -> bool:
    """Seen on the key's first day, or on enough days before today."""
    if seen is None:
        return False
    earlier = seen.days - (1 if seen.last == today else 0)
    return seen.first <= past.first or earlier >= KNOWN_DAYS


def is_usual_value(habit: str, value: str, past: Past, today: int) -> bool:
    """The same of a habit's value. Of a habit that may begin late, the day on which it began counts
    like the key's first."""
    values = past.values.get(habit)
    seen = values.get(value) if values else None
    if values is None or seen is None:
        return False
    if habit not in LATE or is_usual(seen, past, today):
        return is_usual(seen, past, today)
    return seen.first <= _began(habit, past, today) < today


def _is_unknown(habit: str, past: Past, today: int) -> bool:
    """Nothing was seen of a late habit before today, though it could have been there: a key that
    was only called from private networks has no country, and a thief's is its first."""
    if habit not in LATE or _began(habit, past, today) < today or past.first == today:
        return False
    return habit not in OF_NETWORKS or _began("place", past, today) < today


def _began(habit: str, past: Past, today: int) -> int:
    """The first day of any value that is kept of it; today if there is none."""
    return min((each.first for each in past.values.get(habit, {}).values()), default=today)


def is_usual_place(call: Signals, past: Past, today: int) -> bool:
    """The network is one that the key is used from; private ones are all alike."""
    place = call.network.place
    return call.network.kind == "private" or is_usual_value("place", place, past, today)


def score(call: Signals, past: Past, key_kind: str) -> list[Sign]:
    """A sign for each habit that the call shows; none (*unknown*) for a key without a history."""
    if is_cold(past):
        return []
    today = call.at_ms // DAY_MS
    values = {
        name: value for name, value in values_of(call).items() if not _is_unknown(name, past, today)
    }
    new = {name for name, value in values.items() if not is_usual_value(name, value, past, today)}
    signs = []
    for habit in HABITS:
        if habit.name == "dearer":
            if "model" in new and call.asked.level is not None and past.level:
                signs.append(_dearer(call, past, key_kind))
            continue
        if habit.name not in values or (habit.given and habit.given not in new):
            continue
        if habit.within in new:
            continue
        signs.append(_weigh(habit, values, past, today, key_kind, is_new=habit.name in new))
    return signs


def _seen(past: Past, name: str, value: str) -> Seen | None:
    return past.values.get(name, {}).get(value)


def _weigh(
    habit: Habit, values: dict[str, str], past: Past, today: int, key_kind: str, *, is_new: bool
) -> Sign:
    value, rate = values[habit.name], _rate(habit, past, today, key_kind)
    moved = habit.moved
    if habit.moved_service is not None and key_kind in SERVICES:
        moved = habit.moved_service
    if habit.name != "place":  # new on ordinary days is no less new on a day of moving
        moved = max(moved, rate)
    by_chance = _by_chance(habit, value, values)
    if is_new:
        return Sign(
            kind="E2",
            detector=NAME,
            code=f"{habit.name}:new",
            reason=_new_reason(habit, value, values, past, today),
            ordinary=rate,
            moved=moved,
            thief=1 - by_chance,
        )
    return Sign(
        kind="E2",
        detector=NAME,
        code=f"{habit.name}:usual",
        reason=_usual_reason(habit, value, past),
        ordinary=1 - rate,
        moved=1 - moved,
        thief=by_chance,
    )


def _rate(habit: Habit, past: Past, today: int, key_kind: str) -> float:
    """The owner's rate of news: of days, or, with `given`, of the days on which that was new."""
    prior = habit.rates[KEY_KINDS.index(key_kind) if key_kind in KEY_KINDS else 0]
    days = past.earlier_days(today)
    shown = _earlier_news(past, habit.name, today)
    if habit.given:
        of_days = float(_earlier_news(past, habit.given, today))
        rate = (shown + prior * 4) / (of_days + 4)
    else:
        rate = (shown + prior * PRIOR_DAYS) / (days + PRIOR_DAYS) * (1 + EARLY_DAYS / (1 + days))
    return min(rate, RATE_MAX)


def _earlier_news(past: Past, habit: str, today: int) -> int:
    """On how many days before today there was something new. What a stranger does today must not
    make the owner look like somebody who does such things."""
    news = past.news.get(habit)
    return 0 if news is None else max(0, news.days - (news.last == today))


def _by_chance(habit: Habit, value: str, values: dict[str, str]) -> float:
    """How likely a thief shows what the owner is used to."""
    if habit.name == "client":
        return POPULAR.get(values.get("family", ""), POPULAR_ELSE)
    if value == NONE:
        return COMMON_NONE.get(habit.name, 1 - habit.thief)
    return 1 - habit.thief


def _dearer(call: Signals, past: Past, key_kind: str) -> Sign:
    habit = BY_NAME["dearer"]
    rate = habit.rates[KEY_KINDS.index(key_kind) if key_kind in KEY_KINDS else 0]
    reason = dearer_reason(call, past)
    if not reason:
        return Sign(
            kind="E2",
            detector=NAME,
            code="dearer:no",
            ordinary=1 - rate,
            moved=1 - habit.moved,
            thief=1 - habit.thief,
        )
    return Sign(
        kind="E2",
        detector=NAME,
        code="dearer:new",
        reason=reason,
        ordinary=rate,
        moved=habit.moved,
        thief=habit.thief,
    )


def is_dearer(call: Signals, past: Past) -> bool:
    """A costly model that costs clearly more than any that the key has used, in calls enough to say
    so."""
    level, usual = call.asked.level, usual_level(call, past)
    if level is None or past.priced < DEARER_CALLS or usual == 0:
        return False
    is_first_day = past.first == call.at_ms // DAY_MS
    if is_first_day and len(past.values.get("model", {})) > MODELS_TRIED:
        return False
    is_costly = level >= COSTLY_LEVEL or level >= usual + LEAP
    return is_costly and level >= usual + DEARER_STEP


def usual_level(call: Signals, past: Past) -> int:
    """How dear the key's models were when the day began: nobody climbs from model to model within a
    day. On its first day, how dear they have been so far."""
    is_first_day = past.first == call.at_ms // DAY_MS
    has_begun = past.last == call.at_ms // DAY_MS
    if is_first_day or not has_begun:
        return past.level
    return past.level_before or past.level


def dearer_reason(call: Signals, past: Past) -> str:
    """Why the model is a dearer one; "" if it is not, or that cannot be known."""
    level = call.asked.level
    if level is None or not is_dearer(call, past):
        return ""
    times = 2 ** (min(level - usual_level(call, past), 400) / LEVELS_A_DOUBLING)
    return (
        f"the model {call.asked.model[:40]!r} costs about {times:,.1f} times as much as the "
        "dearest that this key has used"
    )


def _new_reason(habit: Habit, value: str, values: dict[str, str], past: Past, today: int) -> str:
    days = past.earlier_days(today)
    since = f"in {days} day{'s' if days != 1 else ''} of use" if days else "today"
    if value == NONE and habit.name in COMMON_NONE:
        return f"this call has no {habit.label}, unlike all others of this key {since}"
    named = f"the {habit.label} is new to this key"
    if habit.name in SPOKEN:
        named = f"the {habit.label} {value[:40]!r} is new to this key"
    elif habit.name in ("size", "limit"):
        named = f"the {habit.label} ({STEP ** int(value):,} or more) is new to this key"
    elif habit.name == "harness":
        named = f"the {habit.label} {value[:40]!r} was never used with this key"
    elif habit.name == "client" and "family" in values:
        named = f"the {habit.label} ({values['family'][:40]}) is new to this key"
    return f"{named}, {since}"


def _usual_reason(habit: Habit, value: str, past: Past) -> str:
    seen = _seen(past, habit.name, value)
    days = seen.days if seen is not None else 0
    return f"the {habit.label} is one that this key was seen with on {days} day{'s' * (days != 1)}"
