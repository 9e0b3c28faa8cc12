"""The memory of keys: bounded, kept across restarts, honest where the store is away."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from ledger_world import NOON_MS, MovingClock, open_sqlite
from tokenward.detectors.fusion import learn, look
from tokenward.detectors.past import unpack
from tokenward.kernel.signals import Asked, Client, Network, Signals
from tokenward.pipeline.remembering import TRAILS_MAX, Memory, Remembered, Suspects
from tokenward.store.sqlite import SqliteStore

CALL = Signals(
    at_ms=NOON_MS,
    client=Client(family="curl", fingerprint="c" * 16),
    network=Network(place="AS64500", country="DE"),
    asked=Asked(model="gpt-5-mini", level=40, route="chat"),
)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    """A real one."""
    opened = await open_sqlite(tmp_path, MovingClock())
    yield opened
    await opened.close()


def teach(memory: Memory, key: str, known: Remembered, count: int = 1) -> None:
    """Some clean calls."""
    for _ in range(count):
        if learn(CALL, known.past, look(CALL, known.past)):
            memory.learned(key, known)


async def test_what_was_learned_is_there_for_the_next_guard(store: SqliteStore) -> None:
    memory = Memory(store.pasts, is_shared=False)
    teach(memory, "k1", await memory.recall("k1", NOON_MS), 6)
    assert memory.count() == 1
    await memory.flush()
    assert memory.count() == 0
    other = await Memory(store.pasts, is_shared=False).recall("k1", NOON_MS)
    assert other.past.calls >= 5
    assert "curl" in other.past.values["family"]
    assert look(CALL, other.past).is_usual


async def test_two_guards_learn_from_each_other(store: SqliteStore) -> None:
    one, two = (Memory(store.pasts, is_shared=True) for _ in range(2))
    first, second = await one.recall("k1", NOON_MS), await two.recall("k1", NOON_MS)
    teach(one, "k1", first, 5)
    await one.flush()
    other = Signals(at_ms=NOON_MS, client=Client(family="go", fingerprint="d" * 16))
    learn(other, second.past, look(other, second.past))
    two.learned("k1", second)
    await two.flush()
    assert second.past.values["family"].keys() == {"curl", "go"}
    assert second.past.calls == 5


async def test_counts_alone_are_not_worth_a_write(store: SqliteStore) -> None:
    memory = Memory(store.pasts, is_shared=False)
    known = await memory.recall("k1", NOON_MS)
    teach(memory, "k1", known, 50)
    await memory.flush()
    teach(memory, "k1", known, 50)
    assert memory.count() == 0, "nothing but the number of calls has changed"


async def test_memory_is_bounded_and_the_store_has_the_rest(store: SqliteStore) -> None:
    memory = Memory(store.pasts, is_shared=False, keys_max=3)
    for number in range(10):
        teach(memory, f"k{number}", await memory.recall(f"k{number}", NOON_MS), 6)
        await memory.flush()
    assert len(memory._known) == 3
    assert memory.lost == 0
    again = await memory.recall("k0", NOON_MS)
    assert again.past.calls >= 5


class Slow:
    """A store that takes for ever."""

    async def find(self, key_id: str) -> bytes | None:
        """Nothing yet."""
        return None

    async def fold(self, mine: Mapping[str, bytes]) -> dict[str, bytes]:
        """Not before the test is over."""
        await asyncio.sleep(3600)
        return dict(mine)


async def test_a_flush_that_is_cancelled_loses_nothing() -> None:
    memory = Memory(Slow(), is_shared=False)
    teach(memory, "k1", await memory.recall("k1", NOON_MS), 6)
    flushing = asyncio.create_task(memory.flush())
    await asyncio.sleep(0)
    assert memory.count() == 0, "it is on its way"
    flushing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flushing
    assert memory.count() == 1


async def test_a_store_that_is_away_leaves_the_past_unknown_and_learns_nothing(
    tmp_path: Path,
) -> None:
    closed = await open_sqlite(tmp_path, MovingClock())
    memory = Memory(closed.pasts, is_shared=False)
    await closed.close()
    known = await memory.recall("k1", NOON_MS)
    assert not known.is_known
    teach(memory, "k1", known, 6)
    assert memory.count() == 0
    assert not (await memory.recall("k1", NOON_MS)).is_known, "it asks again at the next call"


async def test_a_past_that_cannot_be_read_begins_anew(store: SqliteStore) -> None:
    assert unpack(b"\x07junk") is None
    await store.pasts.fold({"k1": b"\x07junk"})
    known = await Memory(store.pasts, is_shared=False).recall("k1", NOON_MS)
    assert known.is_known
    assert known.past.calls == 0


async def test_the_story_of_an_origin_is_told_in_calls_and_money(store: SqliteStore) -> None:
    known = await Memory(store.pasts, is_shared=False).recall("k1", NOON_MS)
    for number in range(3):
        known.spend("a@b", NOON_MS + number, 1_000)
    trail = known.trails["a@b"]
    assert (trail.calls, trail.cost_nusd, trail.first_ms) == (3, 3_000, NOON_MS)
    for number in range(100):
        known.spend(f"{number}@b", NOON_MS, 1)
    assert len(known.trails) == TRAILS_MAX


def test_calls_of_suspects_count_for_the_minute_that_runs() -> None:
    suspects = Suspects()
    for _ in range(3):
        suspects.let_through(59_999)
    assert suspects.count(30_000) == suspects.count(59_999) == 3
    assert suspects.count(60_000) == 0
    suspects.let_through(60_000)
    suspects.let_through(59_000)
    assert suspects.count(59_000) == suspects.count(119_999) == 2, "a clock that goes back"
    assert suspects.count(120_000) == 0
    suspects.let_through(3_600_000)
    assert suspects.count(120_000) == 0, "it was an hour ahead for a moment"
    suspects.let_through(120_000)
    assert suspects.count(120_000) == 1
