"""Every window rolls over, in its own zone, and money stays in the window it was reserved in."""

from datetime import UTC, datetime

import pytest

from engines import AnyStore, Engine, Opener
from ledger_world import (
    DAY_MS,
    HOUR_MS,
    NOON_MS,
    MovingClock,
    ask,
    cap,
    charge,
    refused,
    standing,
    taken,
)
from tokenward.ledger.records import Unit, Window
from tokenward.ledger.windows import window_bounds

WINDOWS = [window for window in Window if window is not Window.TOTAL]


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.req("Z-1")
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("subject", ["key:k1", "project:p1", "account:a1"])
async def test_a_full_cap_opens_again_with_its_next_window_also_across_a_restart(
    reopen: Opener, clock: MovingClock, subject: str, window: Window
) -> None:
    store = await reopen()
    await store.ledger.set_cap(cap(subject, "0/day", limit=10, window=window))
    hold = taken(await store.ledger.hold(ask(10, at_ms=clock.at_ms)))
    await store.ledger.settle(hold, charge(10), clock.at_ms)
    for round_trip in range(3):
        _, end_ms = window_bounds(window, "UTC", clock.at_ms)
        assert end_ms is not None
        clock.at_ms = end_ms - 1
        refusal = refused(await store.ledger.hold(ask(1, at_ms=clock.at_ms)))
        assert refusal.code == "cap:reached"
        if round_trip == 1:
            store = await reopen()
        clock.at_ms = end_ms
        hold = taken(await store.ledger.hold(ask(10, at_ms=clock.at_ms)))
        await store.ledger.settle(hold, charge(10), clock.at_ms)
    assert await store.books.audit() == []


@pytest.mark.req("Z-1")
async def test_a_key_that_slept_through_many_windows_wakes_with_a_fresh_one(
    store: AnyStore, clock: MovingClock
) -> None:
    await store.ledger.set_cap(cap("key:k1", "0/hour", limit=10))
    clock.at_ms += 400 * DAY_MS
    status = await standing(store, clock, "key:k1")
    assert (status.spent, status.window_start_ms) == (0, clock.at_ms)
    taken(await store.ledger.hold(ask(10, at_ms=clock.at_ms)))


@pytest.mark.req("Z-2")
async def test_a_hold_settles_in_the_window_it_was_taken_in(
    store: AnyStore, clock: MovingClock
) -> None:
    await store.ledger.set_cap(cap("key:k1", "0/day", limit=100))
    clock.at_ms = at("2026-01-15T23:59:59+00:00")
    late = taken(await store.ledger.hold(ask(100, at_ms=clock.at_ms)))
    clock.at_ms = at("2026-01-16T00:00:01+00:00")
    fresh = taken(await store.ledger.hold(ask(60, at_ms=clock.at_ms)))
    clock.at_ms = at("2026-01-16T00:00:05+00:00")
    await store.ledger.settle(late, charge(90), clock.at_ms)
    status = await standing(store, clock, "key:k1")
    assert (status.spent, status.held) == (0, 60)
    await store.ledger.settle(fresh, charge(60), clock.at_ms)
    rows = await store.books.usage("day", 0, clock.at_ms)
    assert [(row.by, row.cost_nusd) for row in rows] == [("2026-01-15", 90), ("2026-01-16", 60)]


@pytest.mark.req("Z-2")
async def test_a_late_overrun_lands_in_the_window_of_its_hold(
    store: AnyStore, clock: MovingClock
) -> None:
    await store.ledger.set_cap(cap("key:k1", "0/hour", limit=100))
    hold = taken(await store.ledger.hold(ask(10)))
    await store.ledger.settle(hold, charge(10), NOON_MS)
    clock.at_ms = NOON_MS + 3 * HOUR_MS
    taken(await store.ledger.hold(ask(1, at_ms=clock.at_ms)))
    await store.ledger.settle(hold, charge(25), clock.at_ms)
    assert (await standing(store, clock, "key:k1")).spent == 0
    clock.at_ms = NOON_MS
    assert (await standing(store, clock, "key:k1")).spent == 25


@pytest.mark.req("Z-2")
async def test_open_holds_and_late_bills_of_an_old_window_add_up_in_it(
    store: AnyStore, clock: MovingClock
) -> None:
    await store.ledger.set_cap(cap("key:k1", "0/hour", limit=1_000))
    ended, running = [taken(await store.ledger.hold(ask(10))) for _ in range(2)]
    await store.ledger.settle(ended, charge(10), NOON_MS)
    for hours in (1, 2, 3):
        clock.at_ms = NOON_MS + hours * HOUR_MS
        taken(await store.ledger.hold(ask(1, at_ms=clock.at_ms)))
    await store.ledger.settle(ended, charge(25), clock.at_ms)
    await store.ledger.settle(running, charge(7), clock.at_ms)
    clock.at_ms = NOON_MS
    status = await standing(store, clock, "key:k1")
    assert (status.spent, status.held) == (32, 0)
    assert refused(await store.ledger.hold(ask(969))).code == "cap:reached"


@pytest.mark.req("Z-4")
async def test_a_cap_in_a_zone_thirteen_hours_ahead_rolls_at_its_own_midnight(
    store: AnyStore, clock: MovingClock
) -> None:
    clock.at_ms = at("2026-01-15T12:00:00+13:00")
    await store.ledger.set_cap(cap("key:k1", "0/day", limit=10, zone="Pacific/Tongatapu"))
    for moment, is_fresh in (
        ("2026-01-15T23:59:59+13:00", True),
        ("2026-01-15T23:59:59.999+13:00", False),
        ("2026-01-16T00:00:00+13:00", True),
        ("2026-01-16T23:59:59+13:00", False),
    ):
        answer = await store.ledger.hold(ask(10, at_ms=at(moment)))
        assert hasattr(answer, "amount_nusd") == is_fresh, moment
    refusal = refused(await store.ledger.hold(ask(10, at_ms=at("2026-01-16T23:59:59+13:00"))))
    assert dict(refusal.facts)["resets_at"] == "2026-01-16T11:00:00.000Z"


async def test_windows_long_gone_are_forgotten_and_the_books_stay_provable(
    store: AnyStore, engine: Engine, clock: MovingClock
) -> None:
    for window in Window:
        await store.ledger.set_cap(cap("key:k1", "0/day", limit=10**6, window=window))
    await store.ledger.set_cap(cap("key:k1", "9req/minute", zone="Asia/Kolkata"))

    def counters() -> int:
        ((count,),) = engine.ask("SELECT count(*) FROM counters")
        return int(count)

    for _ in range(12):
        hold = taken(await store.ledger.hold(ask(10, at_ms=clock.at_ms)))
        clock.at_ms += 7 * HOUR_MS
        await store.ledger.settle(hold, charge(5), clock.at_ms)
    before = counters()
    await store.ledger.sweep(clock.at_ms)
    assert counters() < before
    clock.at_ms += 3 * DAY_MS
    await store.ledger.sweep(clock.at_ms)
    assert await store.books.audit() == []
    assert counters() == 2, "the month's and the total"
    assert await store.books.reconcile(clock.at_ms) == 0
    hold = taken(await store.ledger.hold(ask(10, at_ms=clock.at_ms)))
    await store.ledger.settle(hold, charge(10), clock.at_ms)


async def test_a_set_cap_counts_in_its_own_zone_and_unit(
    store: AnyStore, clock: MovingClock
) -> None:
    for moment in ("2026-01-14T22:00:00+00:00", "2026-01-14T23:30:00+00:00"):
        hold = taken(await store.ledger.hold(ask(5, at_ms=at(moment))))
        await store.ledger.settle(hold, charge(5), clock.at_ms)
    for zone, spent in (("UTC", 0), ("Europe/Berlin", 1), ("Asia/Tokyo", 2)):
        await store.ledger.set_cap(cap("key:k1", "0/day", limit=9, zone=zone, unit=Unit.REQUESTS))
        status = await standing(store, clock, "key:k1")
        assert (status.cap.zone, status.spent) == (zone, spent)
    assert datetime.fromtimestamp(NOON_MS / 1000, UTC).hour == 12
