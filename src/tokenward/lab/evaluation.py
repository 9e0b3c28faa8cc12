"""How good is it? Every story with many seeds, and many key-months of honest use, as one value.

The value is what `tokenward lab evaluate --json` prints (see docs/explanation/evaluation.md). The
same seed gives the same value.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any, Final

from tokenward.lab.baselines import NAMES
from tokenward.lab.bounds import clopper_pearson
from tokenward.lab.months import ACTIONS, FalseAlarm, play_month
from tokenward.lab.playing import Played, play_story
from tokenward.lab.stories.story import Story
from tokenward.lab.ward import Judge
from tokenward.pipeline.judging import judge

Told = Callable[[], None]
"""Is called after each story and seed, and after each key-month."""
SEEDS_MAX: Final = 10_000
MONTHS_MAX: Final = 1_000_000
LISTED_MAX: Final = 1_000
"""False alarms that are listed one by one; their number is exact beyond it."""
ASKED: Final = ("hold", "throttle")
"""What stops no owner."""
OTHERS: Final = ("suspect", "new_network")
"""What is counted of key-months beside what was done."""
_MEASURES: Final = ("calls", "cost_nusd", "seconds")


def evaluate(
    stories: Sequence[Story],
    seeds: int,
    key_months: int,
    seed: int,
    told: Told = lambda: None,
    judge: Judge = judge,
) -> dict[str, Any]:
    """The whole evaluation. `seeds` are plays of each story; `seed` chooses them all."""
    results = []
    for story in stories:
        plays = []
        for number in range(seeds):
            plays.append(play_story(story, seed * SEEDS_MAX + number, judge))
            told()
        results.append(story_value(story, plays))
    return {
        "stories": results,
        "false_alarms": months_value(key_months, seed, told, judge),
        "seed": seed,
    }


def story_value(story: Story, plays: Sequence[Played]) -> dict[str, Any]:
    """What is told of one story: medians, the 95th percentile and the largest of its plays."""
    spread = {name: sorted(getattr(play, name) for play in plays) for name in _MEASURES}
    value: dict[str, Any] = {
        "name": story.name,
        "title": story.title,
        "benign": story.benign,
        "seeds": len(plays),
        "caught": sum(play.caught for play in plays),
        "by": _most_common(chain_of(play.by for play in plays)),
        "classes": sorted(set(chain_of(play.classes for play in plays))),
        **{name: _at(spread[name], 0.5) for name in _MEASURES},
        "p95": {name: _at(spread[name], 0.95) for name in _MEASURES},
        "max": {name: spread[name][-1] for name in _MEASURES},
        "actions": dict(Counter(chain_of(set(play.actions) for play in plays))),
        "owner_calls": sum(play.owner_calls for play in plays),
        "owner_refused": sum(play.owner_refused for play in plays),
        "expected": {"caught": story.expected.caught, "why": story.expected.why},
        "within": sum(is_within(story, play) for play in plays),
        "probe_caught": None,
        "baselines": {},
    }
    if any(play.has_probe for play in plays):
        value["probe_caught"] = sum(play.is_probe_caught for play in plays)
    if story.benign:
        value["stopped"] = sum(play.is_stopped for play in plays)
        value["held"] = sum(play.is_held for play in plays)
        return value
    for name in NAMES:
        lets = [play.baselines[name] for play in plays]
        value["baselines"][name] = {
            "caught": sum(let.caught for let in lets),
            "calls": _at(sorted(let.calls for let in lets), 0.5),
            "cost_nusd": _at(sorted(let.cost_nusd for let in lets), 0.5),
        }
    return value


def is_within(story: Story, play: Played) -> bool:
    """Whether the play ended as the story expects: a theft that should be caught in time, one that
    cannot be caught at all not, an owner who changes not stopped."""
    expected = story.expected
    if story.benign:
        return not play.is_stopped and (expected.has_hold or not play.is_held)
    if not expected.caught:
        return not play.caught
    share_nusd = expected.within_share * story.key.cap_usd * 1e9
    return play.caught and play.calls <= expected.within_calls and play.cost_nusd <= share_nusd


def months_value(
    key_months: int, seed: int, told: Told = lambda: None, judge: Judge = judge
) -> dict[str, Any]:
    """How many honest key-months were stopped, with exact bounds, and each alarm's cause."""
    stopped: Counter[str] = Counter()
    alarms: list[FalseAlarm] = []
    causes: dict[str, Counter[str]] = {action: Counter() for action in ACTIONS}
    for number in range(key_months):
        month = play_month(seed * MONTHS_MAX + number, judge)
        stopped.update({alarm.action for alarm in month.alarms})
        stopped["new_network"] += month.is_new_network
        stopped["suspect"] += month.is_suspect
        for alarm in month.alarms:
            causes[alarm.action][cause(alarm)] += 1
        alarms += [alarm for alarm in month.alarms if alarm.action not in ASKED]
        told()
    return {
        "key_months": key_months,
        **{name: _rate(stopped[name], key_months) for name in (*ACTIONS, *OTHERS)},
        "causes": {action: dict(found.most_common()) for action, found in causes.items()},
        "alarms": [asdict(alarm) for alarm in alarms[:LISTED_MAX]],
    }


def cause(alarm: FalseAlarm) -> str:
    """The changes of the day of the alarm, or the newest before it."""
    today = sorted(change for change in alarm.changes if not change.endswith(" d before)"))
    return " + ".join(today) or (alarm.changes[0] if alarm.changes else "nothing new lately")


def chain_of(each: Iterable[Iterable[str]]) -> list[str]:
    """All of all, in a fixed order."""
    return sorted(name for names in each for name in names)


def _most_common(names: list[str]) -> list[str]:
    return [name for name, _ in Counter(names).most_common()]


def _rate(seen: int, units: int) -> dict[str, Any]:
    low, high = clopper_pearson(seen, units)
    return {"months": seen, "rate": seen / units if units else 0.0, "low": low, "high": high}


def _at(ranked: Sequence[float], share: float) -> float:
    """The smallest value that is at least as large as this share of all."""
    return ranked[min(max(-int(-len(ranked) * share // 1) - 1, 0), len(ranked) - 1)]
