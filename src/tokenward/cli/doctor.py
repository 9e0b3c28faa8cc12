"""`tokenward doctor`: is everything as it should be? Works with and without a running guard."""

import os
from argparse import Namespace
from typing import Any

from tokenward.cli.desk import CommandError, Desk
from tokenward.cli.examine import check_credentials, examine
from tokenward.cli.parser import UsageError, Verbs
from tokenward.cli.screen import plural
from tokenward.http.admin.incidents import LIST_MAX
from tokenward.http.admin.office import Check
from tokenward.kernel.errors import Fault, SettingsError
from tokenward.ledger.statement import parse_head

AUDIT_WAIT_S = 3600.0


def add(verbs: Verbs) -> None:
    """The verb."""
    doctor = verbs.add("doctor", "check settings, secrets, clock, disk, prices, keys and ledger")
    doctor.add_argument(
        "--audit", action="store_true", help="prove the ledger and its hash chain, entry by entry"
    )
    doctor.add_argument(
        "--head",
        metavar="HEAD",
        default="",
        help="with --audit: a head that an earlier audit showed and you kept elsewhere",
    )
    doctor.set_defaults(run=_doctor)


def _doctor(args: Namespace, desk: Desk) -> int:
    if args.head:
        _check_head(args)
    checks, head = _look(args, desk)
    value: dict[str, Any] = {"ok": all(check.ok for check in checks), "checks": checks}
    if args.audit:
        value["head"] = head
    desk.tell(value, _screen)
    return 0 if value["ok"] else 1


def _check_head(args: Namespace) -> None:
    try:
        parse_head(args.head)
    except ValueError as error:
        raise UsageError(f"{error}") from None
    if not args.audit:
        raise UsageError("a head is held against the ledger by an audit: add --audit")


def _look(args: Namespace, desk: Desk) -> tuple[list[Check], str | None]:
    """Every check, and the ledger's head if an audit proved it. Nothing after the settings can be
    looked at when they cannot be read."""
    try:
        settings = desk.settings()
    except (CommandError, SettingsError) as error:
        return [Check(name="settings", ok=False, why=f"{error}")], None
    checks = [Check(name="settings", ok=True, why=f"{desk.config} is understood")]
    checks += examine(settings, desk.environ)
    try:
        status = desk.ask("GET", "/status")
        query = {"audit": args.audit, "head": args.head}
        found = desk.ask("GET", "/doctor", query=query, wait_s=AUDIT_WAIT_S)
    except (CommandError, Fault) as error:
        return [*checks, Check(name="records", ok=False, why=f"{error}")], None
    if status["pid"] == os.getpid():
        checks.append(check_credentials(settings, desk.environ))
        checks.append(Check(name="guard", ok=True, why="none is running; looked from here"))
    else:
        running = plural(status["running_calls"], "call")
        why = f"running as {status['pid']}, with {running}"
        checks.append(Check(name="guard", ok=True, why=why))
    checks += [Check(**check) for check in found["checks"]]
    checks.append(_incidents(desk))
    return checks, found["head"]


def _incidents(desk: Desk) -> Check:
    """Never fails: what nobody has judged yet is worth a look, and stays stopped meanwhile."""
    found = desk.ask("GET", "/incidents", query={"state": "open", "limit": LIST_MAX})
    if not found:
        return Check(name="incidents", ok=True, why="none is open")
    more = " or more" if len(found) == LIST_MAX else ""
    return Check(
        name="incidents",
        ok=True,
        why=f"{len(found):,}{more} open: tokenward incident list --state open",
    )


def _screen(value: dict[str, Any]) -> str:
    width = max(len(check.name) for check in value["checks"])
    lines = [
        f"{'ok  ' if check.ok else 'BAD '} {check.name:<{width}}   {check.why}"
        for check in value["checks"]
    ]
    wrong = sum(not check.ok for check in value["checks"])
    lines += ["", f"{wrong} to put right." if wrong else "All is well."]
    if value.get("head"):
        lines += [
            "",
            "Keep this head where nobody who can write the ledger can write, and prove with it:",
            f"  tokenward doctor --audit --head {value['head']}",
        ]
    return "\n".join(lines)
