"""Caps are ceilings, holds are whole or not at all, and a refusal says why."""

import asyncio

import pytest
from msgspec.structs import replace

from engines import AnyStore
from ledger_world import (
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
from tokenward.kernel.bound import CostBound
from tokenward.kernel.money import nusd_from_pico
from tokenward.kernel.refusals import Refusal
from tokenward.ledger.records import Cap, Hold, HoldAsk, Unit, Waitable, Window

SUBJECTS = ("key:k1", "project:p1", "account:a1")


async def at_once(store: AnyStore, asks: list[HoldAsk]) -> tuple[list[Hold], list[Refusal]]:
    answers = await asyncio.gather(*(store.ledger.hold(wish) for wish in asks))
    holds = [answer for answer in answers if isinstance(answer, Hold)]
    return holds, [answer for answer in answers if isinstance(answer, Refusal)]


@pytest.mark.req("B-1")
@pytest.mark.parametrize(
    ("limit", "cost", "calls", "admitted"),
    [(100, 5, 50, 20), (5, 1, 10, 5), (5_000_000_000, 50_000_000, 1000, 100)],
)
async def test_concurrent_calls_fill_a_cap_to_its_last_unit_and_never_pass_it(
    store: AnyStore, clock: MovingClock, limit: int, cost: int, calls: int, admitted: int
) -> None:
    await store.ledger.set_cap(cap("key:k1", "0/day", limit=limit))
    holds, refusals = await at_once(store, [ask(cost)] * calls)
    assert len(holds) == admitted
    assert {refusal.code for refusal in refusals} == {"cap:held"}
    await asyncio.gather(*(store.ledger.settle(h, charge(cost), NOON_MS) for h in holds))
    status = await standing(store, clock, "key:k1")
    assert (status.spent, status.held, status.running) == (limit, 0, 0)
    assert refused(await store.ledger.hold(ask(1))).code == "cap:reached"


@pytest.mark.req("B-7")
async def test_a_thousandfold_balance_buys_no_shortcut(store: AnyStore, clock: MovingClock) -> None:
    await store.books.create_account("a1", NOON_MS)
    await store.ledger.add_credit("a1", 100_000, NOON_MS, "")
    await store.ledger.set_cap(cap("key:k1", "0/day", limit=100))
    holds, _ = await at_once(store, [ask(5)] * 50)
    assert len(holds) == 20
    await store.ledger.set_cap(cap("key:k1", "0/day", limit=100_000))
    more, _ = await at_once(store, [ask(5_000)] * 50)
    assert len(more) == 19, "what was held before counts"


@pytest.mark.req("B-2")
@pytest.mark.parametrize("blocking", SUBJECTS)
async def test_each_scope_alone_blocks_and_then_no_counter_has_moved(
    store: AnyStore, clock: MovingClock, blocking: str
) -> None:
    for subject in SUBJECTS:
        await store.ledger.set_cap(cap(subject, "0/day", limit=4 if subject == blocking else 1_000))
    refusal = refused(await store.ledger.hold(ask(5)))
    assert refusal.code == "cap:reached"
    assert dict(refusal.facts)["subject"] == blocking
    for status in await store.ledger.caps(clock.now_ms()):
        assert (status.spent, status.held) == (0, 0)


@pytest.mark.req("B-2")
async def test_a_hold_stands_on_all_caps_that_apply_and_on_no_other(
    store: AnyStore, clock: MovingClock
) -> None:
    applies = [
        cap("key:k1", "0/hour", limit=50),
        cap("project:p1", "0/day", limit=50),
        cap("account:a1", "0/month", limit=50),
        cap("account:a1", "0/total", limit=50, model="gpt-5*"),
    ]
    others = [
        cap("key:k2", "0/hour", limit=50),
        cap("project:p2", "0/day", limit=50),
        cap("account:a1", "0/day", limit=50, model="o*"),
    ]
    for one in applies + others:
        await store.ledger.set_cap(one)
    hold = taken(await store.ledger.hold(ask(7)))
    held = {(s.cap.subject, s.cap.model): s.held for s in await store.ledger.caps(NOON_MS)}
    assert held == {
        ("key:k1", ""): 7, ("project:p1", ""): 7, ("account:a1", ""): 7,
        ("account:a1", "gpt-5*"): 7,
        ("key:k2", ""): 0, ("project:p2", ""): 0, ("account:a1", "o*"): 0,
    }  # fmt: skip
    await store.ledger.settle(hold, charge(3), NOON_MS)
    spent = [(s.spent, s.held) for s in await store.ledger.caps(NOON_MS)]
    assert sorted(spent) == [(0, 0)] * 3 + [(3, 0)] * 4


@pytest.mark.req("B-4")
async def test_ten_thousand_calls_of_one_token_cost_exactly_their_sum(
    store: AnyStore, clock: MovingClock
) -> None:
    """$0.05 a million tokens is 50,000 pico a token: 50 nano-dollars, never 0."""
    await store.ledger.set_cap(cap("key:k1", "1.00/day"))
    one = CostBound(50_000, 0, 1, 0, 0)
    for _ in range(20):
        holds, refusals = await at_once(store, [ask(one)] * 500)
        assert not refusals
        cost = nusd_from_pico(50_000)
        assert cost == 50
        await asyncio.gather(*(store.ledger.settle(h, charge(cost, 1), NOON_MS) for h in holds))
    assert (await standing(store, clock, "key:k1")).spent == 10_000 * 50
    (row,) = await store.books.usage("key", 0, NOON_MS + 1)
    assert (row.calls, row.cost_nusd) == (10_000, 500_000)


@pytest.mark.req("B-8")
@pytest.mark.parametrize("unit", [Unit.NUSD, Unit.TOKENS, Unit.REQUESTS])
@pytest.mark.parametrize("window", list(Window))
@pytest.mark.parametrize("subject", SUBJECTS)
async def test_a_cap_of_every_unit_and_window_stops_on_every_scope(
    store: AnyStore, clock: MovingClock, subject: str, window: Window, unit: Unit
) -> None:
    await store.ledger.set_cap(cap(subject, "0/day", limit=2, window=window, unit=unit))
    wish = ask(exactly(1, tokens=1))
    for _ in range(2):
        hold = taken(await store.ledger.hold(wish))
        await store.ledger.settle(hold, charge(1, 1), NOON_MS)
    refusal = refused(await store.ledger.hold(wish))
    assert refusal.code == "cap:reached"
    assert dict(refusal.facts) | {"resets_at": None} == {
        "subject": subject, "model": "", "window": window.value, "unit": unit.value,
        "limit": 2, "spent": 2, "held": 0, "needed": 1, "resets_at": None,
    }  # fmt: skip
    assert (dict(refusal.facts)["resets_at"] is None) == (window is Window.TOTAL)


@pytest.mark.req("B-8")
async def test_a_token_cap_an_hour_stops_a_burst_of_few_huge_requests(
    store: AnyStore, clock: MovingClock
) -> None:
    """A theft as it happened: 47 requests, 14 million tokens, in one hour."""
    await store.ledger.set_cap(cap("key:k1", "1000000tok/hour"))
    passed = 0
    for _ in range(47):
        answer = await store.ledger.hold(ask(exactly(0, tokens=300_000)))
        if isinstance(answer, Hold):
            passed += 1
            await store.ledger.settle(answer, charge(0, 299_000), clock.at_ms)
        clock.at_ms += MINUTE_MS // 2
    assert passed == 3


async def test_the_output_limit_granted_is_what_the_tightest_cap_affords(
    store: AnyStore,
) -> None:
    await store.ledger.set_cap(cap("key:k1", "0/day", limit=1_000))
    await store.ledger.set_cap(cap("project:p1", "0/day", limit=600))
    await store.ledger.set_cap(cap("account:a1", "500tok/day"))
    bound = CostBound(100_000, 2_000, 100, 1, 10_000)
    hold = taken(await store.ledger.hold(ask(bound)))
    assert (hold.output_tokens, hold.amount_nusd, hold.tokens) == (250, 600, 350)
    assert hold.is_capped


@pytest.mark.req("F-2")
@pytest.mark.parametrize("subject", SUBJECTS)
async def test_a_refusal_tells_what_is_spent_from_what_is_only_held(
    store: AnyStore, subject: str
) -> None:
    await store.ledger.set_cap(cap(subject, "20.00/day"))
    first = taken(await store.ledger.hold(ask(19_710_000_000)))
    await store.ledger.settle(first, charge(19_710_000_000), NOON_MS)
    small = taken(await store.ledger.hold(ask(200_000_000)))
    held = refused(await store.ledger.hold(ask(200_000_000)))
    assert (held.code, held.status) == ("cap:held", 429)
    assert held.should_retry
    assert held.retry_after_s is not None
    assert held.retry_after_s <= 30
    reached = refused(await store.ledger.hold(ask(400_000_000)))
    assert (reached.code, reached.status) == ("cap:reached", 429)
    assert not reached.should_retry
    assert reached.retry_after_s is None
    assert dict(reached.facts) == {
        "subject": subject, "model": "", "window": "day", "unit": "nusd",
        "limit": 20_000_000_000, "spent": 19_710_000_000, "held": 200_000_000,
        "needed": 400_000_000, "resets_at": "2026-01-16T00:00:00.000Z",
    }  # fmt: skip
    assert "daily cap of $20.00 (spent $19.71, held $0.20 by 1 running call)" in reached.message
    assert f"Resets 00:00 UTC, or raise it: tokenward cap set {subject} 25.00/day" in (
        reached.message
    )
    await store.ledger.void(small, "test", NOON_MS)


@pytest.mark.req("F-4")
async def test_without_a_cap_nothing_is_ever_blocked(store: AnyStore) -> None:
    await store.ledger.set_cap(cap("key:other", "0/day"))
    for _ in range(10):
        holds, refusals = await at_once(store, [ask(10**12)] * 200)
        assert not refusals
        assert not holds[0].is_capped
        await asyncio.gather(*(store.ledger.void(h, "test", NOON_MS) for h in holds))


@pytest.mark.req("F-5")
async def test_what_is_listed_is_what_is_enforced(store: AnyStore, clock: MovingClock) -> None:
    await store.ledger.set_cap(cap("key:k1", "0/day", limit=1_000))
    holds, _ = await at_once(store, [ask(70)] * 9)
    for hold in holds[:4]:
        await store.ledger.settle(hold, charge(33), NOON_MS)
    status = await standing(store, clock, "key:k1")
    left = status.cap.limit - status.spent - status.held
    facts = dict(refused(await store.ledger.hold(ask(left + 1))).facts)
    assert (facts["spent"], facts["held"]) == (status.spent, status.held)
    assert taken(await store.ledger.hold(ask(left))).amount_nusd == left


async def test_a_limit_for_one_call_is_refused_apart_from_caps(store: AnyStore) -> None:
    wish = ask(CostBound(400_000, 1_000, 0, 200, 200), max_call_nusd=500)
    refusal = refused(await store.ledger.hold(wish))
    assert (refusal.code, refusal.status, refusal.should_retry) == ("cap:max_call", 403, False)
    shorter = replace(wish, bound=CostBound(400_000, 1_000, 0, 1, 200))
    hold = taken(await store.ledger.hold(shorter))
    assert (hold.output_tokens, hold.amount_nusd, hold.is_capped) == (100, 500, True)


@pytest.mark.req("B-6")
async def test_a_model_without_a_price_is_refused_only_where_money_is_capped(
    store: AnyStore,
) -> None:
    unpriced = ask(CostBound(0, 0, 10, 1, 50), is_priced=False, model="new-model")
    free = taken(await store.ledger.hold(unpriced))
    assert (free.amount_nusd, free.is_capped) == (0, False)
    await store.ledger.void(free, "test", NOON_MS)
    await store.ledger.set_cap(cap("account:a1", "100tok/day"))
    assert taken(await store.ledger.hold(unpriced)).tokens == 60
    refusal = refused(await store.ledger.hold(replace(unpriced, max_call_nusd=10)))
    assert refusal.code == "model:unpriced"
    await store.ledger.set_cap(cap("project:p1", "5.00/day"))
    refusal = refused(await store.ledger.hold(unpriced))
    assert (refusal.code, refusal.status, refusal.should_retry) == ("model:unpriced", 400, False)
    assert "[prices]" in refusal.message
    assert '"new-model"' in refusal.message


@pytest.mark.req("B-9")
async def test_a_throttling_cap_says_that_waiting_may_help_and_still_holds(
    store: AnyStore, clock: MovingClock
) -> None:
    await store.ledger.set_cap(cap("key:k1", "0/minute", limit=10, throttles=True))
    hold = taken(await store.ledger.hold(ask(10)))
    waiting = refused(await store.ledger.hold(ask(10)))
    assert isinstance(waiting, Waitable)
    assert waiting.resets_ms == NOON_MS + MINUTE_MS
    woken = asyncio.create_task(store.ledger.wait_for_room(10))
    await asyncio.sleep(0)
    await store.ledger.void(hold, "test", NOON_MS)
    assert await woken
    taken(await store.ledger.hold(ask(10)))
    assert not await store.ledger.wait_for_room(0.001)
    await store.ledger.set_cap(cap("project:p1", "0/day", limit=10))
    assert not isinstance(refused(await store.ledger.hold(ask(10))), Waitable)


async def test_prepaid_credit_limits_from_the_first_credit_on(
    store: AnyStore, clock: MovingClock
) -> None:
    await store.books.create_account("a1", NOON_MS)
    with pytest.raises(ValueError, match="no account"):
        await store.ledger.add_credit("nobody", 5, NOON_MS, "")
    before = taken(await store.ledger.hold(ask(70, at_ms=NOON_MS - 1)))
    await store.ledger.settle(before, charge(70), NOON_MS)
    assert await store.ledger.add_credit("a1", 100, NOON_MS, "first") == 100
    taken(await store.ledger.hold(ask(60)))
    refusal = refused(await store.ledger.hold(ask(60)))
    assert "prepaid credit of $0.0000001 reserved" in refusal.message
    assert refusal.code == "cap:held"
    assert await store.ledger.add_credit("a1", 20, NOON_MS, "more") == 120
    taken(await store.ledger.hold(ask(60)))
    (account,) = await store.books.accounts()
    assert account.credit_nusd == 120
    status = await standing(store, clock, "account:a1")
    assert (status.cap.id, status.spent, status.held) == ("credit:a1", 0, 120)


async def test_a_new_cap_counts_what_its_window_has_spent_and_holds(
    store: AnyStore, clock: MovingClock
) -> None:
    old = taken(await store.ledger.hold(ask(1_000, at_ms=NOON_MS - 86_400_000)))
    await store.ledger.settle(old, charge(1_000), NOON_MS)
    late = taken(await store.ledger.hold(ask(500, at_ms=NOON_MS - 86_400_000)))
    for cost in (11, 22):
        hold = taken(await store.ledger.hold(ask(50)))
        await store.ledger.settle(hold, charge(cost), NOON_MS)
    running = taken(await store.ledger.hold(ask(50)))
    other = taken(await store.ledger.hold(ask(50, model="o3")))
    await store.ledger.set_cap(cap("project:p1", "0/day", limit=1_000, model="gpt-*"))
    status = await standing(store, clock, "project:p1")
    assert (status.spent, status.held, status.running) == (33, 50, 1)
    await store.ledger.settle(late, charge(500), NOON_MS)
    await store.ledger.settle(running, charge(1), NOON_MS)
    await store.ledger.settle(other, charge(1), NOON_MS)
    status = await standing(store, clock, "project:p1")
    assert (status.spent, status.held) == (34, 0)


async def test_caps_set_in_the_middle_of_traffic_count_all_of_it(
    store: AnyStore, clock: MovingClock
) -> None:
    """The store's own audit, at the end of every test, recounts each of them."""

    async def caller() -> None:
        for _ in range(30):
            hold = taken(await store.ledger.hold(ask(3)))
            await store.ledger.settle(hold, charge(2), NOON_MS)

    callers = [asyncio.create_task(caller()) for _ in range(8)]
    await store.books.create_account("a1", NOON_MS)
    zones = ["UTC", "Asia/Tokyo", "Europe/Berlin"]
    turns = 0
    while not all(task.done() for task in callers):
        turns += 1
        subject = SUBJECTS[turns % 3]
        await store.ledger.set_cap(cap(subject, "0/day", limit=10**6, zone=zones[turns % 2]))
        if turns % 4 == 0:
            await store.ledger.remove_cap(subject, "", "day", "nusd")
        await store.ledger.add_credit("a1", 10**6, NOON_MS, "")
    await asyncio.gather(*callers)
    assert turns > 3
    await store.ledger.set_cap(cap("key:k1", "0/month", limit=10**6))
    spent = {s.spent for s in await store.ledger.caps(NOON_MS) if s.cap.id[:6] != "credit"}
    assert spent == {8 * 30 * 2}


async def test_caps_change_while_holds_are_open(store: AnyStore, clock: MovingClock) -> None:
    first = await store.ledger.set_cap(cap("key:k1", "0/day", limit=100))
    holds, _ = await at_once(store, [ask(40)] * 2)
    lowered = await store.ledger.set_cap(cap("key:k1", "0/day", limit=50))
    assert (lowered.id, lowered.created_ms) == (first.id, first.created_ms)
    status = await standing(store, clock, "key:k1")
    assert (status.cap.limit, status.held) == (50, 80)
    assert refused(await store.ledger.hold(ask(1))).code == "cap:held"
    moved = await store.ledger.set_cap(cap("key:k1", "0/day", limit=50, zone="Asia/Tokyo"))
    assert moved.id == first.id
    assert (await standing(store, clock, "key:k1")).held == 80
    assert await store.ledger.remove_cap("key:k1", "", "day", "nusd")
    assert not await store.ledger.remove_cap("key:k1", "", "day", "nusd")
    await store.ledger.settle(holds[0], charge(40), NOON_MS)
    await store.ledger.set_cap(cap("key:k1", "0/day", limit=100))
    await store.ledger.settle(holds[1], charge(30), NOON_MS)
    status = await standing(store, clock, "key:k1")
    assert (status.spent, status.held, status.running) == (70, 0, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"subject": "team:x"},
        {"subject": "key:"},
        {"subject": "key:a b"},
        {"zone": "Mars/Olympus"},
        {"zone": "../etc/passwd"},
        {"limit": -1},
        {"limit": 2**63},
        {"model": "x" * 200},
        {"model": "\ud800"},
    ],
)
async def test_a_cap_that_cannot_be_is_refused_and_changes_nothing(
    store: AnyStore, clock: MovingClock, wrong: dict[str, object]
) -> None:
    values: dict[str, object] = {"subject": "key:k1", "window": Window.DAY, "unit": Unit.NUSD}
    with pytest.raises(ValueError):
        await store.ledger.set_cap(
            Cap(**{"id": "", "limit": 1, "created_ms": 0, **values, **wrong})  # type: ignore[arg-type]
        )
    assert await store.ledger.caps(NOON_MS) == []


@pytest.mark.parametrize("model", ["x" * 300, "\ud800"])
async def test_a_model_name_that_cannot_be_kept_is_a_refusal(store: AnyStore, model: str) -> None:
    assert refused(await store.ledger.hold(ask(1, model=model))).code == "request:invalid"


async def test_a_call_dearer_than_any_ledger_keeps_is_a_refusal(store: AnyStore) -> None:
    assert refused(await store.ledger.hold(ask(2**60))).code == "request:invalid"
    assert (
        taken(await store.ledger.hold(ask(CostBound(0, 10**9, 0, 1, 2**60)))).amount_nusd <= 2**53
    )
