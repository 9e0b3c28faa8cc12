"""`tokenward account`: who pays."""

from argparse import Namespace
from typing import Any

from tokenward.cli.desk import Desk
from tokenward.cli.parser import Verbs, add_verbs
from tokenward.cli.screen import moment, table
from tokenward.kernel.money import format_usd


def add(verbs: Verbs) -> None:
    """The verb's own verbs."""
    inner = add_verbs(verbs.add("account", "create and list accounts: who pays"))
    create = inner.add("create", "create an account")
    create.add_argument("name", metavar="NAME", help="letters, digits and . _ -")
    create.set_defaults(run=_create)
    inner.add("list", "list accounts and their prepaid credit").set_defaults(run=_list)


def _create(args: Namespace, desk: Desk) -> None:
    desk.tell(desk.ask("POST", "/accounts", {"name": args.name}), _created)


def _created(account: dict[str, Any]) -> str:
    name = account["name"]
    return (
        f"Account {name} is there, without a limit yet. Give it one:\n"
        f"  tokenward cap set account:{name} 100.00/month\n"
        f"  tokenward credit add {name} 50.00"
    )


def _list(args: Namespace, desk: Desk) -> None:
    desk.tell(desk.ask("GET", "/accounts"), _listed)


def _listed(accounts: list[dict[str, Any]]) -> str:
    if not accounts:
        return "No accounts yet; `default` comes with the first key: tokenward key create"
    rows = [
        (
            account["name"],
            "not prepaid" if account["credit_nusd"] is None else format_usd(account["credit_nusd"]),
            moment(account["created_at"]),
        )
        for account in accounts
    ]
    return table(("ACCOUNT", ">CREDIT GIVEN", "CREATED"), rows)
