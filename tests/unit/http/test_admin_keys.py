"""Keys behind the admin door: made whole, shown once, stopped at once."""

import asyncio

import pytest

from ledger_world import PATIENCE_S
from tokenward.keys.format import digest, read_key_id
from tokenward.pipeline.running import STOPPING, RunningCalls
from unit.http.admin_world import PEPPER, World


async def _running_call(running: RunningCalls, key_id: str) -> str:
    """A call of the key that would never end; why it was cut."""
    with running.enter((key_id,)) as call:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return call.was_cut().code
    raise AssertionError("it ended by itself")


@pytest.mark.req("K-3")
async def test_a_key_is_shown_once_and_never_again(world: World) -> None:
    made = await world.make_key(account="acme", name="ci", caps=["5.00/day"])
    assert read_key_id(made["key"]) == made["id"]
    shown = await world.ask("GET", f"/keys/{made['id']}")
    listed = await world.ask("GET", "/keys")
    record = await world.office.keys.find(made["id"])
    assert record is not None
    assert record.digest == digest(made["key"], PEPPER)
    secret = made["key"].removeprefix("tw_sk_" + made["id"])
    for answer in (shown, listed):
        assert secret not in str(answer.value)
        assert record.digest.hex() not in str(answer.value)
    assert listed.value == [shown.value]
    assert shown.value["account"] == "acme"
    assert shown.value["state"] == "live"


async def test_caveats_and_caps_come_with_the_key(world: World) -> None:
    made = await world.make_key(
        models=["gpt-5-*"],
        routes=["/v1/chat/*"],
        cidrs=["10.0.0.0/8"],
        max_call="0.50",
        rpm=60,
        tpm=100_000,
        concurrency=4,
        expires="30d",
        caps=["5.00/day", "1000tok/hour", "500req/minute"],
    )
    assert made["expires_at"] is not None
    caps = {(cap["window"], cap["unit"]): cap["limit"] for cap in made["caps"]}
    assert caps == {
        ("day", "nusd"): 5_000_000_000,
        ("hour", "tokens"): 1000,
        ("minute", "requests"): 500,
    }
    assert {cap["subject"] for cap in made["caps"]} == {f"key:{made['id']}"}
    shown = (await world.ask("GET", f"/keys/{made['id']}")).value
    assert shown["caveats"] == {
        "models": ["gpt-5-*"],
        "routes": ["/v1/chat/*"],
        "cidrs": ["10.0.0.0/8"],
        "max_call_nusd": 500_000_000,
        "rpm": 60,
        "tpm": 100_000,
        "concurrency": 4,
    }


@pytest.mark.parametrize(
    "wishes",
    [
        {"caps": ["5.00/day", "1000tok/fortnight"]},
        {"caps": ["5.00/day", "6.00/day"]},
        {"caps": ["five/day"]},
        {"caps": [f"{n}req/day" for n in range(17)]},
        {"max_call": "0.5 dollars"},
        {"expires": "soon"},
        {"cidrs": ["10.0.0.0/99"]},
        {"name": "with space"},
        {"rpm": 0},
    ],
)
async def test_a_wish_that_cannot_be_leaves_neither_key_nor_cap(
    world: World, wishes: dict[str, object]
) -> None:
    answer = await world.ask("POST", "/keys", {"project": "demo", **wishes})
    assert (answer.status, answer.error["code"]) == (400, "request:invalid")
    assert (await world.ask("GET", "/keys")).value == []
    assert (await world.ask("GET", "/caps")).value == []


async def test_a_project_of_another_account_is_refused_and_its_caps_are_taken_back(
    world: World,
) -> None:
    await world.make_key(account="acme")
    answer = await world.ask(
        "POST", "/keys", {"project": "demo", "account": "rival", "caps": ["1.00/day"]}
    )
    assert (answer.status, answer.error["code"]) == (409, "key:not_created")
    assert len((await world.ask("GET", "/keys")).value) == 1
    assert (await world.ask("GET", "/caps")).value == []


@pytest.mark.parametrize(("action", "state"), [("freeze", "frozen"), ("revoke", "revoked")])
async def test_stopping_a_key_cuts_its_running_calls_and_no_others(
    world: World, action: str, state: str
) -> None:
    ours, other = (await world.make_key())["id"], (await world.make_key())["id"]
    calls = [asyncio.create_task(_running_call(world.running, ours)) for _ in range(3)]
    spared = asyncio.create_task(_running_call(world.running, other))
    await asyncio.sleep(0)
    answer = await world.ask("POST", f"/keys/{ours}/{action}", {"why": "leaked"})
    assert answer.value["calls_cut"] == 3
    assert answer.value["state"] == state
    assert answer.value[f"{state}_why"] == "leaked"
    assert set(await asyncio.gather(*calls)) == {f"key:{state}"}
    assert not spared.done()
    world.running.cut_key(other, STOPPING)
    await spared


async def test_stopping_a_stopped_key_still_cuts_what_runs(world: World) -> None:
    key_id = (await world.make_key())["id"]
    await world.ask("POST", f"/keys/{key_id}/freeze", {"why": "first"})
    late = asyncio.create_task(_running_call(world.running, key_id))
    await asyncio.sleep(0)
    again = await world.ask("POST", f"/keys/{key_id}/freeze", {"why": "second"})
    assert (again.value["calls_cut"], again.value["frozen_why"]) == (1, "first")
    assert await late == "key:frozen"


async def test_unfreezing_undoes_a_freeze_and_never_a_revocation(world: World) -> None:
    key_id = (await world.make_key())["id"]
    await world.ask("POST", f"/keys/{key_id}/freeze", {})
    assert (await world.ask("POST", f"/keys/{key_id}/unfreeze", {})).value["state"] == "live"
    await world.ask("POST", f"/keys/{key_id}/revoke", {})
    refused = await world.ask("POST", f"/keys/{key_id}/unfreeze", {})
    assert (refused.status, refused.error["code"]) == (409, "key:revoked")
    assert (await world.ask("GET", f"/keys/{key_id}")).value["state"] == "revoked"


async def test_many_changes_at_once_end_in_the_strongest(world: World) -> None:
    key_id = (await world.make_key())["id"]
    await asyncio.gather(
        *(world.ask("POST", f"/keys/{key_id}/freeze", {}) for _ in range(5)),
        *(world.ask("POST", f"/keys/{key_id}/unfreeze", {}) for _ in range(5)),
        world.ask("POST", f"/keys/{key_id}/revoke", {}),
    )
    assert (await world.ask("GET", f"/keys/{key_id}")).value["state"] == "revoked"


@pytest.mark.req("K-5")
async def test_rotation_gives_a_new_secret_under_the_same_id_with_its_caps(world: World) -> None:
    old = await world.make_key(caps=["5.00/day"])
    new = (await world.ask("POST", f"/keys/{old['id']}/rotate", {"grace": "1h"})).value
    assert new["id"] == old["id"]
    assert new["key"] != old["key"]
    assert new["caps"] == old["caps"]
    shown = (await world.ask("GET", f"/keys/{old['id']}")).value
    assert shown["old_secret_until"] is not None
    await world.ask("POST", f"/keys/{old['id']}/rotate", {})
    shown = (await world.ask("GET", f"/keys/{old['id']}")).value
    assert shown["old_secret_until"] is None


@pytest.mark.parametrize("grace", ["", "1", "-1h", "forever"])
async def test_a_grace_that_is_no_time_is_refused(world: World, grace: str) -> None:
    key_id = (await world.make_key())["id"]
    answer = await world.ask("POST", f"/keys/{key_id}/rotate", {"grace": grace})
    assert answer.status == 400


async def test_a_whole_key_pasted_in_a_hurry_is_taken_by_its_id(world: World) -> None:
    made = await world.make_key()
    for text in (made["key"], f"tw_sk_{made['id']}…", f"tw_sk_{made['id']}...", made["id"]):
        answer = await world.ask("POST", f"/keys/{text}/freeze", {"why": "leaked"})
        assert answer.value["id"] == made["id"]
        assert made["key"] not in str(answer.value)


async def test_a_key_with_a_typo_is_refused_and_never_repeated(world: World) -> None:
    made = await world.make_key()
    typo = made["key"][:-1] + ("a" if made["key"][-1] != "a" else "b")
    answer = await world.ask("POST", f"/keys/{typo}/revoke", {})
    assert answer.status == 400
    assert typo not in str(answer.value)


@pytest.mark.parametrize("action", ["freeze", "unfreeze", "revoke", "rotate"])
async def test_what_does_not_exist_is_404(world: World, action: str) -> None:
    answer = await world.ask("POST", f"/keys/0123456789ab/{action}", {})
    assert (answer.status, answer.error["code"]) == (404, "key:unknown")
    assert (await world.ask("GET", "/keys/0123456789ab")).status == 404


async def test_one_key_is_shown_with_the_last_use_that_the_list_shows(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokenward.store.sqlite.keys.USED_EVERY_S", 0)
    key = (await world.make_key())["id"]
    assert (await world.ask("GET", f"/keys/{key}")).value["last_used_at"] is None
    world.store.keys.used(key, world.clock.now_ms())
    async with asyncio.timeout(PATIENCE_S):  # the use is written with a later commit
        while (listed := (await world.ask("GET", "/keys")).value[0])["last_used_at"] is None:
            await asyncio.sleep(0.01)
    assert (await world.ask("GET", f"/keys/{key}")).value == listed
