"""The books can be proved, and whatever is changed behind them is found."""

import asyncio
import json
from pathlib import Path

import pytest

from engines import AnyStore, Engine, Opener
from ledger_world import NOON_MS, MovingClock, ask, cap, charge, key_record, standing, taken
from tokenward.ledger import recount
from tokenward.ledger.statement import Head
from tokenward.store.sqlite import audit_folder


async def some_history(store: AnyStore) -> None:
    await store.keys.add(key_record())
    await store.keys.add(key_record("k2"))
    await store.ledger.set_cap(cap("key:k1", "0/day", limit=1_000))
    await store.ledger.set_cap(cap("account:a1", "9req/day"))
    await store.ledger.add_credit("a1", 10_000, NOON_MS, "first")
    for key, cost in (("k1", 10), ("k2", 20), ("k1", 70)):
        hold = taken(await store.ledger.hold(ask(50, key=key)))
        await store.ledger.settle(hold, charge(cost), NOON_MS)
    await store.ledger.void(taken(await store.ledger.hold(ask(50))), "test", NOON_MS)
    taken(await store.ledger.hold(ask(30)))


CRIMES = {
    "an amount": ("UPDATE entries SET nusd = 1 WHERE seq = 11", {"chain", "counters"}),
    "a model": ("UPDATE entries SET model = 'x' WHERE seq = 11", {"chain", "holds"}),
    "a time": ("UPDATE entries SET ts = 0 WHERE seq = 11", {"chain"}),
    "a reason": ("UPDATE entries SET detail = '{{}}' WHERE kind = 'void'", {"chain"}),
    "a hash": ("UPDATE entries SET hash = {zeros} WHERE seq = 11", {"chain"}),
    "a middle entry": ("DELETE FROM entries WHERE seq = 11", {"chain", "counters", "holds"}),
    "the last entry": (
        "DELETE FROM entries WHERE seq = (SELECT max(seq) FROM entries)",
        {"chain", "counters", "holds"},
    ),
    "a counter": ("UPDATE counters SET spent = 0 WHERE spent = 80", {"counters"}),
    "what is held": (
        "UPDATE counters SET held = 0 WHERE cap LIKE 'cap:%' AND held > 1",
        {"counters"},
    ),
    "a lost counter": ("DELETE FROM counters WHERE spent = 80", {"counters"}),
    "an open hold": ("DELETE FROM holds", {"holds"}),
    "a limit": ('UPDATE caps SET "limit" = 5000 WHERE "limit" = 1000', {"counters"}),
    "a cap": ("DELETE FROM caps WHERE \"limit\" = 9", {"caps", "counters"}),
    "a cap that starts in a thousand years": (
        "UPDATE caps SET since_ms = 33333333333333 WHERE \"limit\" = 1000",
        {"counters"},
    ),
    "credit": ("UPDATE accounts SET credit_nusd = 99999", {"owners"}),
    "a key's project": ("UPDATE keys SET project = 'p9' WHERE id = 'k2'", {"owners"}),
    "a key's state": ("UPDATE keys SET state = 'frozen' WHERE id = 'k2'", {"owners"}),
    "a key from nowhere": (
        (
            "INSERT INTO keys (id, digest, account, project, name, state, caveats, created_ms, "
            "frozen_why, revoked_why, old_secrets) "
            "VALUES ('k3', {byte}, 'a1', 'p1', '', 'live', '{{}}', 0, '', '', '')"
        ),
        {"owners"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("crime", CRIMES)
async def test_whoever_changes_the_books_is_found(
    reopen: Opener, engine: Engine, crime: str
) -> None:
    store = await reopen()
    await some_history(store)
    assert await store.books.audit() == []
    statement, checks = CRIMES[crime]
    assert engine.tamper(statement.format(**engine.words)) == 1
    findings = await store.books.audit()
    assert {finding.check for finding in findings} == checks, findings


async def test_a_tail_cut_off_with_everything_that_betrays_it_is_found_by_a_head_kept_elsewhere(
    reopen: Opener, engine: Engine
) -> None:
    store = await reopen()
    await store.ledger.hold(ask(5))
    await store.books.create_account("x", NOON_MS)
    known = await store.books.head()
    assert engine.tamper("DELETE FROM entries WHERE kind = 'account_created'") == 1
    ((digest,),) = engine.ask("SELECT hash FROM entries WHERE seq = 1")
    engine.set_head(1, digest)
    assert await store.books.audit() == []
    (finding,) = await store.books.audit((known,))
    assert "gone" in finding.why
    assert await store.books.audit((Head(1, digest),)) == []
    (finding,) = await store.books.audit((Head(1, b"x" * 32),))
    assert "kept elsewhere" in finding.why


@pytest.mark.parametrize("statement", ["UPDATE entries SET nusd = 0", "DELETE FROM entries"])
async def test_entries_are_never_changed_not_even_by_our_own_hand(
    store: AnyStore, engine: Engine, statement: str
) -> None:
    """L7."""
    await store.ledger.hold(ask(5))
    with pytest.raises(engine.says_no, match="a correction is a new entry"):
        engine.ask(statement)


async def test_the_audit_runs_while_the_guard_writes(store: AnyStore, clock: MovingClock) -> None:
    await store.ledger.set_cap(cap("key:k1", "1.00/day"))

    async def caller() -> None:
        for _ in range(40):
            hold = taken(await store.ledger.hold(ask(50)))
            await store.ledger.settle(hold, charge(10), NOON_MS)

    callers = [asyncio.create_task(caller()) for _ in range(8)]
    audits = 0
    while not all(task.done() for task in callers):
        assert await store.books.audit() == []
        audits += 1
    await asyncio.gather(*callers)
    assert audits > 0
    assert (await standing(store, clock, "key:k1")).spent == 8 * 40 * 10


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_the_audit_of_a_folder_needs_no_guard(
    reopen: Opener, clock: MovingClock, tmp_path: Path
) -> None:
    store = await reopen()
    await some_history(store)
    folder = tmp_path / "data"
    assert audit_folder(folder, clock.at_ms) == []
    await store.close()
    assert audit_folder(folder, clock.at_ms) == []


@pytest.mark.req("F-3")
async def test_a_corrupted_counter_is_rebuilt_from_the_entries(
    reopen: Opener, engine: Engine, clock: MovingClock
) -> None:
    store = await reopen()
    await some_history(store)
    right = engine.ask("SELECT * FROM counters ORDER BY cap")
    assert await store.books.reconcile(NOON_MS) == 0
    engine.ask("UPDATE counters SET spent = 999, held = 3 WHERE spent = 80")
    engine.ask("DELETE FROM counters WHERE cap LIKE 'credit:%'")
    engine.ask(
        "INSERT INTO counters SELECT id, 0, 1, 7, 7, 7, 0 "
        "FROM caps WHERE \"window\" = 'day' LIMIT 1"
    )
    assert len(await store.books.audit()) == 3
    assert await store.books.reconcile(NOON_MS) == 3
    assert await store.books.audit() == []
    kept = engine.ask(
        "SELECT * FROM counters WHERE start_ms <> 0 OR resets_ms IS NULL ORDER BY cap"
    )
    assert kept == right
    status = await standing(store, clock, "key:k1")
    assert (status.spent, status.held) == (80, 30)
    taken(await store.ledger.hold(ask(890)))


@pytest.mark.req("F-3")
async def test_many_wrong_counters_are_corrected_a_few_at_a_time(
    store: AnyStore, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waits for the ledger waits for one piece."""
    monkeypatch.setattr(recount, "PIECE_MAX", 2)
    for number in range(5):
        await store.ledger.set_cap(cap(f"key:k{number}", "0/day", limit=100))
        await store.ledger.hold(ask(10, key=f"k{number}"))
    engine.ask("UPDATE counters SET held = 99")
    assert await store.books.reconcile(NOON_MS) == 5
    assert await store.books.audit() == []
    notes = engine.ask("SELECT detail FROM entries WHERE kind = 'reconciled' ORDER BY seq")
    assert [json.loads(detail)["counters"] for (detail,) in notes] == [2, 2, 1]


@pytest.mark.req("F-3")
@pytest.mark.parametrize("engine", ["sqlite", "postgres"], indirect=True)
async def test_what_is_written_while_it_counts_is_counted_before_others_wait_for_it(
    store: AnyStore, engine: Engine, clock: MovingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.ledger.set_cap(cap("key:k1", "1.00/day"))
    engine.ask("INSERT INTO counters SELECT id, 0, 1, 7, 7, 7, 0 FROM caps")
    catch_up = store.books._catch_up

    async def among_calls(miscount: recount.Miscount) -> None:
        for _ in range(20):
            hold = taken(await store.ledger.hold(ask(5)))
            await store.ledger.settle(hold, charge(5), NOON_MS)
        await catch_up(miscount)
        assert miscount.upto == (await store.books.head()).seq

    monkeypatch.setattr(store.books, "_catch_up", among_calls)
    assert await store.books.reconcile(NOON_MS) == 1
    monkeypatch.undo()
    assert (await standing(store, clock, "key:k1")).spent == 100
    assert await store.books.reconcile(NOON_MS) == 0


@pytest.mark.req("F-3")
async def test_rebuilding_in_the_middle_of_traffic_finds_nothing_wrong(store: AnyStore) -> None:
    await store.ledger.set_cap(cap("key:k1", "1.00/day"))
    is_done = False

    async def traffic() -> None:
        while not is_done:
            hold = taken(await store.ledger.hold(ask(1)))
            await store.ledger.settle(hold, charge(1), NOON_MS)

    callers = [asyncio.create_task(traffic()) for _ in range(3)]
    for _ in range(30):
        assert await store.books.reconcile(NOON_MS) == 0
    is_done = True
    await asyncio.gather(*callers)


async def test_accounts_come_into_being_once(store: AnyStore) -> None:
    assert await store.books.create_account("acme", NOON_MS)
    assert not await store.books.create_account("acme", NOON_MS)
    (account,) = await store.books.accounts()
    assert (account.name, account.created_ms, account.credit_nusd) == ("acme", NOON_MS, None)
