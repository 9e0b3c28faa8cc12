"""`tokenward doctor`: is everything as it should be? Works with and without a running guard."""

import os
from argparse import Namespace
from collections.abc import Iterator
from typing import Any

from tokenward.cli.desk import CommandError, Desk
from tokenward.cli.examine import check_credentials, examine
from tokenward.cli.parser import Verbs
from tokenward.cli.screen import plural
from tokenward.http.admin.office import Check
from tokenward.kernel.errors import Fault, SettingsError

AUDIT_WAIT_S = 3600.0


def add(verbs: Verbs) -> None:
    """The verb."""
    doctor = verbs.add("doctor", "check settings, secrets, clock, disk, prices, keys and ledger")
    doctor.add_argument(
        "--audit", action="store_true", help="prove the ledger and its hash chain, entry by entry"
    )
    doctor.set_defaults(run=_doctor)


def _doctor(args: Namespace, desk: Desk) -> int:
    checks = list(_checks(args, desk))
    value = {"ok": all(check.ok for check in checks), "checks": checks}
    desk.tell(value, _screen)
    return 0 if value["ok"] else 1


def _checks(args: Namespace, desk: Desk) -> Iterator[Check]:
    """Nothing after the settings can be looked at when they cannot be read."""
    try:
        settings = desk.settings()
    except (CommandError, SettingsError) as error:
        yield Check(name="settings", ok=False, why=f"{error}")
        return
    yield Check(name="settings", ok=True, why=f"{desk.config} is understood")
    yield from examine(settings, desk.environ)
    try:
        status = desk.ask("GET", "/status")
        found = desk.ask("GET", "/doctor", query={"audit": args.audit}, wait_s=AUDIT_WAIT_S)
    except (CommandError, Fault) as error:
        yield Check(name="records", ok=False, why=f"{error}")
        return
    if status["pid"] == os.getpid():
        yield check_credentials(settings, desk.environ)
        yield Check(name="guard", ok=True, why="none is running; looked from here")
    else:
        running = plural(status["running_calls"], "call")
        yield Check(name="guard", ok=True, why=f"running as {status['pid']}, with {running}")
    for check in found["checks"]:
        yield Check(**check)


def _screen(value: dict[str, Any]) -> str:
    width = max(len(check.name) for check in value["checks"])
    lines = [
        f"{'ok  ' if check.ok else 'BAD '} {check.name:<{width}}   {check.why}"
        for check in value["checks"]
    ]
    wrong = sum(not check.ok for check in value["checks"])
    lines += ["", f"{wrong} to put right." if wrong else "All is well."]
    return "\n".join(lines)
