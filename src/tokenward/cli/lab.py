"""`tokenward lab`: what the detectors are worth, in virtual time. Needs no settings."""

import sys
from argparse import Namespace
from pathlib import Path
from typing import Any, Final

from tokenward.cli.desk import CommandError, Desk
from tokenward.cli.parser import Verbs, add_verbs
from tokenward.cli.screen import table
from tokenward.kernel.money import format_usd

SEEDS: Final = 20
KEY_MONTHS: Final = 1_000
_SEEDS_MAX: Final = 10_000
_MONTHS_MAX: Final = 1_000_000
_BAR: Final = 30
_LISTED: Final = 20
_CAUSES: Final = 3


def add(verbs: Verbs) -> None:
    """The verb."""
    lab = verbs.add("lab", "what the detectors are worth: stories of theft and of honest change")
    evaluate = add_verbs(lab).add(
        "evaluate",
        "play the stories and months of honest use in virtual time",
        "Everything is simulated and repeatable: the same seed gives the same table. Nothing of "
        "your settings or records is read. What the stories are: docs/explanation/evaluation.md",
    )
    evaluate.add_argument(
        "--story", metavar="NAME", action="append", help="only this one; may be given often"
    )
    evaluate.add_argument(
        "--seeds", metavar="N", type=int, default=SEEDS, help=f"plays of each story; {SEEDS}"
    )
    evaluate.add_argument(
        "--key-months",
        metavar="N",
        type=int,
        default=KEY_MONTHS,
        help=f"months of honest use of a key; {KEY_MONTHS}",
    )
    evaluate.add_argument("--seed", metavar="S", type=int, default=1, help="chooses them all; 1")
    evaluate.set_defaults(run=_evaluate)


def _evaluate(args: Namespace, desk: Desk) -> None:
    from tokenward.lab.evaluation import evaluate
    from tokenward.lab.stories import StoryError, load_stories

    _check_config(args)
    _check("--seeds", args.seeds, 1, _SEEDS_MAX)
    _check("--key-months", args.key_months, 0, _MONTHS_MAX)
    _check("--seed", args.seed, 0, _MONTHS_MAX)
    try:
        stories = load_stories(args.story or ())
    except StoryError as error:
        raise CommandError(f"{error}", "usage:wrong", 2) from None
    progress = _Progress(desk, len(stories) * args.seeds + args.key_months)
    value = evaluate(stories, args.seeds, args.key_months, args.seed, progress.tell)
    progress.clear()
    desk.tell(value, _screen)


def _check_config(args: Namespace) -> None:
    """The option stands at every verb. Who names a file that is not there means something."""
    named = getattr(args, "config", None)
    if named and not Path(named).is_file():
        raise CommandError(
            f"There is no {named}, and an evaluation reads no settings: leave out --config",
            "settings:missing",
        )


def _check(option: str, given: int, least: int, most: int) -> None:
    if not least <= given <= most:
        raise CommandError(f"{option} takes a number from {least} to {most:,}", "usage:wrong", 2)


def _screen(value: dict[str, Any]) -> str:
    thefts = [each for each in value["stories"] if not each["benign"]]
    changes = [each for each in value["stories"] if each["benign"]]
    parts = []
    if thefts:
        parts.append(_thefts(thefts))
    if changes:
        parts.append(_changes(changes))
    if value["false_alarms"]["key_months"]:
        parts.append(_months(value["false_alarms"]))
    parts.append(f"Seed {value['seed']}. All of it is simulated; no real theft was measured.")
    return "\n\n".join(parts)


def _thefts(stories: list[dict[str, Any]]) -> str:
    rows = [
        (
            story["name"] if story["expected"]["caught"] else f"({story['name']})",
            f"{story['caught']}/{story['seeds']}",
            f"{story['within']}/{story['seeds']}",
            "-" if story["probe_caught"] is None else f"{story['probe_caught']}/{story['seeds']}",
            f"{story['calls']:,} / {story['max']['calls']:,}",
            f"{format_usd(story['cost_nusd'])} / {format_usd(story['max']['cost_nusd'])}",
            f"{story['seconds']:,.0f} s",
            ", ".join(story["by"][:3]) or "-",
        )
        for story in stories
    ]
    heads = ("THEFT", ">CAUGHT", ">AS HOPED", ">AT TRIAL", ">CALLS med/max", ">COST med/max",
             ">TIME", "BY")  # fmt: skip
    hopeless = "(In brackets: identity cannot tell it from honest use; hoped for is no alarm.)"
    return f"{table(heads, rows)}\n{hopeless}\n\n{_rules(stories)}"


def _rules(stories: list[dict[str, Any]]) -> str:
    rows = [
        (
            story["name"],
            format_usd(story["cost_nusd"]),
            *(format_usd(rule["cost_nusd"]) for rule in story["baselines"].values()),
        )
        for story in stories
    ]
    heads = ("MEDIAN COST WITH", ">THE GUARD", ">NOTHING", ">CAP ONLY", ">NEW NETWORK", ">LIMIT")
    return table(heads, rows)


def _changes(stories: list[dict[str, Any]]) -> str:
    rows = [
        (
            story["name"],
            f"{story['stopped']}/{story['seeds']}",
            f"{story['held']}/{story['seeds']}",
            f"{story['owner_refused']:,} of {story['owner_calls']:,}",
            story["title"],
        )
        for story in stories
    ]
    return table(("HONEST CHANGE", ">STOPPED", ">HELD", ">CALLS REFUSED", "WHAT"), rows)


def _months(found: dict[str, Any]) -> str:
    labels = {
        "freeze": "key frozen",
        "challenge": "origin challenged",
        "throttle": "suspect slowed",
        "suspect": "slowed above 30 calls a minute",
        "hold": "dearer model held",
        "new_network": 'rule "new network"',
    }
    rows = [
        (
            label,
            f"{found[name]['months']:,}",
            f"{found[name]['rate']:.2%}",
            f"{found[name]['low']:.2%} - {found[name]['high']:.2%}",
        )
        for name, label in labels.items()
    ]
    many = f"OF {found['key_months']:,} HONEST KEY-MONTHS"
    lines = [table((many, ">MONTHS", ">RATE", ">95 % BOUNDS"), rows)]
    for alarm in found["alarms"][:_LISTED]:
        cause = ", ".join(alarm["changes"][:_CAUSES]) or "nothing new lately"
        lines.append(f"  {alarm['action']} of a key ({alarm['kind']}) after: {cause}")
    more = len(found["alarms"]) - _LISTED
    if more > 0:
        lines.append(f"  and {more} more: --json lists them")
    return "\n".join(lines)


class _Progress:
    """A bar on a terminal, nothing elsewhere."""

    def __init__(self, desk: Desk, total: int) -> None:
        self._err = desk.err
        self._total = max(total, 1)
        self._done = 0
        self._shown = -1
        is_terminal = desk.err is sys.stderr and sys.stderr.isatty()
        self._is_shown = is_terminal and not desk.as_json

    def tell(self) -> None:
        """One more is done."""
        self._done += 1
        share = self._done * 100 // self._total
        if self._is_shown and share != self._shown:
            self._shown = share
            filled = "#" * (share * _BAR // 100)
            self._err.write(f"\r[{filled:<{_BAR}}] {share:3d} %")
            self._err.flush()

    def clear(self) -> None:
        """All is done."""
        if self._is_shown:
            self._err.write("\r" + " " * (_BAR + 8) + "\r")
            self._err.flush()
