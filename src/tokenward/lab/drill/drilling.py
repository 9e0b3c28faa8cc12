"""All stories of a drill, in one world: owners first, then weeks go by, then the thefts."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from tokenward.lab.drill.networks import knows_countries
from tokenward.lab.drill.playing import Drilled, Play
from tokenward.lab.drill.world import built_world
from tokenward.lab.stories import Story

ALL_SIGNS: Final = "fusion"
"""How an incident names all its signs together: it says who stopped the thief only where no sign
alone does."""
Age = Callable[[Path, dict[str, int]], None]
"""Makes keys in the records behind these settings older, by so many days each."""
Told = Callable[[str, int, int], None]
"""Is called with each call: the name of its story, how many turns are over, and how many there
are. Each story has two, one of its owner and one of its thief."""


def drill(
    stories: Sequence[Story],
    seed: int,
    policy: str,
    age: Age,
    told: Told = lambda name, over, turns: None,
) -> list[Drilled]:
    """Play the stories. `policy` is the text of the guard's `[policy]` tables, without those of
    projects. Raises DrillError."""
    over, turns = 0, 2 * len(stories)

    def tell(name: str) -> None:
        told(name, over, turns)

    plays = [Play(story, seed, tell) for story in stories]
    with built_world(policy + _projects(stories)) as world:
        world.start()
        for play in plays:
            play.prepare(world)
            over += 1
        world.stop()
        holders = [holder for play in plays for holder in play.holders]
        days = {holder.id: holder.days for holder in holders if holder.days}
        age(world.settings_file, days)
        world.start()
        drilled = []
        for play in plays:
            drilled.append(play.change(world) if play.story.benign else play.steal(world))
            over += 1
        return drilled


def _projects(stories: Sequence[Story]) -> str:
    """What the keys of each story are for, where its owner says so."""
    return "\n".join(
        f'[policy.project."{story.name}"]\nkind = "{story.key.kind}"\n'
        for story in stories
        if story.key.is_declared
    )


def value_of(drilled: Sequence[Drilled], seed: int, suspect_calls: int) -> dict[str, Any]:
    """What `tokenward drill --json` prints: as `lab evaluate`, each story played once. `countries`
    says whether the guard knew countries and systems; `suspect_calls` a minute is what suspects of
    a key might make. Of the owners' calls that were `refused`, some were `held` and some
    `slowed`."""
    return {
        "stories": [_story_value(each) for each in drilled],
        "false_alarms": {
            "owner_calls": sum(each.owner_calls for each in drilled),
            "refused": sum(each.owner_refused for each in drilled),
            "held": sum(each.owner_held for each in drilled),
            "slowed": sum(each.owner_slowed for each in drilled),
            "benign_stories": sum(each.story.benign for each in drilled),
            "stopped": sorted(each.story.name for each in drilled if is_false_alarm(each)),
        },
        "countries": knows_countries(),
        "seed": seed,
        "suspect_calls_per_minute": suspect_calls,
    }


def _story_value(drilled: Drilled) -> dict[str, Any]:
    story = drilled.story
    actions = [action for each in drilled.incidents for action in each["actions"]]
    evidence = [seen for each in drilled.incidents for seen in each["evidence"]]
    detectors = [seen["detector"] for seen in evidence]
    by = ["first_use"] if "hold" in actions else []
    by += [name for name in detectors if name != ALL_SIGNS]
    probe = None
    if drilled.has_probe:
        probe = int(drilled.is_caught and drilled.costly == 0)
    return {
        "name": story.name,
        "title": story.title,
        "benign": story.benign,
        "seeds": 1,
        "caught": int(drilled.is_caught),
        "by": list(dict.fromkeys(by or detectors)),
        "classes": sorted({seen["class"] for seen in evidence}),
        "calls": drilled.calls,
        "cost_nusd": drilled.cost_nusd,
        "seconds": round(drilled.seconds, 3),
        "sent": drilled.sent,
        "slowed": drilled.slowed,
        "actions": list(dict.fromkeys(actions)),
        "reasons": list(dict.fromkeys(seen["reason"] for seen in evidence)),
        "incidents": [each["id"] for each in drilled.incidents],
        "owner_calls": drilled.owner_calls,
        "owner_refused": drilled.owner_refused,
        "owner_held": drilled.owner_held,
        "owner_slowed": drilled.owner_slowed,
        "owner_passes": drilled.owner_passes,
        "undone": drilled.is_undone,
        "undos": drilled.undos,
        "expected": {"caught": story.expected.caught, "why": story.expected.why},
        "within": int(is_within(drilled)),
        "probe_caught": probe,
        "other_refusals": drilled.others,
        "programs": sorted(drilled.programs),
        "baselines": {
            name: {"caught": int(let.caught), "calls": let.calls, "cost_nusd": let.cost_nusd}
            for name, let in drilled.baselines.items()
        },
    }


def is_within(drilled: Drilled) -> bool:
    """Whether the story ended as it should: a theft stopped in time, or known not to be caught; an
    honest owner left alone."""
    story, expected = drilled.story, drilled.story.expected
    if story.benign:
        return not is_false_alarm(drilled)
    if not expected.caught:
        return not drilled.is_caught
    most_nusd = expected.within_share * story.key.cap_usd * 1e9
    return (
        drilled.is_caught
        and drilled.calls <= expected.within_calls
        and drilled.cost_nusd <= most_nusd
    )


def is_false_alarm(drilled: Drilled) -> bool:
    """An owner was stopped, or slowed, other than by a hold that the story allows."""
    if not drilled.story.benign:
        return drilled.owner_refused > drilled.owner_held
    actions = {action for each in drilled.incidents for action in each["actions"]}
    return bool(actions - {"hold"} if drilled.story.expected.has_hold else actions)
