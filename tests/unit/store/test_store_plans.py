"""Nothing that runs on the path of a call reads a whole table, and no page of a list does."""

import re

import pytest

from tokenward.store.sqlite import (
    SqliteStore,
    book,
    books,
    cap_desk,
    counters,
    journal,
    keys,
    ledger,
    open_holds,
)

BIG = re.compile(r"SCAN (entries|records|counters|events|keys|caps|accounts|idempotency)\b")
ASKED_BY_PEOPLE = {"_SUM", "_COLUMNS", "_USAGE", "_SPENT"}
STATEMENTS = {
    f"{module.__name__.rpartition('.')[2]}.{name}": statement
    for module in (book, books, cap_desk, counters, journal, keys, ledger, open_holds)
    for name, statement in vars(module).items()
    if name.startswith("_")
    and name not in ASKED_BY_PEOPLE
    and isinstance(statement, str)
    and statement.startswith(("SELECT", "UPDATE", "DELETE"))
}


@pytest.mark.parametrize("name", STATEMENTS)
async def test_a_statement_finds_its_rows_by_an_index(store: SqliteStore, name: str) -> None:
    statement = STATEMENTS[name]
    named = set(re.findall(r":(\w+)", re.sub(r"'[^']*'", "", statement)))
    numbered = [int(number) for number in re.findall(r"\?(\d)", statement)]
    values = dict.fromkeys(named, 1) if named else [1] * max([statement.count("?"), *numbered])
    if numbered:
        values = [1] * max(numbered)
    plan = store.database.connection.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()
    # A scan that starts from an ordered end and takes one row is no scan.
    scans = [step[3] for step in plan if BIG.search(step[3]) and "LIMIT 1" not in statement]
    assert scans == []
