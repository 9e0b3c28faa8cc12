"""What one gateway changes every other one knows, or knows that it does not know."""

import asyncio
import time
from dataclasses import replace

import pytest

from ledger_world import NOON_MS, ask, key_record, taken
from postgres_world import PATIENCE_S, Town, Wire, until
from tokenward.keys.access_tokens import AccessToken
from tokenward.keys.records import KeyRecord
from tokenward.keys.scopes import Scope
from tokenward.machine import RealClock
from tokenward.store.postgres import changes
from tokenward.store.postgres.store import PostgresStore

TOKEN = AccessToken(
    key_id="k1", jti="j" * 20, kind="dpop", thumbprint="t" * 43, got_by="holder", scope=Scope(),
    issued_ms=NOON_MS, expires_ms=NOON_MS + 300_000,
)  # fmt: skip


WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


class Listener:
    """Fulfils `Watcher`."""

    def __init__(self) -> None:
        self.keys: list[tuple[str, str]] = []
        self.names: list[str] = []

    def key_changed(self, record: KeyRecord) -> None:
        self.keys.append((record.id, record.state))

    def name_revoked(self, name: str) -> None:
        self.names.append(name)


@pytest.fixture
def only_poked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Feeds ask at the start and when they are poked, and have time for the answer."""
    monkeypatch.setattr(changes, "REFRESH_EVERY_S", 1_000.0)
    monkeypatch.setattr(changes, "ANSWER_LIMIT_S", PATIENCE_S)


async def revoke(store: PostgresStore, old: KeyRecord) -> KeyRecord:
    new = replace(old, state="revoked", revoked_why="leaked")
    assert await store.keys.replace(old, new, "key:revoked", "leaked")
    return new


async def both(town: Town, **changes: object) -> tuple[PostgresStore, PostgresStore, Listener]:
    """Two gateways that know the key k1, and what the second one hears."""
    first, second = await town.gateway(), await town.gateway(**changes)
    await first.keys.add(key_record())
    assert await second.keys.find("k1") == key_record()
    listener = Listener()
    second.watch(listener)
    return first, second, listener


@pytest.mark.req("K-1")
async def test_a_second_after_a_revocation_no_gateway_acts_on_the_old_record(town: Town) -> None:
    """Without a poke. However slow the machine: either it is known, or the view is not fresh."""
    first, second, listener = await both(town, clock=RealClock())
    record = key_record()
    for turn in range(5):
        state = ("frozen", "live")[turn % 2]
        record, old = replace(record, state=state), record
        assert await first.keys.replace(old, record, f"key:{state}", "")
        assert first.keys.cached("k1") == record, "whoever makes a change sees it at once"
        acknowledged_s = time.monotonic()
        while (now_s := time.monotonic()) - acknowledged_s < 1.2:
            kept = second.keys.cached("k1")
            assert kept is not None
            if kept.state == state:
                break
            assert now_s - acknowledged_s < 1.0 or not second.view.is_fresh()
            await asyncio.sleep(0.001)
        await until(lambda state=state: listener.keys[-1:] == [("k1", state)])  # type: ignore[misc]


@pytest.mark.usefixtures("only_poked")
async def test_a_poke_brings_the_news_at_once(town: Town) -> None:
    first, second, listener = await both(town)
    told: list[str] = []
    first.keys.on_change = first.grants.on_change = lambda: told.append("poke")
    revoked = await revoke(first, key_record())
    assert told == ["poke"]
    second.feed.poke()
    await until(lambda: second.keys.cached("k1") == revoked)
    assert listener.keys == [("k1", "revoked")]
    await first.grants.revoke(TOKEN, NOON_MS)
    assert told == ["poke", "poke"]
    assert first.grants.is_revoked(TOKEN.names)
    assert not second.grants.is_revoked(TOKEN.names)
    second.feed.poke()
    await until(lambda: second.grants.is_revoked(TOKEN.names))
    assert listener.names == [TOKEN.names[0]]


@pytest.mark.usefixtures("only_poked")
@pytest.mark.req("K-1")
async def test_a_view_is_fresh_from_when_the_question_was_sent_not_from_the_answer(
    town: Town,
) -> None:
    store = await town.gateway()
    start_ms = town.clock.at_ms

    def is_fresh_at(ms: int) -> bool:
        town.clock.at_ms = start_ms + ms
        return store.view.is_fresh()

    assert is_fresh_at(799)
    assert not is_fresh_at(800)
    town.ask("UPDATE gateways SET seen = seen - interval '10 seconds'")
    async with await town.connect() as other, other.transaction():
        await other.execute("SELECT FROM gateways FOR UPDATE")  # so "I am here" has to wait
        store.feed.poke()
        await town.until(WAITING, 1)
        assert not is_fresh_at(1_300)
    await until(store.view.is_fresh)
    assert is_fresh_at(1_599)
    assert not is_fresh_at(1_600), "the question was sent at 800"


@pytest.mark.req("K-1")
async def test_a_gateway_that_is_cut_off_stops_by_itself_and_catches_up(
    town: Town, wire: Wire
) -> None:
    first, second = await town.gateway(), await town.gateway(wire.port)
    listener = Listener()
    second.watch(listener)
    for name in ("k1", "k2", "k3"):
        await first.keys.add(key_record(name))
        assert await second.keys.find(name) is not None
    await until(second.view.is_fresh)
    wire.is_hushed = True
    revoked = await revoke(first, key_record())
    await first.grants.revoke(TOKEN, NOON_MS)
    await until(lambda: second.feed.trouble != "")
    second_knows = second.keys.cached("k1")
    assert second_knows is not None
    assert second_knows.state == "live", "it cannot know"
    town.clock.at_ms += 800
    assert not second.view.is_fresh()
    assert second.why_not_ready != ""
    wire.heal()
    wire.cut()
    await until(second.view.is_fresh)
    assert second.keys.cached("k1") == revoked
    assert second.keys.cached("k2") == key_record("k2"), "what did not change stays in memory"
    assert second.grants.is_revoked(TOKEN.names)
    assert listener.keys == [("k1", "revoked")], "so that what runs on it is cut"
    assert listener.names == [TOKEN.names[0]]
    await until(lambda: second.why_not_ready == "")


@pytest.mark.usefixtures("only_poked")
@pytest.mark.parametrize("what", ["pruned", "restored"])
async def test_after_a_gap_everything_in_memory_is_compared_with_the_store(
    town: Town, what: str
) -> None:
    first, second, listener = await both(town)
    revoked = await revoke(first, key_record())
    await first.grants.revoke(TOKEN, NOON_MS)
    town.ask("DELETE FROM changes")
    if what == "restored":
        second.feed.poke()
        await until(lambda: listener.keys != [])
        listener.keys.clear()
        town.ask("UPDATE book SET change = 1")
        town.ask("UPDATE keys SET state = 'live', revoked_why = ''")
        revoked = key_record()
    second.feed.poke()
    await until(lambda: listener.keys != [])
    assert listener.keys == [("k1", revoked.state)]
    assert second.keys.cached("k1") == revoked
    assert second.grants.is_revoked(TOKEN.names)
    await until(second.view.is_fresh)
    town.ask("UPDATE keys SET state = 'revoked'")  # as its entries say


@pytest.mark.usefixtures("only_poked")
async def test_more_news_than_one_answer_holds_is_fetched_before_anything_counts_as_fresh(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, listener = await both(town)
    monkeypatch.setattr(changes, "NEWS_MAX", 3)
    record = key_record()
    for turn in range(10):
        record, old = replace(record, state=("frozen", "live")[turn % 2]), record
        assert await first.keys.replace(old, record, "key:changed", "")
    await revoke(first, record)
    town.clock.at_ms += 800
    second.feed.poke()
    await until(second.view.is_fresh)
    assert listener.keys[-1] == ("k1", "revoked")
    assert len(listener.keys) == 11


@pytest.mark.usefixtures("only_poked")
async def test_a_gateway_taken_for_dead_says_that_it_lives_before_it_acts_again(
    town: Town,
) -> None:
    store = await town.gateway()
    town.ask("DELETE FROM gateways")
    town.clock.at_ms += 800
    store.feed.poke()
    await until(store.view.is_fresh)
    assert town.ask("SELECT count(*) FROM gateways") == [(1,)]
    taken(await store.ledger.hold(ask(5)))


async def test_changes_are_kept_for_an_hour_and_then_forgotten(town: Town) -> None:
    first, second, listener = await both(town)
    await revoke(first, key_record())
    await until(lambda: listener.keys != [])
    await first.feed.prune()
    assert town.ask("SELECT count(*) FROM changes") == [(1,)]
    town.ask("UPDATE changes SET at = at - interval '1 hour'")
    await first.feed.prune()
    assert town.ask("SELECT count(*) FROM changes") == [(0,)]
    assert await second.keys.find("k1") is not None


async def test_a_feed_that_stopped_knows_nothing_and_is_no_gateway(town: Town) -> None:
    store = await town.gateway()
    await store.feed.stop()
    await store.feed.stop()
    assert not store.view.is_fresh()
    assert town.ask("SELECT count(*) FROM gateways") == [(0,)]
