"""L8: a call with an idempotency key is made and paid at most once in 24 hours."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from caller import Shape, admin, calling, chat, claude, gemini, new_key
from guard import GuardProcess, provider_settings, running_guard
from standin import StandinProcess

QUICK = "output_tokens=5"


def once(name: str) -> dict[str, str]:
    """The header that says: this call is that call."""
    return {"idempotency-key": name}


@pytest.mark.parametrize(
    "shape", [chat(), claude(stream=False), gemini()], ids=["openai", "anthropic", "gemini"]
)
async def test_the_same_call_is_not_made_twice(
    guard: GuardProcess, standin: StandinProcess, shape: Shape, request: pytest.FixtureRequest
) -> None:
    name = f"twice-{request.node.callspec.id}"
    _, key = await new_key(guard, "5.00/day")
    async with calling(guard.base_url) as caller:
        script = f"{QUICK}; tag={name}"
        assert (await caller.call(key, shape, script, headers=once(name))).status == 200
        for _ in range(3):
            told = await caller.call(key, shape, script, headers=once(name))
            assert (told.status, told.code) == (409, "idempotency:spent")
            assert told.headers["x-should-retry"] == "false"
        assert (await caller.call(key, shape, script, headers=once(name + "2"))).status == 200
        assert (await caller.call(key, shape, script)).status == 200
    assert len(standin.lines(name)) == 3


async def test_of_ten_at_once_one_reaches_the_provider(
    guard: GuardProcess, standin: StandinProcess
) -> None:
    _, key = await new_key(guard, "5.00/day")
    async with calling(guard.base_url) as caller:
        script = f"{QUICK}; first_ms=3000; tag=ten"
        calls = [caller.call(key, claude(), script, headers=once("ten")) for _ in range(10)]
        told = await asyncio.gather(*calls)
    codes = Counter(each.code for each in told)
    assert codes[""] == 1
    assert codes["idempotency:running"] > 0
    assert codes.keys() <= {"", "idempotency:running", "idempotency:spent"}
    assert {each.status for each in told if each.code} == {409}
    assert len(standin.lines("ten")) == 1


async def test_a_call_that_cost_nothing_may_be_made_again(
    guard: GuardProcess, standin: StandinProcess
) -> None:
    _, key = await new_key(guard, "5.00/day")
    async with calling(guard.base_url) as caller:
        for status in (500, 429, 529):
            told = await caller.call(
                key, claude(), f"status={status}; tag=again", headers=once("again")
            )
            assert told.status == status
        told = await caller.call(key, claude(), f"{QUICK}; tag=again", headers=once("again"))
        assert told.status == 200
        told = await caller.call(key, claude(), f"{QUICK}; tag=again", headers=once("again"))
        assert told.code == "idempotency:spent"
    assert len(standin.lines("again")) == 1


async def test_a_call_that_may_have_been_billed_may_not_be_made_again(
    guard: GuardProcess, standin: StandinProcess
) -> None:
    _, key = await new_key(guard, "5.00/day")
    async with calling(guard.base_url) as caller:
        told = await caller.call(key, claude(), "fail=reset@0; tag=maybe", headers=once("maybe"))
        assert told.code == "provider:no_answer"
        told = await caller.call(key, claude(), f"{QUICK}; tag=maybe", headers=once("maybe"))
        assert told.code == "idempotency:spent"
    assert len(standin.lines("maybe")) == 1


async def test_two_keys_may_use_one_idempotency_key(guard: GuardProcess) -> None:
    async with calling(guard.base_url) as caller:
        for _ in range(2):
            _, key = await new_key(guard, "5.00/day")
            assert (await caller.call(key, claude(), QUICK, headers=once("shared"))).status == 200


async def test_what_was_paid_stays_paid_when_the_secret_is_rotated(guard: GuardProcess) -> None:
    key_id, key = await new_key(guard, "5.00/day")
    async with calling(guard.base_url) as caller:
        assert (await caller.call(key, claude(), QUICK, headers=once("kept"))).status == 200
        made = await admin(guard, "POST", f"/keys/{key_id}/rotate")
        told = await caller.call(made["key"], claude(), QUICK, headers=once("kept"))
        assert told.code == "idempotency:spent"


@pytest.mark.req("M-6")
async def test_a_call_whose_guard_was_killed_is_not_made_again_after_the_restart(
    standin: StandinProcess, tmp_path: Path
) -> None:
    settings = provider_settings(standin.base_url)
    with running_guard(tmp_path, settings, {"PROVIDER_KEY": standin.credential}) as guard:
        _, key = await new_key(guard, "5.00/day")
        async with calling(guard.base_url) as caller:
            began = asyncio.Event()
            script = "chunks=100; gap_ms=100; tag=survivor"
            running = asyncio.create_task(
                caller.call(key, claude(), script, headers=once("killed"), on_piece=began.set)
            )
            await asyncio.wait_for(began.wait(), 30)
            await asyncio.to_thread(guard.kill)
            assert not (await running).is_whole
        guard.start()
        async with calling(guard.base_url) as caller:
            told = await caller.call(
                key, claude(), f"{QUICK}; tag=survivor", headers=once("killed")
            )
    assert told.code == "idempotency:spent"
    assert len(standin.lines("survivor")) <= 1
