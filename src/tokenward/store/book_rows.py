"""What people and the audit read of the books, the same in every engine."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from tokenward.kernel.events import Event
from tokenward.ledger.records import Account, Project, UsageRow
from tokenward.ledger.statement import Head, Stated, StatedCounter, StatedKey
from tokenward.store.cap_rows import CAP_COLUMNS, read_cap

LIST_MAX: Final = 10_000
USAGE_BY: Final = ("key", "project", "account", "model", "day")
ACCOUNT_COLUMNS: Final = "SELECT name, created_ms, credit_nusd FROM accounts "
PROJECT_COLUMNS: Final = "SELECT name, account, created_ms FROM projects "
LAST_EVENT: Final = "SELECT coalesce(max(number), 0) FROM events"
CAPS: Final = CAP_COLUMNS + "ORDER BY id"
COUNTERS: Final = "SELECT cap, start_ms, spent, held, running FROM counters"
CLAIMS: Final = (
    "SELECT id FROM holds",
    CAPS,
    COUNTERS,
    "SELECT id, project, account, state FROM keys",
    "SELECT name, account FROM projects",
    "SELECT name, credit_nusd FROM accounts WHERE credit_nusd IS NOT NULL",
)
"""All that a store says beside its entries, but for the head."""
_facts: Final = msgspec.json.Decoder(dict[str, str | int | None])


def check_by(by: str) -> None:
    """ValueError if usage cannot be told by that."""
    if by not in USAGE_BY:
        raise ValueError(f"usage is by {', '.join(USAGE_BY)}")


def read_account(row: tuple[Any, ...]) -> Account:
    """The account that `ACCOUNT_COLUMNS` say."""
    return Account(name=row[0], created_ms=row[1], credit_nusd=row[2])


def read_project(row: tuple[Any, ...]) -> Project:
    """The project that `PROJECT_COLUMNS` say."""
    return Project(name=row[0], account=row[1], created_ms=row[2])


def read_usage(row: tuple[Any, ...]) -> UsageRow:
    """What was used: by what, cost, calls, tokens of input, output and cache, estimates."""
    return UsageRow(
        by=row[0],
        cost_nusd=row[1],
        calls=row[2],
        input_tokens=row[3],
        output_tokens=row[4],
        cached_tokens=row[5],
        estimates=row[6],
    )


def read_event(row: tuple[Any, ...]) -> tuple[int, Event]:
    """An event and its number, from number, moment, kind, subject and facts."""
    return row[0], Event(ts=row[1], kind=row[2], subject=row[3], facts=_facts.decode(row[4]))


def stated(
    now_ms: int, head: Head, known: Sequence[Head], answers: Sequence[Sequence[tuple[Any, ...]]]
) -> Stated:
    """What the store says; `answers` are the rows of each of `CLAIMS`."""
    holds, caps, counters, keys, projects, credits_nusd = answers
    return Stated(
        now_ms=now_ms,
        head=head,
        open_holds=frozenset(row[0] for row in holds),
        caps=[read_cap(row) for row in caps],
        counters=[StatedCounter(*row) for row in counters],
        keys={row[0]: StatedKey(*row[1:]) for row in keys},
        projects=dict(projects),
        credits_nusd=dict(credits_nusd),
        known=known,
    )
