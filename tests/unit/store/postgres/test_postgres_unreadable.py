"""A key's row that this version cannot read: that key is refused, and nothing else."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from ledger_world import ask, key_record, taken
from postgres_world import PATIENCE_S, Town, until
from tokenward.kernel.errors import StoreError
from tokenward.keys.records import KeyRecord
from tokenward.store.postgres.database import Database
from tokenward.store.postgres.store import PostgresStore

BAD, GOOD = key_record("bad"), key_record("good")
SPOIL = (
    """UPDATE keys SET caveats = '{"of_the_next_version": 1}' WHERE id = 'bad'""",
    """UPDATE keys SET old_secrets = 'by hand' WHERE id = 'bad'""",
    """UPDATE keys SET enrolment = '[]' WHERE id = 'bad'""",
)
MEND = (
    "UPDATE keys SET caveats = '{}', old_secrets = '[]', enrolment = '' WHERE id = 'bad'",
    "UPDATE keys SET state = 'live' WHERE id = 'bad'",
)
CHANGED = (
    "WITH book AS (UPDATE book SET change = change + 1 RETURNING change) "
    "INSERT INTO changes (number, what, name) SELECT change, 'key', 'bad' FROM book"
)
DROP_FEEDS = (
    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
    "WHERE application_name = 'tokenward feed' AND datname = current_database()"
)


class Listener:
    """Fulfils `Watcher`."""

    def __init__(self) -> None:
        self.keys: list[tuple[str, str]] = []

    def key_changed(self, record: KeyRecord) -> None:
        self.keys.append((record.id, record.state))

    def name_revoked(self, name: str) -> None:
        raise AssertionError(name)


@pytest.fixture
async def store(town: Town) -> PostgresStore:
    """A gateway that has nothing in memory, and two keys."""
    other, store = await town.gateway(), await town.gateway()
    for record in (BAD, GOOD):
        await other.keys.add(record)
    await other.close()
    return store


async def find(store: PostgresStore, key_id: str) -> KeyRecord | None:
    """The key; whoever waits for ever fails."""
    async with asyncio.timeout(PATIENCE_S):
        return await store.keys.find(key_id)


async def find_at_once(store: PostgresStore, *ids: str) -> list[Any]:
    """What each is told where all are asked for in one question."""
    first = asyncio.create_task(find(store, "first"))
    await asyncio.sleep(0)
    found = await asyncio.gather(*(find(store, each) for each in ids), return_exceptions=True)
    await first
    return found


@pytest.mark.parametrize("spoil", SPOIL, ids=["newer", "no JSON", "another shape"])
async def test_it_is_refused_and_the_others_that_are_asked_for_with_it_are_answered(
    town: Town, store: PostgresStore, spoil: str
) -> None:
    town.ask(spoil)
    bad, good, nobody = await find_at_once(store, "bad", "good", "nobody")
    assert isinstance(bad, StoreError)
    assert "the key bad cannot be read" in str(bad)
    assert (good, nobody) == (GOOD, None)
    with pytest.raises(StoreError, match="the key bad"):
        await store.keys.read("bad")
    town.ask(MEND[0])
    assert await find(store, "bad") == BAD


@pytest.mark.parametrize("how", ["heard", "compared"])
@pytest.mark.parametrize("state", ["live", "revoked"])
async def test_a_feed_goes_on_and_what_runs_on_it_ends(
    town: Town, store: PostgresStore, how: str, state: str
) -> None:
    assert [await find(store, each.id) for each in (BAD, GOOD)] == [BAD, GOOD]
    store.watch(listener := Listener())
    town.ask(SPOIL[0])
    town.ask(f"UPDATE keys SET state = '{state}' WHERE id = 'bad'")
    town.ask(CHANGED if how == "heard" else DROP_FEEDS)
    await until(lambda: listener.keys != [])
    assert listener.keys == [("bad", "revoked" if state == "revoked" else "frozen")]
    assert store.keys.cached("bad") is None, "so that who shows it is told why"
    with pytest.raises(StoreError, match="the key bad"):
        await find(store, "bad")
    town.clock.at_ms += 800
    await until(store.view.is_fresh)
    await until(lambda: store.why_not_ready == "")
    assert await find(store, "good") == GOOD
    taken(await store.ledger.hold(ask(5)))
    for mend in MEND:
        town.ask(mend)
    town.ask(CHANGED)
    assert await find(store, "bad") == BAD


async def test_whatever_goes_wrong_in_a_feed_it_refuses_and_tries_again(
    town: Town, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_in = store.feed._take_in
    times = 0

    def stumble(rows: list[tuple[Any, ...]]) -> bool:
        nonlocal times
        times += 1
        raise RuntimeError("our own bug")

    monkeypatch.setattr(store.feed, "_take_in", stumble)
    await until(lambda: times >= 3)
    town.clock.at_ms += 800
    assert not store.view.is_fresh()
    assert "our own bug" in store.why_not_ready
    monkeypatch.setattr(store.feed, "_take_in", take_in)
    await until(store.view.is_fresh)
    await until(lambda: store.why_not_ready == "")


@pytest.mark.parametrize("wrong", [RuntimeError("our own bug"), asyncio.CancelledError()])
async def test_whatever_goes_wrong_in_a_look_up_nobody_waits_for_ever(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch, wrong: BaseException
) -> None:
    fetch = Database.fetch
    may_fail = asyncio.Event()

    async def fail(_: Database, question: Any, values: Sequence[Any] | None = None) -> Any:
        await may_fail.wait()
        raise wrong

    monkeypatch.setattr(Database, "fetch", fail)
    asked = [asyncio.create_task(find(store, "good"))]
    await asyncio.sleep(0.01)
    asked.append(asyncio.create_task(find(store, "bad")))
    await asyncio.sleep(0.01)
    may_fail.set()
    told = await asyncio.gather(*asked, return_exceptions=True)
    expected = StoreError if isinstance(wrong, asyncio.CancelledError) else RuntimeError
    assert [type(each) for each in told] == [expected, expected]
    monkeypatch.setattr(Database, "fetch", fetch)
    assert await find(store, "good") == GOOD


async def test_lists_and_chores_say_which_key_cannot_be_read(
    town: Town, store: PostgresStore
) -> None:
    town.ask(SPOIL[0])
    town.ask("UPDATE keys SET expires_ms = 1772000000000")
    with pytest.raises(StoreError, match="the key bad cannot be read"):
        await store.keys.page()
    with pytest.raises(StoreError, match="the key bad cannot be read"):
        await store.keys.tell_ending(1772000000000 - 1000)
    with pytest.raises(StoreError, match="the key bad cannot be read"):
        await store.keys.replace(BAD, BAD, "key:changed", "")
    await store.keys.census(0, 1, 0)
