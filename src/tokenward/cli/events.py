"""`tokenward events`: what there is to hear of."""

from argparse import Namespace
from typing import Any

from tokenward.cli.desk import Desk
from tokenward.cli.parser import Verbs
from tokenward.cli.screen import facts, moment, table


def add(verbs: Verbs) -> None:
    """The verb."""
    events = verbs.add("events", "caps that filled, overruns, keys that changed")
    events.add_argument("--after", metavar="N", type=int, default=0, help="above this number")
    events.add_argument("--limit", metavar="N", type=int, default=100, help="default 100")
    events.set_defaults(run=_events)


def _events(args: Namespace, desk: Desk) -> None:
    query = {"after": args.after, "limit": args.limit}
    desk.tell(desk.ask("GET", "/events", query=query), _screen)


def _screen(events: list[dict[str, Any]]) -> str:
    if not events:
        return "No events; they come when a cap fills, a cost runs over or a key changes."
    rows = [
        (
            str(event["number"]),
            moment(event["at"]),
            event["kind"],
            event["subject"],
            facts(event["facts"]),
        )
        for event in events
    ]
    return table((">NUMBER", "AT", "KIND", "SUBJECT", "FACTS"), rows)
