"""`tokenward credit`: prepaid money."""

from argparse import Namespace
from typing import Any

from tokenward.cli.desk import Desk
from tokenward.cli.parser import UsageError, Verbs, add_verbs
from tokenward.kernel.money import format_usd
from tokenward.kernel.names import check_name


def add(verbs: Verbs) -> None:
    """The verb's own verbs."""
    inner = add_verbs(verbs.add("credit", "add prepaid credit to an account"))
    give = inner.add(
        "add",
        "add prepaid credit",
        "The first credit makes the account prepaid: it can then spend what it was given.",
    )
    give.add_argument("name", metavar="ACCOUNT")
    give.add_argument("amount", metavar="AMOUNT", help="dollars, like 50.00")
    give.add_argument("--why", metavar="TEXT", default="", help="kept with the entry")
    give.set_defaults(run=_add)


def _add(args: Namespace, desk: Desk) -> None:
    try:
        name = check_name(args.name, "an account")
    except ValueError as error:
        raise UsageError(f"{error}") from None
    body = {"amount": args.amount, "why": args.why}
    desk.tell(desk.ask("POST", f"/accounts/{name}/credit", body), _added)


def _added(credit: dict[str, Any]) -> str:
    total = format_usd(credit["credit_nusd"])
    return f"Account {credit['account']} was given {total} of credit in all."
