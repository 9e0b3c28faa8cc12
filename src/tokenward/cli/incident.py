"""`tokenward incident`: what was stopped, and why."""

from argparse import Namespace
from typing import Any
from urllib.parse import quote

from tokenward.cli.desk import Desk
from tokenward.cli.parser import Verbs, add_verbs
from tokenward.cli.screen import clean, moment, table
from tokenward.kernel.money import format_usd


def add(verbs: Verbs) -> None:
    """The verb's own verbs."""
    inner = add_verbs(verbs.add("incident", "what was stopped, and why"))
    listing = inner.add("list", "list incidents, newest first")
    listing.add_argument("--limit", metavar="N", type=int, default=100, help="default 100")
    listing.set_defaults(run=_list)
    show = inner.add("show", "show one with its evidence")
    show.add_argument("id", metavar="ID", help="as in: tokenward incident list")
    show.set_defaults(run=_show)


def _list(args: Namespace, desk: Desk) -> None:
    desk.tell(desk.ask("GET", "/incidents", query={"limit": args.limit}), _table)


def _show(args: Namespace, desk: Desk) -> None:
    desk.tell(desk.ask("GET", f"/incidents/{quote(args.id, safe='') or '-'}"), _story)


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
    spent = format_usd(incident["cost_before_stop_nusd"])
    lines = [
        f"{incident['id']}  {incident['subject']}  {incident['state']}",
        f"  first sign  {moment(incident['first_sign_at'])}",
        f"  stopped     {moment(incident['stopped_at'], 'not yet')}",
        f"  done        {', '.join(incident['actions']) or 'nothing'}",
        f"  before that {incident['calls_before_stop']} calls, {spent}, as far as it is known",
        "  evidence",
    ]
    lines += [
        f"    {moment(each['at'])}  {each['class']}  {each['detector']}: {each['reason']}"
        f"  {each['request_id']}"
        for each in incident["evidence"]
    ]
    return "\n".join(clean(line) for line in lines)
