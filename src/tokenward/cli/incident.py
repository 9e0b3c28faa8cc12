"""`tokenward incident`: what was stopped, and why; and what a person says of it."""

import textwrap
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote

from tokenward.cli.desk import Desk
from tokenward.cli.parser import Verbs, add_verbs
from tokenward.cli.screen import moment, plural, table
from tokenward.kernel.incidents import FREEZE
from tokenward.kernel.money import format_usd
from tokenward.keys.accusation import lasting

LINE_CHARS: Final = 100
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


def add(verbs: Verbs) -> None:
    """The verb's own verbs."""
    inner = add_verbs(verbs.add("incident", "what was stopped, and why"))
    listing = inner.add("list", "list incidents, newest first")
    listing.add_argument("--limit", metavar="N", type=int, default=100, help="default 100")
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
    return f"/incidents/{quote(args.id, safe='') or '-'}{rest}"


def _list(args: Namespace, desk: Desk) -> None:
    desk.tell(desk.ask("GET", "/incidents", query={"limit": args.limit}), _table)


def _show(args: Namespace, desk: Desk) -> None:
    desk.tell(desk.ask("GET", _path(args)), _story)


def _undo(args: Namespace, desk: Desk) -> None:
    desk.tell(desk.ask("POST", _path(args, "/undo"), {}), _undone)


def _confirm(args: Namespace, desk: Desk) -> None:
    desk.tell(desk.ask("POST", _path(args, "/confirm"), {}), _confirmed)


def _undone(incident: dict[str, Any]) -> str:
    said = [f"Incident {incident['id']} is undone as a false alarm."]
    if FREEZE in incident["actions"]:
        said.append("If its key was still frozen by it, the key works again.")
    if incident["things"]:
        said.append(f"Cleared, and not barred again: {', '.join(incident['things'])}.")
    return _wrapped(" ".join(said))


def _confirmed(incident: dict[str, Any]) -> str:
    _, _, key = incident["subject"].partition(":")
    return _wrapped(
        f"Incident {incident['id']} is confirmed: what it stopped stays so. Whoever has the secret "
        f"still has it; a new one: tokenward key rotate {key}"
    )


def _table(incidents: list[dict[str, Any]]) -> str:
    if not incidents:
        return "No incidents; one is opened when something was stopped because of evidence."
    rows = [
        (
            incident["id"],
            moment(incident["opened_at"]),
            incident["subject"],
            incident["state"],
            ", ".join(incident["actions"]),
            ", ".join(f"{each['class']} {each['reason']}" for each in incident["evidence"]),
        )
        for incident in incidents
    ]
    return table(("ID", "OPENED", "SUBJECT", "STATE", "DONE", "EVIDENCE"), rows)


def _story(incident: dict[str, Any]) -> str:
    """What happened, why that was taken for a theft, what speaks against it, what was done, and
    how to undo it."""
    spent = format_usd(incident["cost_before_stop_nusd"])
    calls = plural(incident["calls_before_stop"], "call")
    state = STATES.get(incident["state"], incident["state"])
    parts = [
        _wrapped(f"{incident['id']}  {incident['subject']}  {state}"),
        _wrapped(f"  first sign   {moment(incident['first_sign_at'])}"),
        _wrapped(f"  opened       {moment(incident['opened_at'])}"),
        _wrapped(f"  stopped      {moment(incident['stopped_at'], 'not yet')}"),
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
                said = f"{each['detector']}: {each['reason']}{request}"
                yield f"  {moment(each['at'])}  {said}"


def _deeds(incident: dict[str, Any]) -> Iterator[str]:
    yield ", ".join(incident["actions"]) or "nothing"
    for thing in incident["things"]:
        yield f"barred: {thing}"


def _ways(incident: dict[str, Any]) -> Iterator[str]:
    if incident["undo"]:
        yield incident["undo"]
    if incident["state"] in ("open", "confirmed"):
        if lasting(incident["actions"]):
            yield "It cannot be undone: what is revoked stays so."
        else:
            yield f"A false alarm: tokenward incident undo {incident['id']}"
    if incident["state"] == "open":
        yield f"A theft: tokenward incident confirm {incident['id']}"


def _wrapped(text: str) -> str:
    """Printable, in lines of which none is too long: what a thief sent must not steer a
    terminal."""
    line = "".join(sign if sign.isprintable() else "?" for sign in text)
    depth = len(line) - len(line.lstrip())
    return textwrap.fill(line, LINE_CHARS, subsequent_indent=" " * (depth + 2 if depth else 0))
