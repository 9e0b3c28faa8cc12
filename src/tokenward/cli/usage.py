"""`tokenward usage`: what was spent."""

from argparse import Namespace
from typing import Any

from tokenward.cli.desk import Desk
from tokenward.cli.parser import Verbs
from tokenward.cli.screen import moment, plural, table
from tokenward.kernel.money import format_usd

GROUPS = ("key", "project", "account", "model", "day")


def add(verbs: Verbs) -> None:
    """The verb."""
    usage = verbs.add(
        "usage",
        "what was spent",
        "Times are RFC 3339 like 2026-03-01T00:00:00Z, or 24h and 7d for that long ago.",
    )
    usage.add_argument("--by", choices=GROUPS, default="", help="one row for each")
    usage.add_argument("--since", metavar="T", default="30d", help="default 30d")
    usage.add_argument("--until", metavar="T", default="", help="default now")
    usage.set_defaults(run=_usage)


def _usage(args: Namespace, desk: Desk) -> None:
    query = {"by": args.by, "since": args.since, "until": args.until}
    desk.tell(desk.ask("GET", "/usage", query=query), lambda usage: _screen(usage, args.by))


def _screen(usage: dict[str, Any], by: str) -> str:
    span = f"from {moment(usage['since'])} to {moment(usage['until'])}"
    if not usage["calls"]:
        return f"Nothing was spent {span}."
    total = (
        f"{format_usd(usage['cost_nusd'])} in {plural(usage['calls'], 'call')}, "
        f"{usage['input_tokens']:,} tokens in and {usage['output_tokens']:,} out, {span}"
    )
    if usage["estimates"]:
        total += (
            f"\n{plural(usage['estimates'], 'call is', 'calls are')} charged at the "
            "upper bound, because the real cost is not known; which: tokenward records"
        )
    if not usage["rows"]:
        return total
    rows = [
        (
            row["by"],
            format_usd(row["cost_nusd"]),
            f"{row['calls']:,}",
            f"{row['input_tokens']:,}",
            f"{row['output_tokens']:,}",
            f"{row['estimates']:,}",
        )
        for row in usage["rows"]
    ]
    heads = (by.upper(), ">COST", ">CALLS", ">TOKENS IN", ">TOKENS OUT", ">ESTIMATED")
    return f"{table(heads, rows)}\n\n{total}"
