"""Nothing on the path of a call reads a whole big table, whatever the server knows of its size."""

import re

import psycopg
import pytest

from postgres_world import Town
from tokenward.store.postgres import batch_book, batches, facts, writing
from tokenward.store.postgres.line import BY_INDEX

BIG = re.compile(r"Seq Scan on (entries|counters|keys|idempotency|caps|events)\b")
STATEMENTS = {
    f"{module.__name__.rpartition('.')[2]}.{name}": statement
    for module in (batch_book, batches, facts, writing)
    for name, statement in vars(module).items()
    if isinstance(statement, str)
    and statement.startswith(("SELECT", "UPDATE", "DELETE"))
    and "%s" in statement
}


@pytest.mark.parametrize("name", STATEMENTS)
async def test_a_statement_finds_its_rows_by_an_index(town: Town, name: str) -> None:
    settings = {**BY_INDEX, "plan_cache_mode": "force_generic_plan"}
    options = " ".join(f"-c {key}={value}" for key, value in settings.items())
    url = town.server.url(town.database)
    numbers = iter(range(1, 100))
    statement = re.sub("%s", lambda _: f"${next(numbers)}", STATEMENTS[name])
    with psycopg.connect(url, options=options, autocommit=True) as connection:
        connection.execute(f"PREPARE asked AS {statement}".encode())
        nothing = ", ".join(["NULL"] * STATEMENTS[name].count("%s"))
        plan = connection.execute(f"EXPLAIN EXECUTE asked({nothing})".encode()).fetchall()
    assert [line for (line,) in plan if BIG.search(line)] == []
