"""The layout of the tables: brought forward step by step, also by several gateways at once.

The rule for steps: one only adds, so that gateways of the version before go on working beside it,
and a rolling upgrade needs no pause. A step that cannot keep it says so in its first line
(`-- needs: N`, the oldest layout whose code works with it); code that is older then refuses.
"""

from importlib import resources
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import AsyncConnection

from tokenward.kernel.errors import StoreError
from tokenward.store.postgres.faults import as_fault
from tokenward.store.postgres.line import Line

LAYOUT_LOCK: Final = 0x746F6B02
STEP_LIMIT_S: Final = 600.0
_LOCK: Final = f"SELECT pg_advisory_lock({LAYOUT_LOCK})"
_PACKAGE: Final = "tokenward.store.postgres"
_NEEDS: Final = "-- needs:"
_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS layout "
    "(one boolean PRIMARY KEY DEFAULT true CHECK (one), number bigint NOT NULL, "
    "needs bigint NOT NULL)"
)


class Step(NamedTuple):
    """A numbered step. `needs`: the oldest layout whose code works with it."""

    number: int
    needs: int
    script: str


def steps() -> list[Step]:
    """Every step this code knows, in order."""
    found = []
    folder = resources.files(_PACKAGE).joinpath("migrations")
    for file in sorted(folder.iterdir(), key=lambda each: each.name):
        if file.name.endswith(".sql"):
            script = file.read_text("utf-8")
            first = script.partition("\n")[0]
            assert first.startswith(_NEEDS), "a step says which layout it needs"
            found.append(Step(int(file.name[:4]), int(first.removeprefix(_NEEDS)), script))
    return found


LAYOUT: Final = steps()[-1].number
"""The newest layout this code knows."""


async def bring_forward(url: str, known: list[Step] | None = None) -> None:
    """Make the tables, or bring them forward. Raises `StoreError`, also if a newer tokenward
    made a layout that this one cannot work with."""
    line = await Line.open(url, "layout", STEP_LIMIT_S)
    try:
        await _bring_forward(line.connection, known or steps())
    except (psycopg.Error, OSError) as error:
        raise as_fault(error, "be brought to this version's layout") from error
    finally:
        line.close()


async def _bring_forward(connection: AsyncConnection[Any], known: list[Step]) -> None:
    # Of the session, not of a transaction: one at a time, and each step commits for itself.
    await connection.execute(_LOCK)
    await connection.execute(_TABLE)
    cursor = await connection.execute("SELECT number, needs FROM layout")
    number, needs = await cursor.fetchone() or (0, 0)
    newest = known[-1].number
    if needs > newest:
        raise StoreError(
            f"the database was laid out by a newer tokenward (layout {number}, which needs at "
            f"least {needs}; this one knows up to {newest}); update tokenward"
        )
    for step in known:
        if step.number > number:
            async with connection.transaction():
                await connection.execute(step.script)
                await connection.execute(
                    "INSERT INTO layout (number, needs) VALUES (%s, %s) ON CONFLICT (one) "
                    "DO UPDATE SET number = excluded.number, needs = excluded.needs",
                    (step.number, step.needs),
                )
