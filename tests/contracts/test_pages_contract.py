"""Long lists come in pages: each row once, whatever changes meanwhile, and never more at a time."""

from dataclasses import replace

import pytest

import crowds
from engines import AnyStore, Engine, Opener
from ledger_world import DAY_MS, NOON_MS, ask, cap, charge, key_record, taken
from tokenward.kernel.pages import BEGINNING
from tokenward.keys.listing import every_key
from tokenward.keys.records import Caveats, Census, Some

CROWD = 2_300
PAGE = 300


async def crowded(reopen: Opener, engine: Engine) -> AnyStore:
    store = await reopen()
    await store.keys.add(key_record("first", created_ms=NOON_MS))
    engine.ask(crowds.keys(CROWD, engine.words["byte"]))
    return store


async def test_each_key_comes_once_while_keys_are_created_and_revoked(
    reopen: Opener, engine: Engine
) -> None:
    store = await crowded(reopen, engine)
    listed, after, is_last, made = [], BEGINNING, False, 0
    while not is_last:
        page = await store.keys.page(after, PAGE)
        assert len(page) <= PAGE
        is_last, after = len(page) < PAGE, page[-1].seen
        listed += [record.id for record in page]
        for at_ms in (1, NOON_MS + made):
            await store.keys.add(key_record(f"new{made}", created_ms=at_ms))
            made += 1
        for number in (len(listed) - PAGE, len(listed) + 1):  # one seen before, one still to come
            key = await store.keys.find(crowds.names(CROWD)[number % CROWD])
            assert key is not None
            revoked = replace(key, state="revoked")
            assert await store.keys.replace(key, revoked, "key:revoked", "a test")
    assert len(set(listed)) == len(listed)
    assert [each for each in listed if not each.startswith("new")] == [
        *crowds.names(CROWD), "first",
    ]  # fmt: skip
    assert made > 2 * CROWD / PAGE


async def test_all_pages_are_every_key(reopen: Opener, engine: Engine) -> None:
    store = await crowded(reopen, engine)
    found = [record.id async for record in every_key(store.keys)]
    assert found == [*crowds.names(CROWD), "first"]
    assert await store.keys.page((NOON_MS, "first")) == []


async def test_keys_are_counted_by_what_people_must_know_of_them(store: AnyStore) -> None:
    dpop = Caveats(bind="dpop")
    for name, changes in {
        "bearer": {},
        "held": {"caveats": dpop, "holder": "h" * 43},
        "waits": {"caveats": dpop, "created_ms": NOON_MS + 1},
        "waits_for_long": {"caveats": dpop, "created_ms": NOON_MS - 100 * DAY_MS},
        "used": {"created_ms": NOON_MS - 100 * DAY_MS, "last_used_ms": NOON_MS - DAY_MS},
        "ends": {"expires_ms": NOON_MS + DAY_MS},
        "ended": {"expires_ms": NOON_MS},
        "ends_late": {"expires_ms": NOON_MS + 9 * DAY_MS},
        "frozen": {"state": "frozen"},
        "revoked": {"state": "revoked", "created_ms": 5, "caveats": dpop},
    }.items():
        await store.keys.add(key_record(name, **changes))
    counted = await store.keys.census(NOON_MS, NOON_MS + 7 * DAY_MS, NOON_MS - 90 * DAY_MS)
    assert counted == Census(
        count=10,
        live=7,
        bearers=4,
        latest_ms=NOON_MS + 1,
        ending=Some(count=1, ids=("ends",)),
        waiting=Some(count=2, ids=("waits_for_long", "waits")),
        unused=Some(count=1, ids=("waits_for_long",)),
    )
    for number in range(6):
        await store.keys.add(key_record(f"e{number}", expires_ms=NOON_MS + 1))
    ending = (await store.keys.census(NOON_MS, NOON_MS + 2, 0)).ending
    assert (ending.count, ending.ids) == (6, ("e0", "e1", "e2", "e3", "e4"))


async def test_nothing_is_counted_where_there_is_nothing(store: AnyStore) -> None:
    none = Census(
        count=0, live=0, bearers=0, latest_ms=0, ending=Some(), waiting=Some(), unused=Some()
    )
    assert await store.keys.census(NOON_MS, NOON_MS, NOON_MS) == none
    assert await store.keys.page() == []
    assert await store.ledger.caps(NOON_MS) == []
    assert await store.books.accounts() == []
    nothing = await store.books.spent(0, NOON_MS)
    assert (nothing.by, nothing.cost_nusd, nothing.calls) == ("", 0, 0)


async def test_caps_come_in_pages_and_the_last_one_seen_may_be_removed_meanwhile(
    reopen: Opener, engine: Engine
) -> None:
    store = await crowded(reopen, engine)
    engine.ask(crowds.caps(CROWD))
    await store.ledger.set_cap(cap("key:first", "0/day", limit=100))
    await store.ledger.set_cap(cap("key:first", "9req/hour"))
    hold = taken(await store.ledger.hold(ask(7, key="first", request_id="r1")))
    await store.ledger.settle(hold, charge(7), NOON_MS)
    seen, after, is_last = [], BEGINNING, False
    while not is_last:
        page = await store.ledger.caps(NOON_MS, "", after, PAGE)
        assert len(page) <= PAGE
        seen += page
        is_last, after = len(page) < PAGE, page[-1].cap.seen
        if not is_last:
            assert await store.ledger.remove_cap(page[-1].cap.subject, "", "day", "nusd")
    subjects = [status.cap.subject for status in seen]
    crowd = [f"key:{name}" for name in crowds.names(CROWD)]
    assert subjects == [*crowd, "key:first", "key:first"]
    assert [status.spent for status in seen[-2:]] == [7, 1]
    first, second = await store.ledger.caps(NOON_MS, "key:first")
    assert [first, second] == seen[-2:]
    assert await store.ledger.caps(NOON_MS, "key:first", first.cap.seen) == [second]


async def test_accounts_and_projects_are_found_by_name_and_accounts_come_in_pages(
    reopen: Opener, engine: Engine
) -> None:
    store = await crowded(reopen, engine)
    engine.ask(crowds.accounts(CROWD))
    first = await store.books.accounts(limit=PAGE)
    second = await store.books.accounts(first[-1].seen, PAGE)
    assert [each.name for each in [*first, *second]] == crowds.names(2 * PAGE)
    assert [each.name for each in await store.books.accounts((NOON_MS - 1, ""))] == ["a1"]
    assert await store.books.find_account(first[3].name) == first[3]
    project = await store.books.find_project("p1")
    assert project is not None
    assert (project.name, project.account, project.created_ms) == ("p1", "a1", NOON_MS)
    for nobody in ("p2", "", "\0", "ключ"):
        assert await store.books.find_account(nobody) is None
        assert await store.books.find_project(nobody) is None


@pytest.mark.parametrize("by", ["key", "model"])
async def test_usage_comes_in_pages_and_its_sum_at_once(
    reopen: Opener, engine: Engine, by: str
) -> None:
    store = await crowded(reopen, engine)
    engine.ask(crowds.entries(CROWD, engine.words["byte"]))
    span = NOON_MS, NOON_MS + 1
    rows, is_last = [], False
    while not is_last:
        page = await store.books.usage(by, *span, rows[-1].by if rows else None, PAGE)
        assert len(page) <= PAGE
        is_last = len(page) < PAGE
        rows += page
    assert [row.by for row in rows] == sorted({row.by for row in rows})
    assert len(rows) == CROWD
    total = await store.books.spent(*span)
    assert (total.by, total.calls, total.cost_nusd) == ("", CROWD, 3 * CROWD)
    assert sum(row.cost_nusd for row in rows) == total.cost_nusd
