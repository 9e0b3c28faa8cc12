"""`tokenward key`: a key's life."""

import re
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any, Final

from tokenward.cli.cap import caps_table
from tokenward.cli.desk import CommandError, Desk
from tokenward.cli.parser import UsageError, Verbs, add_verbs
from tokenward.cli.screen import clean, facts, moment, plural, printable, table
from tokenward.http.admin.targets import key_named
from tokenward.kernel.incidents import PACE
from tokenward.keys.caveats import parse_duration_ms

_FROZE: Final = re.compile(r"incident (inc_[0-9A-Za-z]{12}):")


def add(verbs: Verbs) -> None:
    """The verb's own verbs."""
    inner = add_verbs(verbs.add("key", "create, list, freeze, revoke and rotate keys"))
    _add_create(inner)
    inner.add("list", "list keys").set_defaults(run=_list)
    _add_id(inner.add("show", "show one key")).set_defaults(run=_show)
    for name, summary, run in (
        ("freeze", "stop a key until it is unfrozen; running calls are cut", _freeze),
        ("revoke", "stop a key for ever; running calls are cut", _revoke),
    ):
        stop = _add_id(inner.add(name, summary))
        stop.add_argument("--why", metavar="TEXT", default="", help="shown with the key")
        stop.set_defaults(run=run)
    _add_id(inner.add("unfreeze", "let a frozen key work again")).set_defaults(run=_unfreeze)
    rotate = _add_id(
        inner.add(
            "rotate",
            "give a key a new secret",
            "The key keeps its id, caps and history. Without --grace the old secret dies at once.",
        )
    )
    rotate.add_argument("--grace", metavar="TIME", default="0s", help="like 1h; default 0s")
    rotate.set_defaults(run=_rotate)
    enrol = _add_id(
        inner.add(
            "enrol",
            "give a key to another holder, or bind one that was not",
            "The key keeps its id, caps and history and gets a new secret; whoever held it before\n"
            "is out at once. Prints a code, good once and for an hour, for the new holder.",
        )
    )
    enrol.add_argument("--bind", metavar="HOW", default="", help="dpop, dpop+body or mtls")
    enrol.set_defaults(run=_enrol)


def _add_create(inner: Verbs) -> None:
    create = inner.add(
        "create",
        "create a key and show it once",
        "With --bind dpop only its holder can use the key: whoever copies it has nothing. A key\n"
        "that is bound to nobody gets keys.bearer_cap unless --cap says another, or none.",
    )
    create.add_argument("--project", metavar="P", required=True, help="what it is for")
    create.add_argument("--account", metavar="A", default="", help="who pays; default: default")
    create.add_argument("--name", metavar="N", default="")
    create.add_argument(
        "--cap",
        metavar="CAP",
        action="append",
        default=[],
        help="like 5.00/day or 1000tok/hour; none: without one of its own",
    )
    create.add_argument("--expires", metavar="TIME", help="like 30d; default: never")
    for flag, sign, words in (
        (
            "--model",
            "GLOB",
            (
                "only these models, like gpt-5-*; a name without a pattern is also never held as "
                "a dearer one"
            ),
        ),
        ("--route", "GLOB", "only these routes, like /v1/chat/*"),
        ("--cidr", "C", "only from these networks, like 10.0.0.0/8"),
    ):
        create.add_argument(flag, metavar=sign, action="append", default=[], help=words)
    create.add_argument(
        "--bind",
        metavar="HOW",
        default="none",
        help="none (whoever has the key can use it), dpop, dpop+body or mtls",
    )
    create.add_argument(
        "--thumbprint", metavar="T", default="", help="of its holder; without it, a code to enrol"
    )
    create.add_argument(
        "--certificate",
        metavar="FILE",
        default="",
        help="of its holder (PEM), for --bind mtls, in place of --thumbprint",
    )
    create.add_argument("--max-call", metavar="AMOUNT", help="dollars one call may cost, like 0.50")
    for flag, words in (
        ("--rpm", "requests a minute"),
        ("--tpm", "tokens a minute"),
        ("--concurrency", "calls at once"),
    ):
        create.add_argument(flag, metavar="N", type=int, help=words)
    create.set_defaults(run=_create)


def _add_id(parser: ArgumentParser) -> ArgumentParser:
    parser.add_argument("id", metavar="ID", help="its id, tw_sk_<id>…, or the whole key")
    return parser


def _create(args: Namespace, desk: Desk) -> None:
    body = {
        "project": args.project,
        "account": args.account,
        "name": args.name,
        "models": args.model,
        "routes": args.route,
        "cidrs": args.cidr,
        "expires": args.expires,
        "caps": args.cap,
        "max_call": args.max_call,
        "rpm": args.rpm,
        "tpm": args.tpm,
        "concurrency": args.concurrency,
        "bind": args.bind,
        "thumbprint": _certificate_holder(args) or args.thumbprint,
    }
    made = desk.ask("POST", "/keys", body)
    desk.tell(made, _created)
    if not made["caps"] and not desk.as_json:
        desk.note(_without_cap(made, desk))


def _certificate_holder(args: Namespace) -> str:
    """The thumbprint of the certificate in the file, "" if none is named."""
    if not args.certificate:
        return ""
    if args.bind != "mtls":
        raise UsageError("a certificate holds keys with --bind mtls")
    if args.thumbprint:
        raise UsageError("a key has one holder: --certificate or --thumbprint")
    from tokenward.cli.certificate_file import holder_thumbprint

    return holder_thumbprint(Path(args.certificate))


def _without_cap(key: dict[str, Any], desk: Desk) -> str:
    """What it means that a key has no cap of its own. Caps on some models leave the others open."""
    owners = (f"project:{key['project']}", f"account:{key['account']}")
    caps = [cap for owner in owners for cap in desk.ask("GET", "/caps", query={"subject": owner})]
    shared = {cap["subject"] for cap in caps if not cap["model"]}
    if shared:
        held = " and ".join(owner for owner in owners if owner in shared)
        return (
            f"It has no cap of its own and shares what {held} may spend. "
            f"Give it one: tokenward cap set key:{key['id']} 5.00/day"
        )
    who = "Whoever gets hold of it" if key["bind"] == "none" else "Its holder"
    return (
        f"Warning: no cap applies to this key. {who} can spend without limit. "
        f"Set one now: tokenward cap set key:{key['id']} 5.00/day, or one for all keys of its "
        f"project: tokenward cap set {owners[0]} 20.00/day"
    )


def _created(key: dict[str, Any]) -> str:
    end = f", until {moment(key['expires_at'])}" if key["expires_at"] else ""
    this = f"This is key {key['id']} of project {key['project']} (account {key['account']}){end}."
    if key["enrolment_code"]:
        lines = [
            key["enrolment_code"],
            "",
            this,
            f"Until {moment(key['enrolment_until'])} its holder can enrol with this code, once:",
            "  curl --cert FILE --key FILE --data code=CODE URL/oauth/enrolment"
            if key["bind"] == "mtls"
            else "  tokenward agent --guard URL --enrol CODE",
            "The key itself travels with the enrolment; programs that sign by themselves need it:",
            f"  {key['key']}",
        ]
    else:
        lines = [key["key"], "", this, "It is shown only now: keep it where secrets are kept."]
        lines += [_held_by(key)]
    if key["caps"]:
        lines += ["", caps_table(key["caps"])]
    return "\n".join(lines)


def _held_by(key: dict[str, Any]) -> str:
    if key["bind"] == "none":
        return (
            "It is a bearer key: whoever copies it can spend with it. Bind it to its holder: "
            f"tokenward key enrol {key['id']}"
        )
    return f"It is bound ({key['bind']}) to the holder of {key['holder']}."


def _list(args: Namespace, desk: Desk) -> None:
    desk.tell(desk.ask("GET", "/keys"), _listed)


def _listed(keys: list[dict[str, Any]]) -> str:
    if not keys:
        return "No keys yet. Create one: tokenward key create --project demo --cap 5.00/day"
    rows = [
        (
            key["id"],
            _state(key),
            "bearer" if key["bind"] == "none" else key["bind"],
            key["project"],
            key["account"],
            key["name"] or "-",
            moment(key["last_used_at"], "never"),
            moment(key["expires_at"], "-"),
        )
        for key in keys
    ]
    return table(
        ("ID", "STATE", "BIND", "PROJECT", "ACCOUNT", "NAME", "LAST USED", "EXPIRES"), rows
    )


def _state(key: dict[str, Any]) -> str:
    paced = sum(bar["thing"] == PACE for bar in key["barred"])
    barred = len(key["barred"]) - paced
    said = [key["state"], f"{barred} barred" if barred else "", "strangers slowed" if paced else ""]
    return ", ".join(filter(None, said))


def _show(args: Namespace, desk: Desk) -> None:
    desk.tell(desk.ask("GET", _path(args)), _shown)


def _shown(key: dict[str, Any]) -> str:
    rows = [(name, _cells(name, each)) for name, each in key.items() if each not in ("", None, [])]
    width = max(len(name) for name, _ in rows)
    return "\n".join(
        f"{name.replace('_', ' ') if number == 0 else '':<{width}}   {cell}"
        for name, cells in rows
        for number, cell in enumerate(cells)
    )


def _cells(name: str, value: Any) -> list[str]:
    """One line each. Things that were barred are told whole: who undoes one wants to know which."""
    if name == "caveats":
        return [facts(value) or "none"]
    if name == "cleared":
        return [printable(thing) for thing in value]
    if name == "barred":
        return [printable(f"{_barred(bar['thing'])} ({bar['incident']})") for bar in value]
    return [moment(value) if name.endswith("_at") else clean(f"{value}")]


def _barred(thing: str) -> str:
    return "slowed: strangers of this key" if thing == PACE else thing


def _freeze(args: Namespace, desk: Desk) -> None:
    desk.tell(desk.ask("POST", _path(args, "/freeze"), {"why": args.why}), _frozen)


def _frozen(key: dict[str, Any]) -> str:
    return f"{_stopped(key)} Undo: tokenward key unfreeze {key['id']}"


def _revoke(args: Namespace, desk: Desk) -> None:
    desk.tell(desk.ask("POST", _path(args, "/revoke"), {"why": args.why}), _stopped)


def _stopped(key: dict[str, Any]) -> str:
    cut = f" {plural(key['calls_cut'], 'running call was', 'running calls were')} cut."
    return f"Key {key['id']} is {key['state']}.{cut if key['calls_cut'] else ''}"


def _unfreeze(args: Namespace, desk: Desk) -> None:
    before = {} if desk.as_json else desk.ask("GET", _path(args))
    key = desk.ask("POST", _path(args, "/unfreeze"), {})
    still = "" if desk.as_json else _still_open(before["frozen_why"], desk)
    desk.tell(key, lambda shown: f"Key {shown['id']} is {shown['state']}.{still}")


def _still_open(frozen_why: str, desk: Desk) -> str:
    """That the incident which froze a key was not judged by unfreezing it."""
    named = _FROZE.match(frozen_why)
    if named is None:
        return ""
    incident = named[1]
    try:
        if desk.ask("GET", f"/incidents/{incident}")["state"] != "open":
            return ""
    except CommandError:  # whoever froze it by hand may have said anything
        return ""
    return f" Incident {incident} is still open: tokenward incident undo {incident}, or confirm"


def _rotate(args: Namespace, desk: Desk) -> None:
    made = desk.ask("POST", _path(args, "/rotate"), {"grace": args.grace})
    desk.tell(made, _created)
    ending = (
        "no longer works" if parse_duration_ms(args.grace) == 0 else f"works for {args.grace} more"
    )
    desk.note(f"The old secret {ending}.")
    if made["holder"]:
        desk.note(
            "An agent or program that enrolled knows the old one. Enrol it anew instead: "
            f"tokenward key enrol {made['id']}"
        )


def _enrol(args: Namespace, desk: Desk) -> None:
    desk.tell(desk.ask("POST", _path(args, "/enrol"), {"bind": args.bind}), _created)


def _path(args: Namespace, action: str = "") -> str:
    """Only ids travel: a whole key that was pasted in a hurry never stands in a path."""
    try:
        return f"/keys/{key_named(args.id)}{action}"
    except ValueError as error:
        raise UsageError(f"{error}") from None
