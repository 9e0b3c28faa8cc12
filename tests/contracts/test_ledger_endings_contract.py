"""A hold ends exactly once, whoever tries, and no bill is ever above the ledger."""

import asyncio

import pytest

from engines import AnyStore, Opener
from ledger_world import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    NOON_MS,
    MovingClock,
    ask,
    cap,
    charge,
    exactly,
    refused,
    standing,
    taken,
)
from tokenward.kernel.refusals import Refusal
from tokenward.kernel.usage import Usage
from tokenward.ledger.records import Hold, Settlement


@pytest.mark.req("M-6")
async def test_a_double_settlement_posts_once_and_answers_the_same(
    store: AnyStore, clock: MovingClock
) -> None:
    await store.ledger.set_cap(cap("key:k1", "0/day", limit=100))
    hold = taken(await store.ledger.hold(ask(50)))
    both = await asyncio.gather(
        store.ledger.settle(hold, charge(30), NOON_MS),
        store.ledger.settle(hold, charge(30), NOON_MS),
    )
    assert both == [Settlement(state="settled", cost_nusd=30, overrun_nusd=0)] * 2
    late = await store.ledger.void(hold, "too late", NOON_MS)
    assert (late.state, late.cost_nusd) == ("settled", 30)
    status = await standing(store, clock, "key:k1")
    assert (status.spent, status.held) == (30, 0)


@pytest.mark.req("F-5")
async def test_a_cap_shows_what_was_settled_just_before(
    store: AnyStore, clock: MovingClock
) -> None:
    await store.ledger.set_cap(cap("key:k1", "0/day", limit=100))
    hold = taken(await store.ledger.hold(ask(50)))
    settling = store.ledger.settle(hold, charge(30), NOON_MS)
    status = await standing(store, clock, "key:k1")
    assert (status.spent, status.held, status.running) == (30, 0, 0)
    await settling


@pytest.mark.req("M-6")
async def test_a_settlement_after_a_restart_does_not_pay_again(
    reopen: Opener, clock: MovingClock
) -> None:
    store = await reopen()
    await store.ledger.set_cap(cap("key:k1", "0/day", limit=100))
    settled = taken(await store.ledger.hold(ask(50)))
    await store.ledger.settle(settled, charge(20), NOON_MS)
    left_open = taken(await store.ledger.hold(ask(30)))
    store = await reopen()
    (orphan,) = [e for _, e in await store.books.events(0, 100) if e.kind == "hold:expired"]
    assert orphan.facts["cost_nusd"] == 30
    again = await store.ledger.settle(settled, charge(20), NOON_MS)
    assert (again.state, again.cost_nusd) == ("settled", 20)
    closed = await store.ledger.settle(left_open, charge(10), NOON_MS)
    assert (closed.state, closed.cost_nusd) == ("expired", 30)
    assert (await standing(store, clock, "key:k1")).spent == 50
    assert await store.books.audit() == []


async def test_money_freed_by_a_settlement_is_there_for_the_very_next_call(
    store: AnyStore,
) -> None:
    await store.ledger.set_cap(cap("key:k1", "0/day", limit=10))
    hold = taken(await store.ledger.hold(ask(10)))
    for _ in range(50):
        done = store.ledger.settle(hold, charge(0), NOON_MS)
        hold = taken(await store.ledger.hold(ask(10)))  # asked before the settlement is durable
        assert (await done).state == "settled"


@pytest.mark.req("F-1")
async def test_a_hold_that_nobody_ends_is_closed_at_full_price_by_the_sweep(
    store: AnyStore, clock: MovingClock
) -> None:
    await store.ledger.set_cap(cap("key:k1", "0/day", limit=1_000))
    await asyncio.gather(*(store.ledger.hold(ask(3)) for _ in range(300)))
    fresh = taken(await store.ledger.hold(ask(5, at_ms=NOON_MS + MINUTE_MS)))
    assert await store.ledger.sweep(NOON_MS + 10 * MINUTE_MS - 1) == 0
    assert await store.ledger.sweep(NOON_MS + 10 * MINUTE_MS) == 300
    status = await standing(store, clock, "key:k1")
    assert (status.spent, status.held, status.running) == (900, 5, 1)
    events = [event for _, event in await store.books.events(0, 1000)]
    expired = [event for event in events if event.kind == "hold:expired"]
    assert len(expired) == 300
    assert expired[0].facts["cost_nusd"] == 3
    await store.ledger.settle(fresh, charge(5), NOON_MS)
    (row,) = await store.books.usage("key", 0, NOON_MS + DAY_MS)
    assert (row.calls, row.cost_nusd, row.estimates) == (301, 905, 300)


async def test_the_first_ending_stays_and_a_higher_bill_is_added_to_it(
    store: AnyStore, clock: MovingClock
) -> None:
    await store.ledger.set_cap(cap("key:k1", "0/day", limit=1_000))
    expired = taken(await store.ledger.hold(ask(100)))
    await store.ledger.sweep(NOON_MS + HOUR_MS)
    cheap = await store.ledger.settle(expired, charge(60), NOON_MS)
    assert cheap == Settlement(state="expired", cost_nusd=100, overrun_nusd=0)
    dear = await store.ledger.settle(expired, charge(130), NOON_MS)
    assert dear == Settlement(state="expired", cost_nusd=130, overrun_nusd=30)
    assert await store.ledger.settle(expired, charge(130), NOON_MS) == dear
    voided = taken(await store.ledger.hold(ask(100)))
    await store.ledger.void(voided, "not sent", NOON_MS)
    billed = await store.ledger.settle(voided, charge(7), NOON_MS)
    assert billed == Settlement(state="voided", cost_nusd=7, overrun_nusd=7)
    guess = await store.ledger.settle(voided, charge(is_estimate=True), NOON_MS)
    assert guess == billed, "what nobody knows is no bill"
    assert (await standing(store, clock, "key:k1")).spent == 137


async def test_a_bill_above_the_hold_is_posted_in_full_and_told(
    store: AnyStore, clock: MovingClock
) -> None:
    await store.ledger.set_cap(cap("key:k1", "0/day", limit=100))
    await store.ledger.set_cap(cap("project:p1", "100tok/day"))
    hold = taken(await store.ledger.hold(ask(exactly(90, tokens=50))))
    done = await store.ledger.settle(hold, charge(120, 80), NOON_MS)
    assert done == Settlement(state="settled", cost_nusd=120, overrun_nusd=30)
    assert (await standing(store, clock, "key:k1")).spent == 120
    assert (await standing(store, clock, "project:p1")).spent == 80
    (event,) = [e for _, e in await store.books.events(0, 100) if e.kind == "ledger:overrun"]
    assert (event.facts["overrun_nusd"], event.facts["overrun_tokens"]) == (30, 30)
    assert refused(await store.ledger.hold(ask(exactly(0)))).code == "cap:reached"
    (row,) = await store.books.usage("day", 0, NOON_MS + 1)
    assert (row.by, row.calls, row.cost_nusd) == ("2026-01-15", 1, 120)


async def test_a_call_that_nothing_bounds_is_posted_in_full_without_an_alarm(
    store: AnyStore,
) -> None:
    hold = taken(await store.ledger.hold(ask(0)))
    done = await store.ledger.settle(hold, charge(500, 80), NOON_MS)
    assert done.cost_nusd == 500
    assert await store.books.events(0, 100) == []
    (row,) = await store.books.usage("account", 0, NOON_MS + 1)
    assert (row.calls, row.cost_nusd) == (1, 500)


@pytest.mark.req("M-5")
async def test_usage_that_cannot_be_read_costs_the_whole_hold(
    store: AnyStore, clock: MovingClock
) -> None:
    await store.ledger.set_cap(cap("key:k1", "0/day", limit=100))
    hold = taken(await store.ledger.hold(ask(exactly(90, tokens=50))))
    done = await store.ledger.settle(hold, charge(0, is_estimate=True, why="no usage"), NOON_MS)
    assert (done.cost_nusd, (await standing(store, clock, "key:k1")).spent) == (90, 90)
    (row,) = await store.books.usage("model", 0, NOON_MS + 1)
    assert (row.by, row.cost_nusd, row.estimates) == ("gpt-5-mini", 90, 1)


async def test_usage_rows_add_up_what_providers_reported(store: AnyStore) -> None:
    usage = Usage(input=10, cache_read=5, output=7, reasoning=3, doubts=("cached > input",))
    for key, project in (("k1", "p1"), ("k2", "p1"), ("k3", "p2")):
        wish = ask(exactly(50, tokens=50), key=key, project=project)
        hold = taken(await store.ledger.hold(wish))
        await store.ledger.settle(hold, charge(20, 22, usage=usage), NOON_MS)
    rows = await store.books.usage("project", NOON_MS, NOON_MS + 1)
    assert [(r.by, r.cost_nusd, r.calls) for r in rows] == [("p1", 40, 2), ("p2", 20, 1)]
    assert (rows[0].input_tokens, rows[0].output_tokens, rows[0].cached_tokens) == (30, 14, 10)
    assert await store.books.usage("key", NOON_MS + 1, NOON_MS + 2) == []
    with pytest.raises(ValueError, match="usage is by"):
        await store.books.usage("colour", 0, 1)
    kinds = [event.kind for _, event in await store.books.events(0, 10)]
    assert kinds == ["usage:doubt"] * 3


async def test_the_same_idempotency_key_never_pays_twice(
    store: AnyStore, clock: MovingClock
) -> None:
    """L8: running, spent, voided, expired, and a day later."""
    wish = ask(5, idempotency="digest")
    voided = taken(await store.ledger.hold(wish))
    await store.ledger.void(voided, "not sent", NOON_MS)
    first = taken(await store.ledger.hold(wish))
    running = refused(await store.ledger.hold(wish))
    assert (running.code, running.status, running.retry_after_s) == ("idempotency:running", 409, 1)
    taken(await store.ledger.hold(ask(5, idempotency="digest", key="k2")))
    await store.ledger.settle(first, charge(5), NOON_MS)
    spent = refused(await store.ledger.hold(wish))
    assert (spent.code, spent.status, spent.should_retry) == ("idempotency:spent", 409, False)
    taken(await store.ledger.hold(ask(5, idempotency="other")))
    await store.ledger.sweep(NOON_MS + HOUR_MS)
    later = ask(5, idempotency="other", at_ms=NOON_MS + HOUR_MS)
    assert refused(await store.ledger.hold(later)).code == "idempotency:spent"
    await store.ledger.sweep(NOON_MS + DAY_MS)
    taken(await store.ledger.hold(ask(5, idempotency="digest", at_ms=NOON_MS + DAY_MS)))


async def test_an_idempotency_key_is_decided_once_among_many_at_once(store: AnyStore) -> None:
    answers = await asyncio.gather(
        *(store.ledger.hold(ask(5, idempotency="same")) for _ in range(40))
    )
    codes = [getattr(answer, "code", "held") for answer in answers]
    assert codes == ["held"] + ["idempotency:running"] * 39


@pytest.mark.req("F-1")
async def test_a_caller_that_goes_away_leaves_no_hold_behind(
    store: AnyStore, clock: MovingClock
) -> None:
    await store.ledger.set_cap(cap("key:k1", "0/day", limit=1_000))

    async def give_back(tasks: list[asyncio.Task[Hold | Refusal]]) -> None:
        """Holds that were handed over before the cancellation came are the caller's to void."""
        for answer in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(answer, Hold):
                await store.ledger.void(answer, "test", NOON_MS)

    for yields in range(12):
        task = asyncio.create_task(store.ledger.hold(ask(10)))
        for _ in range(yields):
            await asyncio.sleep(0)
        task.cancel()
        await give_back([task])
    for wait_s in (0.0001, 0.0003, 0.001, 0.002):
        tasks = [asyncio.create_task(store.ledger.hold(ask(1))) for _ in range(20)]
        await asyncio.sleep(wait_s)
        for task in tasks:
            task.cancel()
        await give_back(tasks)
    await store.ledger.sweep(NOON_MS)  # behind every hold, and then behind every void
    taken(await store.ledger.hold(ask(1_000)))
    status = await standing(store, clock, "key:k1")
    assert (status.held, status.running, status.spent) == (1_000, 1, 0)


async def test_a_settlement_counts_also_when_its_caller_goes_away(
    store: AnyStore, clock: MovingClock
) -> None:
    await store.ledger.set_cap(cap("key:k1", "0/day", limit=1_000))
    holds = [taken(await store.ledger.hold(ask(10))) for _ in range(5)]
    for hold in holds:
        asyncio.ensure_future(store.ledger.settle(hold, charge(10), NOON_MS)).cancel()
    await store.ledger.hold(ask(1))
    assert (await standing(store, clock, "key:k1")).spent == 50


async def test_thresholds_are_told_once_a_window_and_again_in_the_next(
    store: AnyStore, clock: MovingClock
) -> None:
    await store.ledger.set_cap(cap("key:k1", "0/day", limit=100))

    async def spend(cost: int) -> None:
        hold = taken(await store.ledger.hold(ask(cost, at_ms=clock.at_ms)))
        await store.ledger.settle(hold, charge(cost), clock.at_ms)

    async def told() -> list[tuple[object, object]]:
        events = [event for _, event in await store.books.events(0, 100)]
        assert {event.kind for event in events} <= {"cap:threshold"}
        return [(event.facts["per_mille"], event.facts["spent"]) for event in events]

    await spend(49)
    assert await told() == []
    await spend(1)
    await spend(40)
    assert await told() == [(500, 50), (800, 90)]
    await store.ledger.hold(ask(11))
    await store.ledger.hold(ask(11))
    assert await told() == [(500, 50), (800, 90), (1000, 90)]
    clock.at_ms += DAY_MS
    await spend(100)
    assert [mille for mille, _ in (await told())[3:]] == [500, 800, 1000]
    await store.ledger.set_cap(cap("key:k1", "0/day", limit=200))
    await spend(60)
    assert (await told())[6:] == [(800, 160)]
    assert await store.books.last_event() == 7
    assert [n for n, _ in await store.books.events(5, 10)] == [6, 7]
