"""A store of every earlier layout, with data in it, goes on where it stopped.

There is no old program to write old data: today's writes it, and what the old layout had room for
is copied into tables that the old steps made.
"""

import sqlite3
from contextlib import closing
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any, Final

import pytest

from engines import AnyStore, PostgresEngine, SqliteEngine
from ledger_world import (
    NOON_MS,
    MovingClock,
    ask,
    cap,
    charge,
    kept,
    key_record,
    open_sqlite,
    refused,
    taken,
)
from tokenward.kernel.events import Record
from tokenward.kernel.incidents import Evidence, Incident
from tokenward.keys.families import Family, end
from tokenward.keys.records import Bar, Caveats, Enrolment
from tokenward.store.postgres.layout import Step, bring_forward, steps
from tokenward.store.sqlite.folder import FILE_NAME

SCRIPTS: Final = sorted(
    (each.name, each.read_text("utf-8"))
    for each in resources.files("tokenward.store.sqlite").joinpath("migrations").iterdir()
    if each.name.endswith(".sql")
)
HOLDERS_FROM: Final = 2
FAMILIES_FROM: Final = 3
ACCUSATIONS_FROM: Final = 3
"""PostgreSQL's; the one of SQLite is the newest."""
PLAIN = key_record("plain", caveats=Caveats(models=("gpt-*",), rpm=3), expires_ms=NOON_MS * 2)
BOUND = key_record(
    "bound",
    holder="h" * 43,
    enrolment=Enrolment(digest=b"\x00\xff" * 16, until_ms=NOON_MS, sealed=b"\xff\x00"),
)
FAMILY = Family(
    id="f" * 12, key_id="bound", kind="dpop", thumbprint="t" * 43, got_by="holder", scope="",
    number=0, created_ms=NOON_MS, used_ms=NOON_MS, ends_ms=NOON_MS * 2,
)  # fmt: skip
STOLEN = replace(FAMILY, id="s" * 12)
THEFT = Incident(
    id="inc_1", subject="key:bound", opened_ms=NOON_MS, first_sign_ms=NOON_MS,
    actions=("family revoked",),
    evidence=(Evidence(kind="E1", detector="refresh", reason="used twice", at_ms=NOON_MS),),
)  # fmt: skip


async def live(
    store: AnyStore,
    *,
    has_holders: bool = True,
    has_families: bool = True,
    has_accusations: bool = False,
) -> None:
    """A bit of everything that this layout had room for."""
    await store.keys.add(PLAIN)
    gone = replace(PLAIN, state="revoked", revoked_why="leaked")
    await store.keys.add(replace(PLAIN, id="gone"))
    assert await store.keys.replace(
        replace(PLAIN, id="gone"), replace(gone, id="gone"), "key:revoked", "leaked"
    )
    if has_holders:
        await store.keys.add(BOUND)
    if has_families:
        await store.grants.add(FAMILY)
        await store.grants.add(STOLEN)
        assert await store.grants.end(STOLEN, end(STOLEN, "refresh:reused", NOON_MS), THEFT)
    if has_accusations:
        assert await store.keys.accuse("bound", _accused(2), ("origin:o", "model:m"), freeze=True)
        await store.pasts.fold({"bound": b"a past"})
    for text in ("0/day", "9req/hour", "1000tok/total"):
        await store.ledger.set_cap(cap("key:plain", text, limit=100))
    await store.ledger.add_credit("a1", 10_000, NOON_MS, "first")
    for number in range(3):
        wish = ask(10, key="plain", request_id=f"r{number}", idempotency=f"once {number}")
        hold = taken(await store.ledger.hold(wish))
        await store.ledger.settle(hold, charge(7), NOON_MS)
    await store.ledger.void(taken(await store.ledger.hold(ask(1, key="plain"))), "test", NOON_MS)
    taken(await store.ledger.hold(ask(20, key="plain", request_id="left open")))
    store.records.write_record(Record(ts=NOON_MS, request_id="r0", key="plain"))
    await kept(store, 1)


async def seen(store: AnyStore) -> dict[str, Any]:
    """Everything people can see of the books."""
    return {
        "keys": await store.keys.page(),
        "caps": [(s.cap, s.spent) for s in await store.ledger.caps(NOON_MS)],
        "accounts": await store.books.accounts(),
        "usage": await store.books.usage("key", 0, NOON_MS * 2),
        "events": await store.books.events(0, 100),
        "records": await store.records.recent("", 0, 100),
        "incidents": await store.incidents.recent(100),
    }


async def go_on(store: AnyStore, before: dict[str, Any], *, has_families: bool = True) -> None:
    """All is there, provably right, and can be worked with."""
    orphan = [e for _, e in await store.books.events(0, 100) if e.kind == "hold:expired"]
    assert [event.facts["cost_nusd"] for event in orphan] == [20], "the hold that was left open"
    after = await seen(store)
    before_events = [event for _, event in before["events"]]
    assert [e for _, e in after["events"]][: len(before_events)] == before_events
    for name in ("keys", "accounts", "records", "incidents"):
        assert after[name] == before[name]
    assert [one for one, _ in after["caps"]] == [one for one, _ in before["caps"]]
    (usage,) = after["usage"]
    assert (usage.cost_nusd, usage.calls) == (41, 4)
    assert await store.books.audit() == []
    repeated = ask(10, key="plain", idempotency="once 1")
    assert refused(await store.ledger.hold(repeated)).code == "idempotency:spent"
    assert refused(await store.ledger.hold(ask(70, key="plain"))).code == "cap:reached"
    hold = taken(await store.ledger.hold(ask(50, key="plain")))
    await store.ledger.settle(hold, charge(50), NOON_MS)
    found = await store.keys.find("gone")
    assert found is not None
    assert found.state == "revoked"
    renamed = replace(PLAIN, holder="k" * 43)
    assert await store.keys.replace(PLAIN, renamed, "key:enrolled", "")
    await store.grants.add(replace(FAMILY, id="g" * 12, key_id="plain"))
    if has_families:
        assert await store.grants.find(FAMILY.id) == FAMILY
    await accuse_on(store)
    assert await store.books.reconcile(NOON_MS) == 0
    assert await store.books.audit() == []


async def accuse_on(store: AnyStore) -> None:
    """What there was no room for before can be kept now."""
    assert await store.keys.accuse("plain", _accused(3, "plain"), ("origin:p",), freeze=False)
    plain = await store.keys.find("plain")
    assert plain is not None
    assert plain.barred == (Bar("origin:p", "inc_3"),)
    told = await store.incidents.find("inc_3")
    assert told is not None
    assert told.who == "curl from 192.0.2.7"
    assert (await store.keys.undo("inc_3", NOON_MS)).why_not == ""
    plain = await store.keys.find("plain")
    assert plain is not None
    assert (plain.barred, plain.cleared) == ((), ("origin:p",))
    assert await store.pasts.fold({"plain": b"a past"}) == {"plain": b"a past"}


def _accused(number: int, key: str = "bound") -> Incident:
    return Incident(
        id=f"inc_{number}", subject=f"key:{key}", opened_ms=NOON_MS, first_sign_ms=NOON_MS,
        against=("it is new",), undo="say so", who="curl from 192.0.2.7",
    )  # fmt: skip


@pytest.mark.parametrize("layout", range(1, len(SCRIPTS)))
async def test_a_file_of_an_earlier_layout_goes_on(
    tmp_path: Path, clock: MovingClock, layout: int
) -> None:
    store = await open_sqlite(tmp_path / "today", clock)
    has_families = layout >= FAMILIES_FROM
    await live(store, has_holders=layout >= HOLDERS_FROM, has_families=has_families)
    before = await seen(store)
    await store.close()
    (tmp_path / "old").mkdir()
    _copy_into_old_layout(tmp_path / "today" / FILE_NAME, tmp_path / "old" / FILE_NAME, layout)
    store = await SqliteEngine(tmp_path / "old", clock).open()
    await go_on(store, before, has_families=has_families)
    await store.close()


def _copy_into_old_layout(today: Path, old: Path, layout: int) -> None:
    with closing(sqlite3.connect(old, isolation_level=None)) as connection:
        for _, script in SCRIPTS[:layout]:
            connection.executescript(script)
        connection.execute(f"PRAGMA user_version = {layout}")
        connection.execute("ATTACH ? AS today", (str(today),))
        tables = connection.execute(
            "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        )
        for (table,) in tables.fetchall():
            columns = connection.execute(f"SELECT name FROM pragma_table_info('{table}')")
            names = ", ".join(f'"{name}"' for (name,) in columns)
            connection.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM today.{table}")
        assert connection.execute("SELECT count(*) FROM entries").fetchone()[0] > 10


@pytest.mark.parametrize("engine", ["postgres"], indirect=True)
@pytest.mark.parametrize("layout", [step.number for step in steps()])
async def test_a_database_of_an_earlier_layout_goes_on(engine: PostgresEngine, layout: int) -> None:
    """The newest layout counts as the earlier one of a step that comes next."""
    server, all_steps = engine.server, steps()
    if layout == all_steps[-1].number:
        script = "-- needs: 1\nALTER TABLE keys ADD COLUMN colour text NOT NULL DEFAULT 'red'"
        all_steps.append(Step(layout + 1, 1, script))
    store = await engine.open()
    has_accusations = layout >= ACCUSATIONS_FROM
    await live(store, has_accusations=has_accusations)
    before = await seen(store)
    await store.close()
    today, engine.database = engine.database, server.create()
    await bring_forward(engine.url, all_steps[:layout])
    _copy_database(engine, today)
    server.drop(today)
    await bring_forward(engine.url, all_steps)
    store = await engine.open()
    await go_on(store, before)
    if has_accusations:
        assert await store.pasts.find("bound") == b"a past"
        assert (await store.keys.undo("inc_2", NOON_MS)).why_not == ""
    await store.close()
    server.drop(engine.database)
    engine.database = ""


def _copy_database(engine: PostgresEngine, today: str) -> None:
    """Table by table, of each the columns that the old layout has."""
    server, old = engine.server, engine.database
    tables = server.execute(
        "SELECT table_name, string_agg(quote_ident(column_name), ', ') "
        "FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'layout' "
        "GROUP BY table_name",
        old,
    )
    engine.tamper("DELETE FROM book")
    for table, names in tables:
        rows = server.execute(f"SELECT jsonb_agg(to_jsonb(t))::text FROM {table} AS t", today)
        if rows[0][0] is not None:
            text = rows[0][0].replace("'", "''")
            engine.tamper(
                f"INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE SELECT {names} "
                f"FROM jsonb_populate_recordset(NULL::{table}, '{text}')"
            )
    for name, last in server.execute(
        "SELECT sequencename, last_value FROM pg_sequences WHERE last_value IS NOT NULL", today
    ):
        server.execute(f"SELECT setval('{name}', {last})", old)
