"""`tokenward drill`: thefts played against a guard, with real HTTP, and what it made of them."""

import asyncio
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tokenward.cli.desk import CommandError, Desk
from tokenward.cli.parser import Verbs, unknown
from tokenward.cli.screen import table
from tokenward.kernel.money import format_usd
from tokenward.settings.shape import Policy

if TYPE_CHECKING:
    from tokenward.lab.stories import Story

SEEDS_MAX: Final = 1_000_000
SKIPPED: Final = ("poisoning",)
"""Stories that are about many days, which nobody can wait for here: `tokenward lab evaluate`."""
BLIND: Final = (
    "Played without countries and systems (pip install 'tokenward[network]'): less is seen."
)


def add(verbs: Verbs) -> None:
    """The verb."""
    drill = verbs.add(
        "drill",
        "play thefts against a guard with real HTTP, and report what stopped them",
        "Starts a guard of its own and a stand-in provider on loopback, in a folder that is gone\n"
        "afterwards: no real key, no real provider and no running guard is touched. The guard\n"
        "judges by [policy] of the settings file, if there is one. Owners use their keys first,\n"
        "their pasts are made weeks old, the guard is started again, and the thieves come.",
    )
    drill.add_argument(
        "--story",
        metavar="NAME",
        action="append",
        default=[],
        help="play this one; may stand several times; default: every theft",
    )
    drill.add_argument("--benign", action="store_true", help="play the honest hard cases as well")
    drill.add_argument("--list", action="store_true", help="list the stories and play none")
    drill.add_argument("--seed", metavar="N", type=int, default=1, help="other dice; default 1")
    drill.set_defaults(run=_drill)


def _drill(args: Namespace, desk: Desk) -> None:
    from tokenward.lab.drill.drilling import drill, value_of
    from tokenward.lab.drill.world import DrillError
    from tokenward.lab.stories import StoryError

    if not 0 <= args.seed <= SEEDS_MAX:
        raise CommandError(f"--seed takes a number from 0 to {SEEDS_MAX:,}", "usage:wrong", 2)
    try:
        stories = _chosen(args.story, is_benign=args.benign or args.list)
    except StoryError as error:
        raise CommandError(f"{error}", "usage:wrong", 2) from None
    if args.list:
        desk.tell([_listed(story) for story in stories], _list)
        return
    policy = _policy(args, desk)
    progress = _Progress(desk)
    try:
        drilled = drill(stories, args.seed, _policy_text(policy), _Age(desk.environ), progress.tell)
    except DrillError as error:
        raise CommandError(f"{error}", "drill:failed") from None
    finally:
        progress.clear()
    value = value_of(drilled, args.seed, policy.suspect_calls_per_minute)
    desk.tell(value, _report)
    missed = [each["name"] for each in value["stories"] if _is_missed(each)]
    if missed:
        slowed = [each["name"] for each in value["stories"] if _is_slowed(each)]
        raise CommandError(_why_missed(missed, slowed, policy), "drill:missed")


def _chosen(names: Sequence[str], *, is_benign: bool) -> list["Story"]:
    from tokenward.lab.stories import load_stories

    for name in SKIPPED:
        if name in names:
            raise CommandError(
                f"{name} takes many days, which nobody can wait for here. In virtual time: "
                f"tokenward lab evaluate --story {name}",
                "usage:wrong",
                2,
            )
    here = {story.name: story for story in load_stories() if story.name not in SKIPPED}
    for name in names:
        if name not in here:
            raise CommandError(unknown("story", name, here), "usage:wrong", 2)
    if names:
        return [story for name, story in here.items() if name in names]
    return [story for story in here.values() if is_benign or not story.benign]


def _policy(args: Namespace, desk: Desk) -> Policy:
    """That of the settings, or the default one where there are none and none are named."""
    is_named = hasattr(args, "config") or desk.environ.get("TOKENWARD_CONFIG")
    return desk.settings().policy if is_named or desk.config.is_file() else Policy()


def _policy_text(policy: Policy) -> str:
    """As TOML. Tables of the operator's projects say nothing about the drill's own projects."""
    return (
        f'[policy]\nmode = "{policy.mode}"\n'
        f"false_challenges_per_key_month = {policy.false_challenges_per_key_month!r}\n"
        f"false_freezes_per_key_month = {policy.false_freezes_per_key_month!r}\n"
        f"suspect_calls_per_minute = {policy.suspect_calls_per_minute}\n"
        f"hold_dearer_models = {str(policy.hold_dearer_models).lower()}\n"
    )


class _Age:
    """Makes the drill's keys older: only the composition root opens the records."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def __call__(self, settings_file: Path, days: dict[str, int]) -> None:
        asyncio.run(self._age(settings_file, days))

    async def _age(self, settings_file: Path, days: dict[str, int]) -> None:
        from tokenward.app.stores import open_store
        from tokenward.lab.drill.ageing import aged
        from tokenward.settings import load

        environ = {name: text for name, text in self._environ.items() if "TOKENWARD_" not in name}
        store = await open_store(load(settings_file, environ), environ, serves=False)
        try:
            for key_id, number in days.items():
                past = await store.pasts.find(key_id)
                if past is None:
                    raise CommandError(
                        f"the guard was stopped, and has not kept what it had learned of key "
                        f"{key_id}: this is a bug",
                        "drill:forgotten",
                    )
                await store.pasts.fold({key_id: aged(past, number)})
        finally:
            await store.close()


def _is_missed(story: dict[str, Any]) -> bool:
    """A theft that evidence should have stopped, and did not."""
    return bool(not story["benign"] and story["expected"]["caught"] and not story["caught"])


def _is_slowed(story: dict[str, Any]) -> bool:
    """A theft that evidence did not stop, and yet refused calls as too fast for a suspect."""
    return bool(not story["caught"] and story["slowed"] and "throttle" in story["actions"])


def _why_missed(missed: list[str], slowed: list[str], policy: Policy) -> str:
    if policy.mode == "observe":
        return 'nothing was stopped: [policy] mode is "observe", so evidence acts on nothing'
    names = [f"{name} (only slowed)" if name in slowed else name for name in missed]
    return f"not caught, and should have been: {', '.join(names)}"


def _listed(story: "Story") -> dict[str, Any]:
    return {"name": story.name, "title": story.title, "benign": story.benign}


def _list(value: list[dict[str, Any]]) -> str:
    rows = [
        (each["name"], "honest" if each["benign"] else "theft", each["title"]) for each in value
    ]
    return table(("STORY", "KIND", "WHAT HAPPENS"), rows)


def _report(value: dict[str, Any]) -> str:
    thefts = [each for each in value["stories"] if not each["benign"]]
    honest = [each for each in value["stories"] if each["benign"]]
    parts = [] if value["countries"] else [BLIND]
    if thefts:
        heads = (
            "THEFT",
            "CAUGHT",
            "BY",
            ">CALLS",
            ">DOLLARS",
            ">SECONDS",
            ">CAP ALONE",
            "OWNER",
            "UNDO",
        )
        parts.append(table(heads, [_theft_row(each) for each in thefts]))
        parts.append(_told(thefts, value["suspect_calls_per_minute"]))
    if honest:
        columns = ("HONEST CHANGE", ">CALLS", ">REFUSED", ">SLOWED", "DONE")
        parts.append(table(columns, [_honest_row(each) for each in honest]))
    parts.append("\n".join([_summary(value, thefts), *_refused(value)]))
    return "\n\n".join(parts)


def _theft_row(story: dict[str, Any]) -> tuple[str, ...]:
    caught = "yes" if story["caught"] else "no"
    if _is_slowed(story):
        caught = "slowed"
    elif bool(story["caught"]) != story["expected"]["caught"]:
        caught += " (!)"
    elif not story["caught"]:
        caught += ", as known"
    more = "" if story["caught"] else "+"
    frozen = "frozen" if story["owner_calls"] else "-"
    undone = "works" if story["undos"] == 1 else f"takes {story['undos']}"
    return (
        story["name"],
        caught if story["within"] or not story["caught"] else "late",
        ", ".join(story["by"]) or "-",
        f"{story['calls']}{more}",
        f"{format_usd(story['cost_nusd'])}{more}",
        f"{story['seconds']:.2f}",
        format_usd(story["baselines"]["cap"]["cost_nusd"]) if story["baselines"] else "-",
        {True: "passes", False: "REFUSED", None: frozen}[story["owner_passes"]],
        {True: undone, False: "FAILED", None: "-"}[story["undone"]],
    )


def _honest_row(story: dict[str, Any]) -> tuple[str, ...]:
    done = ", ".join(story["actions"]) or "nothing"
    numbers = (f"{story[name]}" for name in ("owner_calls", "owner_refused", "owner_slowed"))
    return story["name"], *numbers, done


def _told(thefts: list[dict[str, Any]], pace: int) -> str:
    """What each theft showed, in the guard's words. Of what was not caught the story itself says
    why not; of what should have been, only what was expected."""
    lines = []
    for each in thefts:
        said = "; ".join(each["reasons"][:2])
        if _is_slowed(each):
            said = f"slowed to {_calls(pace)} a minute: {said}"
        elif _is_missed(each):
            said = f"expected: {each['expected']['why']}"
        elif not each["caught"]:
            said = each["expected"]["why"]
        lines.append(f"{each['name']}: {said}")
    return "\n".join(lines)


def _summary(value: dict[str, Any], thefts: list[dict[str, Any]]) -> str:
    due = [each for each in thefts if each["expected"]["caught"]]
    caught = sum(each["caught"] for each in due)
    slowed = sum(map(_is_slowed, due))
    taken = sum(each["cost_nusd"] for each in due)
    alarms = value["false_alarms"]
    said = (
        f"Caught {caught} of the {len(due)} thefts that should be"
        f"{f', slowed {slowed} more' if slowed else ''}; together they took {format_usd(taken)}. "
    )
    whys = _whys(alarms["refused"], alarms["held"], alarms["slowed"])
    why = "".join(f", {each}" for each in whys)
    return (
        f"{said if due else ''}Of {alarms['owner_calls']} honest calls {alarms['refused']} were "
        f"refused{why}. Seed {value['seed']}; the days of use before the theft are simulated."
    )


def _refused(value: dict[str, Any]) -> list[str]:
    """Whose calls were refused: those of a theft's owner stand in no row."""
    lines = []
    for each in value["stories"]:
        if each["owner_refused"]:
            whys = _whys(each["owner_refused"], each["owner_held"], each["owner_slowed"])
            lines.append(f"Owner's calls refused in {each['name']}: {', '.join(whys)}.")
    if value["false_alarms"]["slowed"]:
        lines.append(
            f"Slowed is what was beyond {_calls(value['suspect_calls_per_minute'])} in a minute. "
            "The drill plays days without their pauses, so bursts are denser than they would be."
        )
    return lines


def _calls(number: int) -> str:
    return "1 call" if number == 1 else f"{number} calls"


def _whys(refused: int, held: int, slowed: int) -> list[str]:
    whys = (
        (held, "for the first use of a dearer model"),
        (slowed, "slowed"),
        (refused - held - slowed, "stopped as a stranger's"),
    )
    return [f"{number} {why}" for number, why in whys if number]


class _Progress:
    """One bar, on a terminal only."""

    _WIDTH: Final = 24

    def __init__(self, desk: Desk) -> None:
        self._err = desk.err
        self._is_shown = not desk.as_json and desk.err is sys.stderr and sys.stderr.isatty()
        self._calls = 0

    def tell(self, name: str, over: int, turns: int) -> None:
        """A call of this story was made, when so many of the turns were over."""
        self._calls += 1
        if self._is_shown:
            done = over * self._WIDTH // max(turns, 1)
            bar = "#" * done + "." * (self._WIDTH - done)
            self._err.write(f"\r[{bar}] {self._calls} calls, {name:<24.24}")
            self._err.flush()

    def clear(self) -> None:
        """The drill is over."""
        if self._is_shown:
            self._err.write("\r" + " " * (self._WIDTH + 48) + "\r")
