"""`tokenward incident`: what was stopped, and why; and what a person says of it."""

import textwrap
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from math import exp, log
from typing import Any, Final

from tokenward.cli.desk import Desk
from tokenward.cli.parser import UsageError, Verbs, add_verbs
from tokenward.cli.screen import CELL_CHARS_MAX, moment, plural, printable, table
from tokenward.http.admin.targets import key_named
from tokenward.kernel.ids import BASE62
from tokenward.kernel.incidents import FREEZE, INCIDENT_CHARS, PACE
from tokenward.kernel.money import format_usd
from tokenward.keys.accusation import lasting

LINE_CHARS: Final = 100
PREFIX: Final = "inc_"
ODDS_MAX: Final = 10_000
"""Odds over these are not told apart: the numbers behind them are not that exact."""
CLASSES: Final = {
    "E1": "E1 proof: what only somebody with a copy does",
    "E2": "E2 identity: who calls, and from where",
    "E3": "E3 purpose: what the key is used for",
    "E4": "E4 use: how much, how fast, and when",
}
STATES: Final = {
    "open": "open, nobody has judged it yet",
    "confirmed": "confirmed as a theft",
    "false_alarm": "undone as a false alarm",
    "closed": "closed",
}
WORDS: Final = {
    "open": "open",
    "confirmed": "confirmed",
    "undone": "false_alarm",
    "closed": "closed",
}
"""A state as people say it, and as the admin API does."""
_SAID: Final = {state: word for word, state in WORDS.items()}
_GIVEN: Final = {**WORDS, "false_alarm": "false_alarm"}
"""What --json prints can be given back."""
SLOW: Final = ["throttle"]
"""What was done where nothing was stopped."""


def add(verbs: Verbs) -> None:
    """The verb's own verbs."""
    inner = add_verbs(verbs.add("incident", "what was stopped, and why"))
    listing = inner.add("list", "list incidents, newest first")
    listing.add_argument("--limit", metavar="N", type=int, default=100, help="default 100")
    listing.add_argument(
        "--state",
        metavar="STATE",
        choices=[*_GIVEN],
        help=f"only of this state: {', '.join(WORDS)}; false_alarm is undone",
    )
    listing.add_argument("--key", metavar="ID", default="", help="only of this key")
    listing.set_defaults(run=_list)
    for name, about, run in (
        ("show", "show one with its evidence", _show),
        ("undo", "a false alarm: let what it stopped work again, and do not stop it again", _undo),
        ("confirm", "a theft: what it stopped stays so", _confirm),
    ):
        _add_id(inner.add(name, about)).set_defaults(run=run)


def _add_id(parser: ArgumentParser) -> ArgumentParser:
    parser.add_argument("id", metavar="ID", help="as in: tokenward incident list")
    return parser


def _path(args: Namespace, rest: str = "") -> str:
    mark, name = args.id.strip()[: len(PREFIX)], args.id.strip()[len(PREFIX) :]
    if mark != PREFIX or not name or not set(name) <= set(BASE62):
        raise UsageError(
            f"that is not an incident: give its id ({PREFIX} and {INCIDENT_CHARS} letters and "
            "digits, see: tokenward incident list)"
        )
    return f"/incidents/{PREFIX}{name}{rest}"


def _list(args: Namespace, desk: Desk) -> None:
    try:
        key_id = key_named(args.key) if args.key else ""
    except ValueError as error:
        raise UsageError(f"{error}") from None
    state = _GIVEN.get(args.state, "")
    found = desk.ask(
        "GET", "/incidents", query={"limit": args.limit, "state": state, "key": key_id}
    )
    desk.tell(found, _none_such if state or key_id else _table)


def _show(args: Namespace, desk: Desk) -> None:
    desk.tell(desk.ask("GET", _path(args)), _story)


def _undo(args: Namespace, desk: Desk) -> None:
    _judge(args, desk, "undo", "false_alarm", _undone)


def _confirm(args: Namespace, desk: Desk) -> None:
    _judge(args, desk, "confirm", "confirmed", _confirmed)


def _judge(
    args: Namespace,
    desk: Desk,
    verb: str,
    state: str,
    said: Callable[[dict[str, Any]], str],
) -> None:
    """Whoever says what was said before hears so; it is no error."""
    is_old = desk.ask("GET", _path(args))["state"] == state
    judged = desk.ask("POST", _path(args, f"/{verb}"), {})
    desk.tell(judged, _said_before if is_old else said)


def _said_before(incident: dict[str, Any]) -> str:
    return f"Incident {incident['id']} was {_word(incident)} already."


def _word(incident: dict[str, Any]) -> str:
    state: str = incident["state"]
    return _SAID.get(state, state)


def _undone(incident: dict[str, Any]) -> str:
    said = [f"Incident {incident['id']} is undone as a false alarm."]
    if FREEZE in incident["actions"]:
        said.append("If its key was still frozen by it, the key works again.")
    things = [thing for thing in incident["things"] if thing != PACE]
    if things:
        again = "slowed" if incident["actions"] == SLOW else "barred"
        said.append(f"Cleared, and not {again} again: {', '.join(things)}.")
    return _wrapped(" ".join(said))


def _confirmed(incident: dict[str, Any]) -> str:
    _, _, key = incident["subject"].partition(":")
    if incident["actions"] == SLOW:
        return _wrapped(f"Incident {incident['id']} is confirmed. {_to_stop(key)}")
    return _wrapped(
        f"Incident {incident['id']} is confirmed: what it stopped stays so. Whoever has the secret "
        f"still has it; a new one: tokenward key rotate {key}"
    )


def _to_stop(key: str) -> str:
    """Confirming stops nothing that was only slowed."""
    return (
        "It was only slowed, and goes on at some calls a minute. To stop it: tokenward key freeze "
        f"{key}, or tokenward key rotate {key}"
    )


def _none_such(incidents: list[dict[str, Any]]) -> str:
    return _table(incidents) if incidents else "No such incidents; all: tokenward incident list"


def _table(incidents: list[dict[str, Any]]) -> str:
    if not incidents:
        return "No incidents; one is opened when something was stopped because of evidence."
    rows = [
        (
            incident["id"],
            moment(incident["opened_at"]),
            incident["subject"],
            _word(incident),
            incident["who"] or "-",
            ", ".join(incident["actions"]),
            _first_evidence(incident["evidence"]),
        )
        for incident in incidents
    ]
    return table(("ID", "OPENED", "SUBJECT", "STATE", "WHO", "DONE", "EVIDENCE"), rows)


def _first_evidence(evidence: list[dict[str, Any]]) -> str:
    """What the incident rests on stands first in it; of the rest only how much there is."""
    if not evidence:
        return "-"
    more = f" +{len(evidence) - 1}" if evidence[1:] else ""
    said = f"{evidence[0]['class']} {evidence[0]['reason']}"
    room = CELL_CHARS_MAX - len(more)
    return (said if len(said) <= room else said[: room - 1] + "…") + more


def _story(incident: dict[str, Any]) -> str:
    """Who it was, what happened, why that was taken for a theft, what speaks against it, what was
    done, and how to undo it."""
    spent = format_usd(incident["cost_before_stop_nusd"])
    calls = plural(incident["calls_before_stop"], "call")
    state = STATES.get(incident["state"], incident["state"])
    parts = [
        _wrapped(f"{incident['id']}  {incident['subject']}  {state}"),
        *([_wrapped(f"  who          {incident['who']}")] if incident["who"] else []),
        _wrapped(f"  first sign   {moment(incident['first_sign_at'])}"),
        _wrapped(f"  opened       {moment(incident['opened_at'])}"),
        _wrapped(f"  {_end(incident):<11}  {moment(incident['stopped_at'], 'not yet')}"),
        _wrapped(f"  before that  {calls}, {spent}, as far as it is known"),
    ]
    for title, lines in (
        ("Evidence", _evidence(incident["evidence"])),
        ("What speaks against a theft", iter(incident["against"])),
        ("What was done", _deeds(incident)),
        ("What can be done", _ways(incident)),
    ):
        shown = [_wrapped(f"  {line}") for line in lines]
        if shown:
            parts += ["", title, *shown]
    return "\n".join(parts)


def _evidence(evidence: list[dict[str, Any]]) -> Iterator[str]:
    """By class, the strongest first."""
    for kind in sorted({each["class"] for each in evidence}):
        yield CLASSES.get(kind, kind)
        for each in evidence:
            if each["class"] == kind:
                request = f" ({each['request_id']})" if each["request_id"] else ""
                said = f"{each['detector']}: {each['reason']}{_odds(each['value'])}{request}"
                yield f"  {moment(each['at'])}  {said}"


def _odds(value: float | None) -> str:
    """How strongly it speaks for a theft, from the logarithm; "" where it is certain."""
    if value is None:
        return ""
    if value > log(ODDS_MAX):
        return f" (over {ODDS_MAX:,} to 1)"
    if value < -log(ODDS_MAX):
        return f" (1 to over {ODDS_MAX:,})"
    return f" ({_times(value)} to 1)" if value >= 0 else f" (1 to {_times(-value)})"


def _times(value: float) -> str:
    """One digit after the point where it makes a difference: 1.5, 4, 15, 2,000."""
    times = exp(value)
    return f"{times:.1f}".removesuffix(".0") if times < 9.95 else f"{times:,.0f}"


def _deeds(incident: dict[str, Any]) -> Iterator[str]:
    yield ", ".join(incident["actions"]) or "nothing"
    is_pace = PACE in incident["things"]
    for thing in incident["things"]:
        if thing == PACE:
            yield "slowed: strangers of this key"
        else:
            yield f"{'named, not barred' if is_pace else 'barred'}: {thing}"


def _end(incident: dict[str, Any]) -> str:
    return "slowed" if incident["actions"] == SLOW else "stopped"


def _ways(incident: dict[str, Any]) -> Iterator[str]:
    if incident["state"] == "false_alarm":
        yield "Nothing: it was undone."
    if incident["state"] in ("open", "confirmed"):
        if lasting(incident["actions"]):
            yield "It cannot be undone: what is revoked stays so."
        else:
            yield (
                f"A false alarm: tokenward incident undo {incident['id']}, and the same is allowed "
                "from then on"
            )
    if incident["state"] == "open":
        yield f"A theft: tokenward incident confirm {incident['id']}"
    if incident["state"] in ("open", "confirmed") and incident["actions"] == SLOW:
        yield _to_stop(incident["subject"].partition(":")[2])


def _wrapped(text: str) -> str:
    """Printable, in lines that are too long only where a name is: who copies one wants it whole."""
    line = printable(text)
    depth = len(line) - len(line.lstrip())
    return textwrap.fill(
        line,
        LINE_CHARS,
        subsequent_indent=" " * (depth + 2 if depth else 0),
        break_on_hyphens=False,
        break_long_words=False,
    )
