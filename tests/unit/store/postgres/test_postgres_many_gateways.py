"""Many gateways, one truth: no increment is lost, nothing deadlocks, caps hold over all."""

import asyncio

import pytest

from ledger_world import HOUR_MS, NOON_MS, ask, cap, charge, refused, standing, taken
from postgres_world import Town
from tokenward.kernel.errors import StoreBusyError, StoreError
from tokenward.ledger.records import Hold, Settlement

OWNERS = [("k1", "p1", "a1"), ("k2", "p1", "a1"), ("k3", "p2", "a1"), ("k4", "p3", "a2")]
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"


@pytest.mark.req("O-1")
async def test_every_increment_of_256_callers_on_four_gateways_is_counted(town: Town) -> None:
    stores = [await town.gateway() for _ in range(4)]
    for store, (key, project, account) in zip(stores, OWNERS, strict=True):
        await store.ledger.set_cap(cap(f"key:{key}", "0/day", limit=10**9))
        await store.ledger.set_cap(cap(f"project:{project}", "0/hour", limit=10**9))
        await store.ledger.set_cap(cap(f"account:{account}", "0/month", limit=10**9))

    async def caller(number: int) -> None:
        ledger = stores[number % 4].ledger
        for turn in range(50):
            key, project, account = OWNERS[(number + turn) % 4]
            wish = ask(9, key=key, project=project, account=account, request_id=f"{number}.{turn}")
            hold = taken(await ledger.hold(wish))
            await ledger.settle(hold, charge(7), NOON_MS)

    await asyncio.gather(*(caller(number) for number in range(256)))
    spent = {s.cap.subject: (s.spent, s.held) for s in await stores[0].ledger.caps(NOON_MS)}
    each = 256 * 50 // 4 * 7
    assert spent == {
        "key:k1": (each, 0), "key:k2": (each, 0), "key:k3": (each, 0), "key:k4": (each, 0),
        "project:p1": (2 * each, 0), "project:p2": (each, 0), "project:p3": (each, 0),
        "account:a1": (3 * each, 0), "account:a2": (each, 0),
    }  # fmt: skip
    assert town.ask(DEADLOCKS) == [(0,)]
    assert await stores[0].books.reconcile(NOON_MS) == 0


@pytest.mark.req("O-1")
async def test_64_tasks_on_overlapping_caps_move_all_of_them_or_none(town: Town) -> None:
    stores = [await town.gateway() for _ in range(4)]
    await stores[0].ledger.set_cap(cap("account:a1", "0/day", limit=100))
    for key, project, _ in OWNERS[:3]:
        await stores[1].ledger.set_cap(cap(f"key:{key}", "0/day", limit=60))
        await stores[2].ledger.set_cap(cap(f"project:{project}", "0/day", limit=70))
    answers = await asyncio.gather(
        *(
            stores[n % 4].ledger.hold(ask(5, key=OWNERS[n % 3][0], project=OWNERS[n % 3][1]))
            for n in range(64)
        )
    )
    held = [answer for answer in answers if isinstance(answer, Hold)]
    standings = {s.cap.subject: s for s in await stores[3].ledger.caps(NOON_MS)}
    assert standings["account:a1"].held == 5 * len(held) <= 100
    assert all(s.held <= s.cap.limit for s in standings.values())
    assert sum(standings[f"key:{key}"].held for key, _, _ in OWNERS[:3]) == 5 * len(held)
    assert len(held) == 20
    assert town.ask(DEADLOCKS) == [(0,)]


@pytest.mark.req("B-3")
async def test_a_fresh_keys_cap_holds_over_gateways_that_never_saw_it(town: Town) -> None:
    stores = [await town.gateway() for _ in range(4)]
    await stores[0].ledger.set_cap(cap("key:k1", "0/day", limit=100))
    answers = await asyncio.gather(*(stores[n % 4].ledger.hold(ask(5)) for n in range(200)))
    assert sum(isinstance(answer, Hold) for answer in answers) == 20


async def test_a_cap_that_another_gateway_changed_counts_for_the_very_next_hold(
    town: Town,
) -> None:
    first, second = await town.gateway(), await town.gateway()
    await first.ledger.set_cap(cap("key:k1", "0/day", limit=100))
    hold = taken(await second.ledger.hold(ask(50)))
    await first.ledger.set_cap(cap("key:k1", "0/day", limit=60))
    assert refused(await second.ledger.hold(ask(11))).code == "cap:held"
    await second.ledger.set_cap(cap("project:p1", "0/day", limit=55))
    assert refused(await first.ledger.hold(ask(6))).code == "cap:held"
    assert await first.ledger.remove_cap("key:k1", "", "day", "nusd")
    assert await first.ledger.remove_cap("project:p1", "", "day", "nusd")
    taken(await second.ledger.hold(ask(1_000)))
    await second.ledger.settle(hold, charge(50), NOON_MS)


async def test_a_hold_that_ends_on_one_gateway_makes_room_for_a_call_on_another(
    town: Town,
) -> None:
    first, second = await town.gateway(), await town.gateway()
    await first.ledger.set_cap(cap("key:k1", "0/day", limit=10, throttles=True))
    hold = taken(await first.ledger.hold(ask(10)))

    async def patient() -> Hold:
        while not isinstance(answer := await second.ledger.hold(ask(10)), Hold):
            assert await second.ledger.wait_for_room(60.0)
        return answer

    waiting = asyncio.create_task(patient())
    await asyncio.sleep(0.01)
    await first.ledger.settle(hold, charge(0), NOON_MS)
    assert (await waiting).amount_nusd == 10


async def test_holds_of_a_gateway_that_is_gone_are_closed_and_its_late_word_counts(
    town: Town,
) -> None:
    asleep, awake = await town.gateway(), await town.gateway()
    await awake.ledger.set_cap(cap("key:k1", "0/day", limit=1_000))
    cheap, dear = [taken(await asleep.ledger.hold(ask(100))) for _ in range(2)]
    taken(await awake.ledger.hold(ask(7)))
    await asleep.feed.stop()  # it says no more that it is there, and is taken out
    assert await awake.ledger.sweep(NOON_MS) == 2
    with pytest.raises(StoreBusyError, match="took this one for dead"):
        await asleep.ledger.hold(ask(1))
    done = await asleep.ledger.settle(cheap, charge(10), NOON_MS)
    assert done == Settlement(state="expired", cost_nusd=100, overrun_nusd=0)
    done = await asleep.ledger.settle(dear, charge(130), NOON_MS)
    assert done == Settlement(state="expired", cost_nusd=130, overrun_nusd=30)
    status = await standing(awake, town.clock, "key:k1")
    assert (status.spent, status.held) == (230, 7)
    whys = [event.facts.get("why") for _, event in await awake.books.events(0, 10)]
    assert whys[:2] == ["the guard that took it stopped"] * 2


async def test_a_gateway_that_stops_leaves_its_holds_to_the_next_one(town: Town) -> None:
    first = await town.gateway()
    taken(await first.ledger.hold(ask(5, ttl_ms=HOUR_MS)))
    await first.close()
    second = await town.gateway()
    assert second.orphans == 1
    assert town.ask("SELECT count(*) FROM holds") == [(0,)]


async def test_what_one_call_does_wrong_harms_no_other_in_its_batch(town: Town) -> None:
    store = await town.gateway()
    lost = Hold(
        id=4_711, request_id="x", amount_nusd=1, tokens=0, output_tokens=0, is_capped=False,
        expires_ms=0,
    )  # fmt: skip
    answers = await asyncio.gather(
        store.ledger.hold(ask(5, request_id="req_good")),
        store.ledger.hold(ask(5, request_id="req_\0")),  # no text of PostgreSQL's
        store.ledger.settle(lost, charge(1), NOON_MS),
        store.ledger.hold(ask(5, request_id="req_also_good")),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [Hold, StoreError, StoreError, Hold]
    assert town.ask("SELECT request_id FROM holds ORDER BY id") == [
        ("req_good",), ("req_also_good",),
    ]  # fmt: skip


async def test_one_gateway_leads_and_when_it_stops_another_does(town: Town) -> None:
    first, second = await town.gateway(), await town.gateway()
    assert await first.is_leader()
    assert await first.is_leader()
    assert not await second.is_leader()
    await first.close()
    async with asyncio.timeout(20):
        while not await second.is_leader():
            await asyncio.sleep(0.01)


async def test_chores_are_done_by_the_leader_and_close_what_is_past_its_time(town: Town) -> None:
    first, second = await town.gateway(), await town.gateway()
    assert await first.is_leader()
    taken(await second.ledger.hold(ask(5, ttl_ms=1_000)))
    await second.chores(NOON_MS + 2_000, 0)
    assert town.ask("SELECT count(*) FROM holds") == [(1,)]
    await first.chores(NOON_MS + 2_000, 0)
    assert town.ask("SELECT count(*) FROM holds") == [(0,)]
