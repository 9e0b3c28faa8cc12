"""Incidents of keys: opened once, seen by every gateway, undone whole, and never half of any."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from engines import AnyStore, Engine, Opener
from ledger_world import NOON_MS, key_record
from tokenward.kernel.incidents import Evidence, Incident
from tokenward.keys.accusation import THING_CHARS_MAX, THINGS_MAX
from tokenward.keys.records import BARRED_MAX, Bar, KeyRecord

OFFICE = "origin:4f2a@DE-64496"
CAFE = "origin:91bc@BR-28573"
OPUS = "model:claude-opus-4"
WHY = "a program and a network that this key never had"


class Listener:
    """Fulfils `keys.interfaces.Watcher`: what was told of keys, in order."""

    def __init__(self) -> None:
        self.told: list[KeyRecord] = []

    def key_changed(self, record: KeyRecord) -> None:
        self.told.append(record)

    def name_revoked(self, name: str) -> None:
        raise AssertionError("no token is revoked here")


def theft(number: int = 1, key: str = "k1", **changes: Any) -> Incident:
    """What a policy says of a key."""
    values: dict[str, Any] = {
        "id": f"inc_{number}",
        "subject": f"key:{key}",
        "opened_ms": NOON_MS + number,
        "first_sign_ms": NOON_MS,
        "stopped_ms": NOON_MS + number,
        "actions": ("challenge",),
        "evidence": (
            Evidence(kind="E2", detector="novelty", reason=WHY, value=31.5, at_ms=NOON_MS),
            Evidence(kind="E1", detector="probe", reason="a known probe", at_ms=NOON_MS),
        ),
        "cost_before_stop_nusd": 7,
        "calls_before_stop": 2,
        "against": ("the key is two days old",),
        "undo": "tokenward incident undo",
        "who": 'curl ("curl/8.5.0") from 192.0.2.7',
    }
    return Incident(**{**values, **changes})


async def found(store: AnyStore, key: str = "k1") -> KeyRecord:
    record = await store.keys.find(key)
    assert record is not None
    assert record == await store.keys.read(key)
    return record


async def kinds(store: AnyStore) -> list[str]:
    return [event.kind for _, event in await store.books.events(0, 100)]


async def test_an_accusation_bars_and_is_kept_over_a_restart(reopen: Opener) -> None:
    store = await reopen()
    await store.keys.add(key_record())
    assert await store.keys.accuse("k1", theft(), (OFFICE, OPUS), freeze=False)
    bars = (Bar(OFFICE, "inc_1"),)
    assert (await found(store)).barred == bars
    assert (await found(store)).state == "live"
    store = await reopen()
    assert (await found(store)).barred == bars
    assert [record.barred for record in await store.keys.page()] == [bars]
    kept = await store.incidents.find("inc_1")
    assert kept == theft(things=(OFFICE, OPUS))
    assert await store.incidents.recent(10) == [kept]
    assert await kinds(store) == ["key:created", "incident:opened"]
    assert await store.books.audit() == []


async def test_incidents_are_found_by_state_and_subject_newest_first(store: AnyStore) -> None:
    for number, key in enumerate(("k1", "k2", "k1"), 1):
        if number < 3:
            await store.keys.add(key_record(key))
        assert await store.keys.accuse(key, theft(number, key), (f"origin:{number}",), freeze=False)
    await store.keys.undo("inc_1", NOON_MS)

    async def found(limit: int, state: str = "", subject: str = "") -> list[str]:
        return [each.id for each in await store.incidents.recent(limit, state, subject)]

    assert await found(10) == ["inc_3", "inc_2", "inc_1"]
    assert await found(2) == ["inc_3", "inc_2"]
    assert await found(10, "open") == ["inc_3", "inc_2"]
    assert await found(10, "false_alarm") == ["inc_1"]
    assert await found(10, "", "key:k1") == ["inc_3", "inc_1"]
    assert await found(1, "", "key:k1") == ["inc_3"]
    assert await found(10, "open", "key:k1") == ["inc_3"]
    assert await found(10, "confirmed") == await found(10, "", "key:k3") == []


async def test_a_freeze_names_its_incident_and_tells_who_runs_calls(store: AnyStore) -> None:
    listener = Listener()
    store.watch(listener)
    await store.keys.add(key_record())
    assert await store.keys.accuse("k1", theft(), (OFFICE,), freeze=True)
    frozen = await found(store)
    assert (frozen.state, frozen.frozen_why) == ("frozen", f"incident inc_1: {WHY}")
    assert frozen.barred == (Bar(OFFICE, "inc_1"),)
    assert listener.told
    assert all(told == frozen for told in listener.told)
    kept = await store.incidents.find("inc_1")
    assert kept is not None
    assert kept.actions == ("challenge", "freeze")
    assert await kinds(store) == ["key:created", "incident:opened", "key:frozen"]
    events = [event for _, event in await store.books.events(0, 100)]
    assert events[-1].facts["why"] == frozen.frozen_why


async def test_of_many_who_see_the_same_thief_one_opens_an_incident(store: AnyStore) -> None:
    await store.keys.add(key_record())
    opened = await asyncio.gather(
        *(
            store.keys.accuse("k1", theft(number), (OFFICE, OPUS), freeze=True)
            for number in range(1, 9)
        )
    )
    assert sorted(opened) == [False] * 7 + [True]
    (incident,) = await store.incidents.recent(10)
    assert {bar.incident for bar in (await found(store)).barred} == {incident.id}
    assert (await kinds(store)).count("incident:opened") == 1


async def test_the_same_accusation_told_twice_is_one(store: AnyStore) -> None:
    await store.keys.add(key_record())
    for _ in range(2):
        assert await store.keys.accuse("k1", theft(), (OFFICE,), freeze=True)
    assert len(await store.incidents.recent(10)) == 1


async def test_what_is_barred_or_cleared_or_revoked_or_unknown_opens_nothing(
    store: AnyStore,
) -> None:
    await store.keys.add(key_record(cleared=(CAFE,), barred=(Bar(OFFICE, "inc_0"),)))
    await store.keys.add(key_record("gone", state="revoked"))
    head = await store.books.head()
    for key, things, freeze in (
        ("k1", (OFFICE, CAFE), False),
        ("k1", (), False),
        ("gone", (OFFICE,), True),
        ("nobody", (OFFICE,), True),
        ("ключ", (OFFICE,), True),
    ):
        assert not await store.keys.accuse(key, theft(key=key), things, freeze=freeze)
    assert await store.books.head() == head
    assert await store.incidents.recent(10) == []


async def test_only_what_is_new_is_the_incidents(store: AnyStore) -> None:
    haiku = "model:claude-haiku-4"
    await store.keys.add(key_record(cleared=(haiku,), barred=(Bar(OFFICE, "inc_0"),)))
    assert await store.keys.accuse("k1", theft(), (OPUS, haiku, OPUS), freeze=False)
    assert (await found(store)).barred == (Bar(OFFICE, "inc_0"), Bar(OPUS, "inc_1"))
    kept = await store.incidents.find("inc_1")
    assert kept is not None
    assert kept.things == (OPUS,)


async def test_a_frozen_key_is_barred_and_stays_frozen_for_its_first_reason(
    store: AnyStore,
) -> None:
    await store.keys.add(key_record(state="frozen", frozen_why="an admin"))
    assert not await store.keys.accuse("k1", theft(1), (), freeze=True)
    assert await store.keys.accuse("k1", theft(2, actions=("freeze",)), (OFFICE,), freeze=True)
    assert (await found(store)).frozen_why == "an admin"
    kept = await store.incidents.find("inc_2")
    assert kept is not None
    assert kept.actions == ()
    judged = await store.keys.undo("inc_2", NOON_MS)
    assert judged.why_not == ""
    assert (await found(store)).state == "frozen"


async def test_a_key_without_room_for_a_bar_is_frozen_instead(store: AnyStore) -> None:
    bars = tuple(Bar(f"model:m{number}", "inc_0") for number in range(BARRED_MAX))
    await store.keys.add(key_record(barred=bars))
    assert await store.keys.accuse("k1", theft(), (OFFICE,), freeze=False)
    full = await found(store)
    assert (full.state, full.barred) == ("frozen", bars)
    assert not await store.keys.accuse("k1", theft(2), (CAFE,), freeze=True)
    await store.keys.undo("inc_1", NOON_MS)
    freed = await found(store)
    assert (freed.state, freed.cleared, freed.barred) == ("live", (OFFICE,), bars)


async def test_things_that_no_policy_makes_are_our_bug(store: AnyStore) -> None:
    await store.keys.add(key_record())
    for bad in (
        ("somewhere",),
        ("origin:\x00",),
        ("model:" + "m" * THING_CHARS_MAX,),
        tuple(f"model:{number}" for number in range(THINGS_MAX + 1)),
    ):
        with pytest.raises(ValueError, match="thing"):
            await store.keys.accuse("k1", theft(), bad, freeze=False)
    assert await store.incidents.recent(10) == []


async def test_undone_it_clears_what_it_barred_and_unfreezes_what_it_froze(
    reopen: Opener,
) -> None:
    store = await reopen()
    listener = Listener()
    store.watch(listener)
    await store.keys.add(key_record(barred=(Bar(OPUS, "inc_0"),)))
    assert await store.keys.accuse("k1", theft(), (OFFICE,), freeze=True)
    judged = await store.keys.undo("inc_1", NOON_MS + 9)
    assert judged.incident is not None
    assert (judged.incident.state, judged.why_not) == ("false_alarm", "")
    freed = await found(store)
    assert (freed.state, freed.frozen_why) == ("live", "")
    assert (freed.cleared, freed.barred) == ((OFFICE,), (Bar(OPUS, "inc_0"),))
    assert listener.told[-1] == freed
    told = await kinds(store)
    assert sorted(told[3:]) == ["incident:undone", "key:unfrozen"]
    assert not await store.keys.accuse("k1", theft(2), (OFFICE,), freeze=False)
    head = await store.books.head()
    assert await store.keys.undo("inc_1", NOON_MS + 10) == judged
    assert await store.books.head() == head, "a second time it does nothing"
    store = await reopen()
    assert await found(store) == freed
    assert await store.incidents.find("inc_1") == judged.incident
    assert await store.books.audit() == []


async def test_a_key_that_was_revoked_meanwhile_stays_so(store: AnyStore) -> None:
    await store.keys.add(key_record())
    assert await store.keys.accuse("k1", theft(), (OFFICE,), freeze=True)
    frozen = await found(store)
    gone = replace(frozen, state="revoked", revoked_why="leaked")
    assert await store.keys.replace(frozen, gone, "key:revoked", "leaked")
    judged = await store.keys.undo("inc_1", NOON_MS)
    assert judged.why_not == ""
    assert (await found(store)).state == "revoked"


async def test_a_key_frozen_by_somebody_else_since_stays_so(store: AnyStore) -> None:
    await store.keys.add(key_record())
    assert await store.keys.accuse("k1", theft(), (OFFICE,), freeze=True)
    frozen = await found(store)
    live = replace(frozen, state="live", frozen_why="")
    assert await store.keys.replace(frozen, live, "key:unfrozen", "")
    again = replace(live, state="frozen", frozen_why="incident inc_12: another")
    assert await store.keys.replace(live, again, "key:frozen", "")
    await store.keys.undo("inc_1", NOON_MS)
    assert (await found(store)).state == "frozen"
    assert (await found(store)).cleared == (OFFICE,)


async def test_a_confirmed_theft_keeps_its_bars_and_can_still_be_undone(store: AnyStore) -> None:
    await store.keys.add(key_record())
    assert await store.keys.accuse("k1", theft(), (OFFICE,), freeze=True)
    judged = await store.keys.confirm("inc_1", NOON_MS)
    assert judged.incident is not None
    assert (judged.incident.state, judged.why_not) == ("confirmed", "")
    assert await store.keys.confirm("inc_1", NOON_MS) == judged
    assert (await found(store)).state == "frozen"
    assert (await found(store)).barred == (Bar(OFFICE, "inc_1"),)
    assert (await kinds(store)).count("incident:confirmed") == 1
    undone = await store.keys.undo("inc_1", NOON_MS)
    assert undone.incident is not None
    assert undone.incident.state == "false_alarm"
    refused = await store.keys.confirm("inc_1", NOON_MS)
    assert "undone as a false alarm" in refused.why_not
    assert refused.incident == undone.incident


async def test_what_is_revoked_cannot_be_undone_and_says_so(
    store: AnyStore, engine: Engine
) -> None:
    await store.keys.add(key_record())
    assert await store.keys.accuse(
        "k1", theft(actions=("family revoked",)), (OFFICE,), freeze=False
    )
    judged = await store.keys.undo("inc_1", NOON_MS)
    assert "family revoked" in judged.why_not
    assert judged.incident is not None
    assert judged.incident.state == "open"
    assert (await store.keys.confirm("inc_1", NOON_MS)).why_not == ""
    engine.ask("UPDATE incidents SET state = 'closed'")
    for judge in (store.keys.undo, store.keys.confirm):
        assert "closed" in (await judge("inc_1", NOON_MS)).why_not


async def test_an_unknown_incident_is_told_of_as_none(store: AnyStore) -> None:
    for judge in (store.keys.undo, store.keys.confirm):
        for name in ("inc_1", "", "inc_\x00"):
            assert (await judge(name, NOON_MS)).incident is None


async def test_a_change_of_the_key_that_did_not_see_the_bars_starts_over(store: AnyStore) -> None:
    old = key_record()
    await store.keys.add(old)
    assert await store.keys.accuse("k1", theft(), (OFFICE,), freeze=False)
    assert not await store.keys.replace(old, replace(old, digest=b"n" * 32), "key:rotated", "")
    now = await found(store)
    assert await store.keys.replace(now, replace(now, digest=b"n" * 32), "key:rotated", "")
    assert (await found(store)).barred == (Bar(OFFICE, "inc_1"),)


async def test_who_hangs_up_is_accused_all_the_same(store: AnyStore) -> None:
    await store.keys.add(key_record())
    caller = asyncio.ensure_future(store.keys.accuse("k1", theft(), (OFFICE,), freeze=True))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    for _ in range(500):
        record = await store.keys.find("k1")
        if record is not None and record.state == "frozen":
            break
        await asyncio.sleep(0.01)
    assert (await found(store)).state == "frozen"
    assert len(await store.incidents.recent(10)) == 1
