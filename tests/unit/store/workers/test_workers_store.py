"""Workers and their keeper: one truth about money and keys, whatever happens to the link."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ledger_world import (
    NOON_MS,
    MovingClock,
    ask,
    cap,
    charge,
    key_record,
    refused,
    standing,
    taken,
)
from tokenward.kernel.bound import CostBound
from tokenward.kernel.errors import StoreBusyError, StoreError
from tokenward.kernel.events import Event, Record
from tokenward.keys.records import KeyRecord
from tokenward.ledger.records import Waitable
from tokenward.limits.interfaces import UNLIMITED, KeyLimits
from tokenward.limits.local import ANYWHERE
from tokenward.store.sqlite import SqliteStore
from tokenward.store.workers import Keeper, RemoteStore, messages
from tokenward.store.workers.line import SLOW_S
from workers_world import VERSION, Wire, hire, running_crew

Crewed = tuple[SqliteStore, Keeper, list[tuple[RemoteStore, Wire]]]
TICKS_S = 0.25
"""Longer than two ticks of a line."""


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock()


@pytest.fixture
async def crew(tmp_path: Path, clock: MovingClock) -> AsyncIterator[Crewed]:
    async with running_crew(tmp_path / "data", clock) as running:
        yield running


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():
            await asyncio.sleep(0.005)


async def held(store: SqliteStore, clock: MovingClock) -> int:
    return (await standing(store, clock, "key:k1")).held


class Heard:
    """A watcher that remembers."""

    def __init__(self) -> None:
        self.records: list[KeyRecord] = []
        self.names: list[str] = []

    def key_changed(self, record: KeyRecord) -> None:
        self.records.append(record)

    def name_revoked(self, name: str) -> None:
        self.names.append(name)


# -- money ----------------------------------------------------------------------------------------


@pytest.mark.req("B-3")
async def test_calls_of_two_workers_share_one_cap(crew: Crewed, clock: MovingClock) -> None:
    store, _, ((one, _), (two, _)) = crew
    await one.ledger.set_cap(cap("key:k1", "0/day", limit=100))
    answers = await asyncio.gather(
        *(worker.ledger.hold(ask(10)) for worker in (one, two) for _ in range(20))
    )
    holds = [answer for answer in answers if not hasattr(answer, "code")]
    assert len(holds) == 10
    assert {refused(answer).code for answer in answers if hasattr(answer, "code")} == {"cap:held"}
    for hold in holds:
        settled = await two.ledger.settle(taken(hold), charge(3), NOON_MS)
        assert (settled.state, settled.cost_nusd) == ("settled", 3)
    status = await standing(store, clock, "key:k1")
    assert (status.spent, status.held, status.running) == (30, 0, 0)


async def test_a_wish_that_cannot_even_be_said_is_refused_as_the_ledger_would(
    crew: Crewed,
) -> None:
    store, _, ((one, _), _) = crew
    for wish in (ask(CostBound(10**30, 0, 0, 0, 0)), ask(5, model="gpt-\ud800")):
        assert await one.ledger.hold(wish) == await store.ledger.hold(wish)


async def test_a_caller_that_leaves_leaves_no_money_held(crew: Crewed, clock: MovingClock) -> None:
    store, _, ((one, _), _) = crew
    await one.ledger.set_cap(cap("key:k1", "0/day", limit=100))
    for turns in range(12):
        calling = asyncio.create_task(one.ledger.hold(ask(10)))
        for _ in range(turns):
            await asyncio.sleep(0)
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        if not calling.cancelled():
            await one.ledger.void(taken(calling.result()), "test", NOON_MS)
    await one.ledger.caps(NOON_MS)
    async with asyncio.timeout(10):
        while await held(store, clock):
            await asyncio.sleep(0.01)


async def test_a_hold_that_takes_too_long_is_told_so_and_never_stays(
    tmp_path: Path, clock: MovingClock
) -> None:
    async with running_crew(tmp_path / "d", clock, count=1, limit_s=0.5) as running:
        store, _, ((one, wire),) = running
        await one.ledger.set_cap(cap("key:k1", "0/day", limit=100))
        for lost in ("nothing arrives", "only the answer is late"):
            if lost == "nothing arrives":
                wire.link.stall()
            else:
                wire.link.other.is_stalled = True
            calling = asyncio.create_task(one.ledger.hold(ask(10)))
            await asyncio.sleep(0.05)
            clock.at_ms += 600
            with pytest.raises(StoreBusyError, match=r"longer than 0\.5 s"):
                await calling
            with pytest.raises(StoreBusyError, match="does not answer"):
                await one.ledger.hold(ask(10))
            assert one.why_not_ready
            wire.link.flow()
            await until(lambda: not one.why_not_ready)
            async with asyncio.timeout(10):
                while await held(store, clock):
                    await asyncio.sleep(0.01)
            hold = taken(await one.ledger.hold(ask(100)))  # nothing else is held
            await one.ledger.void(hold, "test", NOON_MS)


@pytest.mark.parametrize("lost", ["the question", "the answer", "both ways later"])
async def test_a_hold_lost_with_the_link_is_voided_when_the_worker_is_back(
    crew: Crewed, clock: MovingClock, lost: str
) -> None:
    store, _, ((one, wire), _) = crew
    await one.ledger.set_cap(cap("key:k1", "0/day", limit=100))
    kept = taken(await one.ledger.hold(ask(10)))
    if lost == "the question":
        wire.link.is_stalled = True
    elif lost == "the answer":
        wire.link.other.is_stalled = True
    calling = asyncio.create_task(one.ledger.hold(ask(20)))
    await asyncio.sleep(0.05 if lost != "both ways later" else 0)
    wire.link.cut()
    if lost == "both ways later":
        await asyncio.gather(calling, return_exceptions=True)
    else:
        with pytest.raises(StoreError):
            await calling
    await until(lambda: not one.why_not_ready)
    assert len(wire.links) == 2
    await one.ledger.caps(NOON_MS)
    async with asyncio.timeout(10):
        while await held(store, clock) != 10:
            await asyncio.sleep(0.01)
    assert (await one.ledger.settle(kept, charge(4), NOON_MS)).state == "settled"


@pytest.mark.parametrize("lost", ["the question", "the answer"])
async def test_what_ends_a_hold_is_sent_again_until_it_is_answered_and_posted_once(
    crew: Crewed, clock: MovingClock, lost: str
) -> None:
    store, _, ((one, wire), _) = crew
    await one.ledger.set_cap(cap("key:k1", "0/day", limit=100))
    holds = [taken(await one.ledger.hold(ask(10))) for _ in range(2)]
    (wire.link if lost == "the question" else wire.link.other).is_stalled = True
    settling = one.ledger.settle(holds[0], charge(7), NOON_MS)
    voiding = one.ledger.void(holds[1], "test", NOON_MS)
    await asyncio.sleep(0.05)
    wire.link.cut()
    assert (await settling).cost_nusd == 7
    assert (await voiding).state == "voided"
    status = await standing(store, clock, "key:k1")
    assert (status.spent, status.held) == (7, 0)


async def test_who_waits_for_the_end_of_a_hold_is_told_when_it_takes_too_long_and_it_ends_later(
    tmp_path: Path, clock: MovingClock
) -> None:
    async with running_crew(tmp_path / "d", clock, count=1, limit_s=0.5) as running:
        store, _, ((one, wire),) = running
        await one.ledger.set_cap(cap("key:k1", "0/day", limit=100))
        hold = taken(await one.ledger.hold(ask(10)))
        wire.link.stall()
        settling = one.ledger.settle(hold, charge(7), NOON_MS)
        clock.at_ms += 600
        with pytest.raises(StoreBusyError):
            await settling
        assert await held(store, clock) == 10
        wire.link.flow()
        async with asyncio.timeout(10):
            while await held(store, clock):
                await asyncio.sleep(0.01)
        assert (await standing(store, clock, "key:k1")).spent == 7


async def test_what_is_owed_when_the_keeper_is_gone_for_good_fails_at_once(
    crew: Crewed,
) -> None:
    _, _, ((one, wire), _) = crew
    holds = [taken(await one.ledger.hold(ask(10))) for _ in range(2)]
    wire.is_over = True
    wire.link.cut()
    settling = one.ledger.settle(holds[0], charge(1), NOON_MS)
    with pytest.raises(StoreError, match="never again"):
        await settling
    with pytest.raises(StoreError, match="cannot be reached"):
        await one.ledger.void(holds[1], "test", NOON_MS)


@pytest.mark.req("F-1")
async def test_a_worker_that_never_comes_back_is_charged_in_full_and_gives_its_places_back(
    crew: Crewed, clock: MovingClock
) -> None:
    store, _, ((one, wire), (two, _)) = crew
    await one.ledger.set_cap(cap("key:k1", "0/day", limit=100))
    settled, open_hold = [taken(await one.ledger.hold(ask(10))) for _ in range(2)]
    other = taken(await two.ledger.hold(ask(10)))
    limits = KeyLimits(concurrency=1)
    assert not hasattr(await one.limiter.enter("k1", limits), "code")
    settling = one.ledger.settle(settled, charge(3), NOON_MS)
    await settling
    wire.keeper = None
    wire.link.cut()
    async with asyncio.timeout(10):
        while await held(store, clock) != 10:
            await asyncio.sleep(0.01)
    status = await standing(store, clock, "key:k1")
    assert (status.spent, status.held) == (13, 10), "the other worker's hold stays"
    assert not hasattr(await two.limiter.enter("k1", limits), "code")
    kinds = [event.kind for _, event in await two.books.events(0, 10)]
    assert "hold:expired" in kinds
    await two.ledger.settle(other, charge(1), NOON_MS)
    with pytest.raises(StoreError, match="cannot be reached"):
        await one.ledger.hold(ask(1))
    assert "cannot be reached" in one.why_not_ready
    assert open_hold.id != settled.id


async def test_a_worker_that_comes_back_in_time_keeps_what_it_has(
    tmp_path: Path, clock: MovingClock
) -> None:
    async with running_crew(tmp_path / "d", clock, count=2, grace_s=5.0) as running:
        store, _, ((one, wire), (two, _)) = running
        await one.ledger.set_cap(cap("key:k1", "0/day", limit=100))
        hold = taken(await one.ledger.hold(ask(10)))
        limits = KeyLimits(concurrency=2)
        kept, left = [await one.limiter.enter("k1", limits) for _ in range(2)]
        wire.link.cut()
        await until(lambda: bool(one.why_not_ready))
        left.leave()  # type: ignore[union-attr]  # it was given
        await until(lambda: not one.why_not_ready)
        assert await held(store, clock) == 10
        assert not hasattr(await two.limiter.enter("k1", limits), "code")
        assert refused(await two.limiter.enter("k1", limits)).code == "concurrency:exceeded"  # type: ignore[arg-type]
        await one.ledger.settle(hold, charge(2), NOON_MS)
        assert not hasattr(kept, "code")


@pytest.mark.req("B-9")
async def test_a_call_that_waits_for_room_hears_of_it_from_every_worker(
    crew: Crewed, clock: MovingClock
) -> None:
    _, _, ((one, _), (two, _)) = crew
    await one.ledger.set_cap(cap("key:k1", "0/minute", limit=10, throttles=True))
    hold = taken(await one.ledger.hold(ask(10)))
    assert isinstance(await two.ledger.hold(ask(10)), Waitable)
    waiting = asyncio.create_task(two.ledger.wait_for_room(10))
    await asyncio.sleep(0.02)
    await one.ledger.void(hold, "test", NOON_MS)
    assert await waiting
    hold = taken(await two.ledger.hold(ask(10)))
    assert isinstance(await one.ledger.hold(ask(10)), Waitable)
    await two.ledger.void(hold, "test", NOON_MS)  # before anybody waits
    assert await one.ledger.wait_for_room(10)
    assert not await one.ledger.wait_for_room(0.01)


# -- keys -----------------------------------------------------------------------------------------


@pytest.mark.req("K-1")
async def test_a_change_is_known_to_every_worker_before_whoever_made_it_is_answered(
    crew: Crewed,
) -> None:
    _, _, ((one, _), (two, wire)) = crew
    heard = Heard()
    two.watch(heard)
    await one.keys.add(key_record())
    assert await two.keys.find("k1") == key_record()
    said = len(wire.link.other.seen)
    revoked = replace(key_record(), state="revoked", revoked_why="test")
    assert await one.keys.replace(key_record(), revoked, "key:revoked", "test")
    pushed = [messages.read_heard(frame) for frame in wire.link.other.seen[said:]]
    assert any(isinstance(each, messages.Changed) for each in pushed), "sent before the answer"
    await until(lambda: two.keys.cached("k1") == revoked)
    assert heard.records == [revoked]
    assert one.keys.cached("k1") == revoked


async def test_a_key_that_was_looked_up_before_a_change_never_takes_its_place(
    crew: Crewed,
) -> None:
    """The answer to the look-up was made before the change and arrives after it was told."""
    store, keeper, ((one, _), _) = crew
    await store.keys.add(key_record())
    revoked = replace(key_record(), state="revoked", revoked_why="test")
    line = one.keys._line
    asking = line.ask

    async def slowly(call: Any, *values: Any) -> Any:
        answer = await asking(call, *values)
        keeper.key_changed(revoked)
        await until(lambda: "k1" in one.keys._told)
        return answer

    line.ask = slowly  # type: ignore[method-assign]
    assert await one.keys.find("k1") == revoked
    assert one.keys.cached("k1") == revoked
    assert not one.keys._told


async def test_of_two_workers_that_change_a_key_one_wins_and_the_other_sees_the_new_one(
    crew: Crewed,
) -> None:
    _, _, ((one, _), (two, _)) = crew
    await one.keys.add(key_record())
    await two.keys.find("k1")
    frozen = replace(key_record(), state="frozen", frozen_why="a")
    revoked = replace(key_record(), state="revoked", revoked_why="b")
    won = await asyncio.gather(
        one.keys.replace(key_record(), frozen, "key:frozen", "a"),
        two.keys.replace(key_record(), revoked, "key:revoked", "b"),
    )
    assert sorted(won) == [False, True]
    assert await one.keys.find("k1") == await two.keys.find("k1") != key_record()


@pytest.mark.req("K-1", "K-2")
async def test_a_view_is_fresh_for_less_than_a_second_after_the_last_ping_was_sent(
    crew: Crewed, clock: MovingClock
) -> None:
    _, _, ((one, wire), _) = crew
    assert one.view.is_fresh()
    await asyncio.sleep(TICKS_S)
    wire.link.stall()
    clock.at_ms += 790
    assert one.view.is_fresh()
    clock.at_ms += 10
    assert not one.view.is_fresh()
    assert one.why_not_ready
    clock.at_ms += 5_000
    wire.link.flow()  # answers to pings of long ago say nothing about now
    await until(one.view.is_fresh)
    await until(lambda: not one.why_not_ready)


async def test_after_a_lost_link_nothing_is_known_and_missed_changes_are_told(
    tmp_path: Path, clock: MovingClock
) -> None:
    async with running_crew(tmp_path / "d", clock, grace_s=5.0) as running:
        _, _, ((one, wire), (two, _)) = running
        heard = Heard()
        one.watch(heard)
        await two.keys.add(key_record())
        await one.keys.find("k1")
        keeper, wire.keeper = wire.keeper, None
        wire.link.cut()
        await until(lambda: not one.view.is_fresh())
        assert one.keys.cached("k1") is None
        with pytest.raises(StoreError):
            await one.keys.find("k1")
        frozen = replace(key_record(), state="frozen", frozen_why="a")
        await two.keys.replace(key_record(), frozen, "key:frozen", "a")
        wire.keeper = keeper
        await until(lambda: heard.records == [frozen])
        assert await one.keys.find("k1") == frozen


async def test_what_is_revoked_is_known_from_the_hello_on(
    tmp_path: Path, clock: MovingClock
) -> None:
    async with running_crew(tmp_path / "d", clock) as running:
        store, keeper, (_, (two, _)) = running
        heard = Heard()
        two.watch(heard)
        await store.database.submit(partial(store.grants._revoke, "token:a", NOON_MS + 1000))
        await until(lambda: two.grants.is_revoked(("token:a",)))
        assert heard.names == ["token:a"]
        late, _ = await hire(keeper, clock, store.proofs, instance="late")
        assert late.grants.is_revoked(("token:b", "token:a"))
        clock.at_ms += 3_600_001
        await late.chores(clock.at_ms, 0)
        assert not late.grants.is_revoked(("token:a",))
        await late.close()


# -- the rest -------------------------------------------------------------------------------------


async def test_limits_are_counted_for_all_workers_and_nobody_is_asked_without_any(
    crew: Crewed,
) -> None:
    _, _, ((one, wire), (two, _)) = crew
    said = len(wire.link.seen)
    assert await one.limiter.enter("k1", UNLIMITED) is ANYWHERE
    assert len(wire.link.seen) == said
    limits = KeyLimits(rpm=3, concurrency=2)
    first, second = [await worker.limiter.enter("k1", limits) for worker in (one, two)]
    refusal = await one.limiter.enter("k1", limits)
    assert getattr(refusal, "code", "") == "concurrency:exceeded"
    for place in (first, second, first):
        place.leave()  # type: ignore[union-attr]  # both were given; a second time does nothing
    assert not hasattr(await two.limiter.enter("k1", limits), "code")
    await two.books.last_event()
    assert getattr(await one.limiter.enter("k1", limits), "code", "") == "rate:exceeded"
    one.limiter.use("k2", 10)
    await one.books.last_event()
    assert getattr(await two.limiter.enter("k2", KeyLimits(tpm=5)), "code", "") == "rate:exceeded"


async def test_errors_cross_the_link_as_what_they_are(crew: Crewed) -> None:
    _, _, ((one, _), _) = crew
    await one.keys.add(key_record())
    with pytest.raises(ValueError, match="a key with this id"):
        await one.keys.add(key_record())
    with pytest.raises(ValueError, match="64 bits"):
        await one.ledger.set_cap(cap("key:k1", "0/day", limit=10**30))
    with pytest.raises(ValueError, match="usage is by"):
        await one.books.usage("nothing", 0, 1)


async def test_a_bug_at_the_keeper_is_told_as_one_and_others_are_served(crew: Crewed) -> None:
    _, _, ((one, _), (two, _)) = crew
    with pytest.raises(AssertionError, match="half a day"):
        await one.ledger.hold(ask(5, ttl_ms=10**10))
    taken(await two.ledger.hold(ask(5)))
    taken(await one.ledger.hold(ask(5)))


async def test_records_events_and_last_uses_arrive_also_when_the_worker_ends_at_once(
    tmp_path: Path, clock: MovingClock
) -> None:
    async with running_crew(tmp_path / "d", clock, count=0) as running:
        store, keeper, _ = running
        one, _ = await hire(keeper, clock, store.proofs)
        await one.keys.add(key_record())
        one.keys.used("k1", NOON_MS + 5)
        one.tell(Event(ts=NOON_MS, kind="key:misused", subject="key:k1", facts={}))
        for number in range(700):
            one.records.write_record(Record(ts=NOON_MS + number, request_id="r", key="k1"))
        await one.close()
        await one.close()
        assert one.records.dropped == 0
        async with asyncio.timeout(10):
            while len(await store.records.recent("", 0, 1_000)) < 700:
                await asyncio.sleep(0.01)
        kinds = [event.kind for _, event in await store.books.events(0, 10)]
        assert "key:misused" in kinds


async def test_long_lists_come_whole(crew: Crewed) -> None:
    store, _, ((one, _), _) = crew
    for start in range(0, 1_300, 100):
        await asyncio.gather(*(store.keys.add(key_record(f"k{start + n:05}")) for n in range(100)))
    assert await one.keys.page(limit=2_000) == await store.keys.page(limit=2_000)
    assert len(await one.keys.page(limit=2_000)) == 1_300
    assert await one.incidents.recent(10) == []
    assert await one.incidents.find("none") is None
    assert await one.books.head() == await store.books.head()


async def test_a_worker_of_another_version_is_told_so(crew: Crewed, clock: MovingClock) -> None:
    store, keeper, _ = crew
    failed: list[tuple[str, str]] = []
    keeper.on_failed = lambda instance, why: failed.append((instance, why))
    with pytest.raises(StoreError, match=r"keeper is tokenward 1\.0, this worker 1\.1"):
        await hire(keeper, clock, store.proofs, instance="new", version="1.1")
    assert [instance for instance, _ in failed] == ["new"]
    assert VERSION == "1.0"


async def test_a_keeper_knows_who_is_ready_who_failed_and_who_is_silent(
    crew: Crewed, clock: MovingClock
) -> None:
    _, keeper, ((one, wire), (two, _)) = crew
    told: list[tuple[str, ...]] = []
    keeper.on_ready = lambda instance: told.append((instance,))
    keeper.on_failed = lambda instance, why: told.append((instance, why))
    stops: list[int] = []
    two.on_stop = lambda: stops.append(1)
    one.be_ready()
    two.fail("no credential")
    await until(lambda: len(told) == 2)
    assert sorted(told) == [("w0",), ("w1", "no credential")]
    wire.link.stall()
    clock.at_ms += 20_000
    await until(lambda: keeper.silent(10.0) == ["w0"])
    keeper.stop()
    keeper.stop()
    await until(lambda: len(stops) == 2)


async def test_a_worker_that_comes_when_all_are_told_to_stop_is_told_too(
    crew: Crewed, clock: MovingClock
) -> None:
    store, keeper, _ = crew
    keeper.stop()
    wire, stops = Wire(keeper), asyncio.Event()
    late = RemoteStore(
        wire, clock, instance="late", version=VERSION, limit_s=5.0, proofs=store.proofs
    )
    late.on_stop = stops.set
    await late.open()
    await asyncio.wait_for(stops.wait(), 10)
    await late.close()


async def test_what_workers_show_is_passed_on_also_of_those_that_are_gone(
    tmp_path: Path, clock: MovingClock
) -> None:
    async with running_crew(tmp_path / "d", clock, count=3) as running:
        _, keeper, ((one, _), (two, _), (three, wire)) = running
        keeper.shows = lambda: b"keeper"
        two.shows, three.shows = (lambda: b"two"), (lambda: b"three")
        assert sorted(await one.shown()) == [(True, b"keeper"), (True, b"three"), (True, b"two")]
        wire.keeper = None
        wire.link.cut()
        async with asyncio.timeout(10):
            while (False, b"three") not in await one.shown():
                await asyncio.sleep(0.01)
        assert len(await one.shown()) == 3


async def test_a_keeper_whose_records_are_not_to_be_trusted_blinds_its_workers(
    crew: Crewed, clock: MovingClock
) -> None:
    _, keeper, ((one, _), _) = crew
    keeper._sight.shut("the records are from the past")
    clock.at_ms += 900
    await until(lambda: "from the past" in one.why_not_ready or not one.view.is_fresh())
    await asyncio.sleep(TICKS_S)
    assert not one.view.is_fresh()


async def test_what_reads_long_has_a_limit_of_its_own(crew: Crewed, clock: MovingClock) -> None:
    _, _, ((one, wire), _) = crew
    wire.link.is_stalled = True
    reading = asyncio.create_task(one.books.audit())
    await asyncio.sleep(0.02)
    clock.at_ms += 30_000
    await asyncio.sleep(TICKS_S)
    assert not reading.done()
    clock.at_ms += round(SLOW_S * 1000)
    with pytest.raises(StoreBusyError):
        await reading
    wire.link.flow()


async def test_a_reading_that_takes_too_long_fails_for_its_asker_and_no_call_is_refused_for_it(
    crew: Crewed, clock: MovingClock
) -> None:
    _, _, ((one, wire), _) = crew
    wire.link.other.is_stalled = True
    reading = asyncio.create_task(one.books.audit())
    await asyncio.sleep(0.02)
    clock.at_ms += round(SLOW_S * 1000)
    with pytest.raises(StoreBusyError, match=r"longer than 600\.0 s"):
        await reading
    calling = asyncio.create_task(one.ledger.hold(ask(10)))
    await asyncio.sleep(0)
    assert not calling.done(), "it is asked, though nothing was heard since"
    wire.link.flow()
    await one.ledger.void(taken(await calling), "test", NOON_MS)
