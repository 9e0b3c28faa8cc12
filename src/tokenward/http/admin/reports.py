"""What was spent, what happened, and how the guard is."""

from typing import Annotated, Any, Final, cast

import msgspec

import tokenward
from tokenward.http.admin.checks import (
    check_clock,
    check_keys,
    check_ledger,
    check_workloads,
    count_keys,
    prove_ledger,
)
from tokenward.http.admin.office import Office
from tokenward.http.admin.pages import SomeOf
from tokenward.http.admin.route import Ask, Nothing, Page
from tokenward.http.admin.shapes import DoctorShape, EventShape, StatusShape, UsageShape
from tokenward.http.admin.targets import key_named
from tokenward.http.admin.times import parse_moment_ms
from tokenward.kernel.conventions import gen_ai_attributes
from tokenward.kernel.moments import rfc3339
from tokenward.ledger.present import show_usage
from tokenward.ledger.records import UsageRow
from tokenward.ledger.statement import parse_head

GROUPS: Final = ("key", "project", "account", "model", "day")
LIST_MAX: Final = 1000
_ROW: Final = "row:"
NUMBER_MAX: Final = 2**63 - 1
"""Of an event, as the records can hold it."""


class Span(SomeOf):
    """What was spent in [since, until): times as RFC 3339, or `24h` and `7d` for ago.

    `by`: key, project, account, model or day; without it there are totals and no rows. Totals are
    of the whole time, also on a page of the rows; `after` is as the link to the page says it.
    """

    by: str = ""
    since: str = "30d"
    until: str = ""


class After(Ask):
    """Events with numbers above `after`, oldest first, `limit` (at most 1000) of them."""

    after: Annotated[int, msgspec.Meta(ge=0, le=NUMBER_MAX)] = 0
    limit: int = 100


class Recent(Ask):
    """Records since then, newest first, of one key or of all; `limit` at most 1000."""

    key: str = ""
    since: str = "24h"
    limit: int = 100
    otel: bool = False


class Look(Ask):
    """Whether the doctor also proves the ledger, which reads every entry. `head`: one that an
    earlier audit told and somebody kept elsewhere; it must still be in the chain."""

    audit: bool = False
    head: str = ""


async def usage(office: Office, ask: Span) -> Page[UsageShape]:
    """What was spent, in all and by what was asked for."""
    now_ms = office.clock.now_ms()
    since_ms = parse_moment_ms(ask.since, now_ms)
    until_ms = parse_moment_ms(ask.until, now_ms) if ask.until else now_ms + 1
    if ask.by and ask.by not in GROUPS:
        raise ValueError(f"cannot group by {ask.by[:20]!r}; choose from {', '.join(GROUPS)}")
    after = _last_row(ask.after) if ask.after else None
    rows: list[UsageRow] = []
    if ask.by:
        rows = await office.books.usage(ask.by, since_ms, until_ms, after, ask.limit)
    goes_on = len(rows) == ask.limit
    is_all = ask.by and after is None and not goes_on
    total = None if is_all else await office.books.spent(since_ms, until_ms)
    shown = cast(UsageShape, show_usage(rows, since_ms, until_ms, total))
    if not goes_on:
        return Page(shown, None)
    span = {"since": shown["since"], "until": shown["until"]}  # the same for every page
    return Page(shown, msgspec.structs.replace(ask, **span, after=_ROW + rows[-1].by))


async def events(office: Office, ask: After) -> list[EventShape]:
    """Caps that filled, overruns, keys that changed: what there is to hear of."""
    return [
        {
            "number": number,
            "at": rfc3339(event.ts),
            "kind": event.kind,
            "subject": event.subject,
            "facts": event.facts,
        }
        for number, event in await office.books.events(ask.after, _limit(ask.limit))
    ]


async def records(office: Office, ask: Recent) -> list[dict[str, Any]]:
    """One record a request; never prompts or answers. With `otel`, under the names of
    OpenTelemetry's GenAI conventions."""
    since_ms = parse_moment_ms(ask.since, office.clock.now_ms())
    key_id = key_named(ask.key) if ask.key else ""
    found = await office.records.recent(key_id, since_ms, _limit(ask.limit))
    if ask.otel:
        return [
            {"time": rfc3339(record.ts), "attributes": gen_ai_attributes(record)}
            for record in found
        ]
    return [{**msgspec.to_builtins(record), "ts": rfc3339(record.ts)} for record in found]


async def doctor(office: Office, ask: Look) -> DoctorShape:
    """What the guard finds when it looks at itself. `head` is null unless an audit proved it."""
    kept = parse_head(ask.head) if ask.head else None
    if kept is not None and not ask.audit:
        raise ValueError("a head is held against the ledger by an audit: ask with audit=true")
    census = await count_keys(office)
    checks = [
        *await office.check(),
        check_clock(office, census),
        check_keys(census),
        *await check_workloads(office),
    ]
    head = None
    if ask.audit:
        ledger, head = await prove_ledger(office, kept)
    else:
        ledger = await check_ledger(office)
    checks.append(ledger)
    return {
        "ok": all(check.ok for check in checks),
        "checks": checks,
        "head": None if head is None else str(head),
    }


async def status(office: Office, ask: Nothing) -> StatusShape:
    """Who answers here."""
    return {
        "version": tokenward.__version__,
        "pid": office.pid,
        "now": rfc3339(office.clock.now_ms()),
        "zone": office.zone,
        "running_calls": office.running.count(),
        "mode": office.mode,
        "project_modes": {**office.project_modes},
    }


def _last_row(text: str) -> str:
    """The name of the row that was seen last: it may be empty, where a call names no model."""
    if not text.startswith(_ROW) or "\0" in text:
        raise ValueError("after is not what the link to a page of rows says")
    return text.removeprefix(_ROW)


def _limit(limit: int) -> int:
    if not 1 <= limit <= LIST_MAX:
        raise ValueError(f"limit must be between 1 and {LIST_MAX}")
    return limit
