"""What people ask for may take long; calls go on meanwhile."""

import asyncio
import threading
from typing import Any

import pytest
from psycopg import AsyncConnection

from ledger_world import NOON_MS, ask, cap, taken
from postgres_world import Town
from tokenward.kernel.errors import StoreBusyError
from tokenward.ledger import audit, recount
from tokenward.store.postgres import statements


async def test_what_an_audit_adds_up_is_added_up_beside_the_loop(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred thousand caps at once on the loop would take longer than the lease."""
    store = await town.gateway()
    await store.ledger.set_cap(cap("key:k1", "0/day", limit=100))
    taken(await store.ledger.hold(ask(5)))
    threads: dict[str, set[int]] = {}
    for kind, names in ((audit.Auditor, ("__init__", "see", "conclude")),
                        (recount.Recount, ("__init__", "feed", "wrong"))):  # fmt: skip
        for name in names:
            _watch(monkeypatch, kind, name, threads)
    assert await store.books.audit() == []
    assert await store.books.reconcile(NOON_MS) == 0
    assert sorted(threads) == [
        "Auditor.__init__", "Auditor.conclude", "Auditor.see",
        "Recount.__init__", "Recount.feed", "Recount.wrong",
    ]  # fmt: skip
    assert threading.get_ident() not in set.union(*threads.values())


def _watch(
    monkeypatch: pytest.MonkeyPatch, kind: type, name: str, threads: dict[str, set[int]]
) -> None:
    real: Any = getattr(kind, name)

    def watched(*args: Any) -> Any:
        threads.setdefault(f"{kind.__name__}.{name}", set()).add(threading.get_ident())
        return real(*args)

    monkeypatch.setattr(kind, name, watched)


async def test_rows_come_a_few_at_a_time(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statements, "PAGE_ROWS", 3)
    store = await town.gateway()
    for number in range(10):
        await store.ledger.set_cap(cap(f"key:k{number}", "0/day", limit=100))
        taken(await store.ledger.hold(ask(5, key=f"k{number}")))
    assert await store.books.audit() == []
    town.ask("UPDATE counters SET held = 6")
    assert len(await store.books.audit()) == 10
    assert await store.books.reconcile(NOON_MS) == 10
    assert await store.books.audit() == []


async def test_a_long_read_may_think_between_two_questions(town: Town) -> None:
    """The server ends whoever is silent in a transaction, to free what it has locked."""
    store = await town.gateway()

    async def limits(connection: AsyncConnection[Any]) -> list[object]:
        names = ("statement_timeout", "idle_in_transaction_session_timeout")
        asked = [await connection.execute("SELECT current_setting(%s)", (name,)) for name in names]
        return [row[0] for cursor in asked for row in await cursor.fetchall()]

    assert await store.database.read(limits, limit_s=123.0) == ["123s", "123s"]
    assert await store.database.read(limits) != ["123s", "123s"]


async def test_all_entries_are_counted_once_at_a_time(town: Town) -> None:
    """Two audits would take both turns that long reads have, and no list would find one."""
    store = await town.gateway()
    first = asyncio.create_task(store.books.audit())
    await asyncio.sleep(0)
    for again in (store.books.audit(), store.books.reconcile(NOON_MS)):
        with pytest.raises(StoreBusyError, match="counted already"):
            await again
    assert await first == []
    assert await store.books.audit() == []
