"""`tokenward doctor`: is everything as it should be? Works with and without a running guard."""

import os
from argparse import Namespace
from typing import Any, Final

from tokenward.cli.desk import CommandError, Desk
from tokenward.cli.examine import SHOWN_MAX, Modes, check_credentials, check_policy, examine
from tokenward.cli.parser import UsageError, Verbs
from tokenward.cli.screen import plural
from tokenward.http.admin.incidents import LIST_MAX
from tokenward.http.admin.office import Check
from tokenward.kernel.errors import Fault, SettingsError
from tokenward.ledger.statement import parse_head

AUDIT_WAIT_S = 3600.0
PROJECTS_MAX: Final = 50
"""Each is a question of its own."""


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
        checks.append(check_policy(settings.policy, None))
        return [*checks, Check(name="records", ok=False, why=f"{error}")], None
    checks.append(check_policy(settings.policy, Modes(status["mode"], status["project_modes"])))
    if status["pid"] == os.getpid():
        checks.append(check_credentials(settings, desk.environ))
        checks.append(Check(name="guard", ok=True, why="none is running; looked from here"))
    else:
        running = plural(status["running_calls"], "call")
        why = f"running as {status['pid']}, with {running}"
        checks.append(Check(name="guard", ok=True, why=why))
    checks += [Check(**check) for check in found["checks"]]
    if settings.policy.project:
        checks.append(_projects(sorted(settings.policy.project), desk))
    checks.append(_incidents(desk))
    return checks, found["head"]


def _projects(names: list[str], desk: Desk) -> Check:
    """Never fails: a project's rules may be there before its first key; or its name is mistyped."""
    asked = names[:PROJECTS_MAX]
    empty = [repr(name) for name in asked if not _has_key(name, desk)]
    if empty:
        more = f" and {len(empty) - SHOWN_MAX} more" if len(empty) > SHOWN_MAX else ""
        why = (
            f"no key belongs to {'project' if len(empty) == 1 else 'projects'} "
            f"{', '.join(empty[:SHOWN_MAX])}{more}: what [policy.project] says waits for a first "
            "one; if another project was meant: tokenward key list"
        )
    elif len(asked) < len(names):
        why = f"the first {len(asked)} of the {len(names):,} in [policy.project] have keys"
    else:
        why = "all that are named in [policy.project] have keys"
    return Check(name="projects", ok=True, why=why)


def _has_key(project: str, desk: Desk) -> bool:
    """A project comes into being with its first key."""
    try:
        desk.ask("GET", f"/projects/{project}")
    except CommandError as error:
        if error.code != "project:unknown":
            raise
        return False
    return True


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
