"""`tokenward cap`: hard limits."""

from argparse import Namespace
from operator import itemgetter
from typing import Any

from tokenward.cli.desk import CommandError, Desk
from tokenward.cli.parser import UsageError, Verbs, add_verbs
from tokenward.cli.screen import moment, plural, table
from tokenward.http.admin.targets import subject_named
from tokenward.ledger.cap_text import format_amount, parse_cap
from tokenward.ledger.records import Unit, Window

_SUBJECT = "account:A, project:P or key:ID"


def add(verbs: Verbs) -> None:
    """The verb's own verbs."""
    inner = add_verbs(verbs.add("cap", "set, remove and list caps: hard limits on spending"))
    put = inner.add(
        "set",
        "set a cap, or change the limit of the one that counts the same",
        "Windows: minute hour day week month total. Units: 20.00/day counts dollars,\n"
        "1000tok/day tokens and 500req/day requests.",
    )
    put.add_argument("subject", metavar="SUBJECT", help=_SUBJECT)
    put.add_argument("cap", metavar="CAP", help="like 20.00/day, 1000tok/day or 500req/day")
    put.add_argument("--model", metavar="GLOB", default="", help="count only these models")
    put.add_argument("--zone", metavar="ZONE", default="", help="time zone of its windows")
    put.add_argument(
        "--throttle", action="store_true", help="let calls over it wait a while for room"
    )
    put.set_defaults(run=_set)
    drop = inner.add("remove", "remove a cap")
    drop.add_argument("subject", metavar="SUBJECT", help=_SUBJECT)
    drop.add_argument("cap", metavar="CAP", nargs="?", help="as it was set; its number is ignored")
    drop.add_argument("--window", choices=[window.value for window in Window])
    drop.add_argument("--unit", choices=[unit.value for unit in Unit], default=Unit.NUSD.value)
    drop.add_argument("--model", metavar="GLOB", default="", help="the cap's model pattern")
    drop.set_defaults(run=_remove)
    listing = inner.add("list", "list caps and where they stand, prepaid credit included")
    listing.add_argument("subject", metavar="SUBJECT", nargs="?", default="", help=_SUBJECT)
    listing.set_defaults(run=_list)
    inner.add("reconcile", "rebuild every counter from the ledger's entries").set_defaults(
        run=_reconcile
    )


def _set(args: Namespace, desk: Desk) -> None:
    body = {
        "subject": _subject(args.subject),
        "cap": args.cap,
        "model": args.model,
        "zone": args.zone,
        "throttle": args.throttle,
    }
    desk.tell(desk.ask("PUT", "/caps", body), lambda cap: caps_table([cap]))
    if not desk.as_json:
        _warn_of_nobody(body["subject"], desk)


def _warn_of_nobody(subject: str, desk: Desk) -> None:
    """A project comes with its first key and may be capped before; or its name is mistyped."""
    kind, _, name = subject.partition(":")
    if kind != "project":
        return
    try:
        desk.ask("GET", f"/projects/{name}")
    except CommandError as error:
        if error.code != "project:unknown":
            raise
        desk.note(
            f"No key is of project {name} yet: the cap waits for its first one. If you meant "
            "another project: tokenward key list"
        )


def _remove(args: Namespace, desk: Desk) -> None:
    window, unit = args.window, args.unit
    if args.cap is not None:
        try:
            parsed = parse_cap(args.cap)
        except ValueError as error:
            raise UsageError(f"{error}") from None
        window, unit = parsed.window.value, parsed.unit.value
    if window is None:
        raise UsageError("say which cap: as it was set, like 20.00/day, or --window day")
    subject = _subject(args.subject)
    query = {"subject": subject, "window": window, "unit": unit, "model": args.model}
    done = desk.ask("DELETE", "/caps", query=query)
    if not done["removed"]:
        raise CommandError(
            f"{subject} has no such cap. Its caps: tokenward cap list {subject}", "cap:unknown"
        )
    desk.tell(done, lambda _: f"Removed. {subject} is no longer held to it.")


def _list(args: Namespace, desk: Desk) -> None:
    query = {"subject": _subject(args.subject) if args.subject else ""}
    caps = desk.ask("GET", "/caps", query=query)
    desk.tell(sorted(caps, key=itemgetter("subject")), _listed)


def _listed(caps: list[dict[str, Any]]) -> str:
    if not caps:
        return "No caps yet. Set one: tokenward cap set account:default 20.00/day"
    return caps_table(caps)


def caps_table(caps: list[dict[str, Any]]) -> str:
    """Caps and where they stand."""
    rows = [
        (
            cap["subject"] + (f" on {cap['model']}" if cap["model"] else ""),
            f"{_amount(cap, 'limit')}/{cap['window']}",
            _amount(cap, "spent"),
            _amount(cap, "held"),
            moment(cap["resets_at"], "never"),
        )
        for cap in caps
    ]
    return table(("SUBJECT", ">CAP", ">SPENT", ">HELD", "RESETS"), rows)


def _amount(cap: dict[str, Any], name: str) -> str:
    return format_amount(cap[name], Unit(cap["unit"]))


def _reconcile(args: Namespace, desk: Desk) -> None:
    desk.tell(desk.ask("POST", "/caps/reconcile", {}, wait_s=600), _reconciled)


def _reconciled(done: dict[str, Any]) -> str:
    wrong = done["corrected"]
    if not wrong:
        return "Every counter equals the sum of its entries; nothing to correct."
    return f"{plural(wrong, 'counter was', 'counters were')} wrong and now equal their entries."


def _subject(text: str) -> str:
    try:
        return subject_named(text)
    except ValueError as error:
        raise UsageError(f"{error}") from None
