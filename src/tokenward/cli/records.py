"""`tokenward records`: one line a request."""

from argparse import Namespace
from typing import Any, Final

import msgspec

from tokenward.cli import records_would
from tokenward.cli.desk import Desk
from tokenward.cli.parser import UsageError, Verbs
from tokenward.cli.screen import moment, table
from tokenward.http.admin.targets import key_named
from tokenward.kernel.money import format_usd

SINCE: Final = "24h"
WOULD_SINCE: Final = "7d"
"""A verdict on the days between two looks at it, not on one of them."""
LIMIT: Final = 50


def add(verbs: Verbs) -> None:
    """The verb."""
    records = verbs.add("records", "requests and what became of them, newest first")
    records.add_argument("--key", metavar="ID", default="", help="only of this key")
    records.add_argument("--since", metavar="T", help="default 24h; with --would 7d")
    records.add_argument("--limit", metavar="N", type=int, help="default 50")
    records.add_argument(
        "--would",
        action="store_true",
        help="whose calls would have been stopped, and why, where evidence is only observed",
    )
    records.add_argument(
        "--otel", action="store_true", help="as JSON under OpenTelemetry's GenAI names"
    )
    records.set_defaults(run=_records)


def _records(args: Namespace, desk: Desk) -> None:
    try:
        key_id = key_named(args.key) if args.key else ""
    except ValueError as error:
        raise UsageError(f"{error}") from None
    if args.would:
        if args.otel or args.limit is not None:
            raise UsageError("--would counts all that it finds: leave out --limit and --otel")
        value = records_would.look(desk, key_id, args.since or WOULD_SINCE)
        desk.tell(value, records_would.show)
        return
    limit = LIMIT if args.limit is None else args.limit
    query = {"key": key_id, "since": args.since or SINCE, "limit": limit}
    if args.otel:
        query["otel"] = True
    screen = _lines if args.otel else _screen
    desk.tell(desk.ask("GET", "/records", query=query), screen)


def _lines(spans: list[dict[str, Any]]) -> str:
    return "\n".join(msgspec.json.encode(span).decode() for span in spans)


def _became(record: dict[str, Any]) -> str:
    became: str = record.get("refusal") or record.get("outcome") or "-"
    would = f", would {record['would']}" if record.get("would") else ""
    return f"{became}{', cost estimated' if record.get('is_estimate') else ''}{would}"


def _screen(records: list[dict[str, Any]]) -> str:
    if not records:
        return "No requests in this time; look further back with --since 7d."
    rows = [
        (
            moment(record["ts"]),
            record.get("key") or "-",
            record.get("model") or "-",
            str(record.get("status", "-")),
            format_usd(record.get("cost_nusd", 0)),
            f"{record.get('input_tokens', 0):,}",
            f"{record.get('output_tokens', 0):,}",
            _became(record),
        )
        for record in records
    ]
    heads = ("AT", "KEY", "MODEL", "STATUS", ">COST", ">IN", ">OUT", "WHAT BECAME OF IT")
    return table(heads, rows)
