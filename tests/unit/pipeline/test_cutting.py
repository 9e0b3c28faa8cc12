import asyncio

import pytest

from ledger_world import key_record
from tokenward.kernel.refusals import Refusal
from tokenward.pipeline.cutting import FROZEN, REVOKED, ROTATED, TOKEN_REVOKED, Cutter
from tokenward.pipeline.looking import STALE_VIEW
from tokenward.pipeline.running import RunningCall, RunningCalls

NO_LONGER = Refusal("key:unknown", 401, "no")


async def until_cut(call: RunningCall) -> Refusal | None:
    """Runs as a call does, until it is cut; None if it never is."""
    with call:
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            return call.was_cut()
    return None


@pytest.mark.parametrize(("state", "reason"), [("frozen", FROZEN), ("revoked", REVOKED)])
async def test_a_key_stopped_anywhere_cuts_its_calls_here(state: str, reason: Refusal) -> None:
    calls = RunningCalls()
    ours = asyncio.create_task(until_cut(calls.enter(("k1",))))
    other = asyncio.create_task(until_cut(calls.enter(("k2",))))
    await asyncio.sleep(0)
    Cutter(calls).key_changed(key_record(state=state))
    assert await ours is reason
    assert await other is None


async def test_a_rotation_cuts_the_calls_of_the_secret_that_is_out_and_no_others() -> None:
    calls = RunningCalls()
    old = asyncio.create_task(until_cut(calls.enter(("k1",), lambda: NO_LONGER)))
    new = asyncio.create_task(until_cut(calls.enter(("k1",), lambda: None)))
    await asyncio.sleep(0)
    Cutter(calls).key_changed(key_record())
    assert await old is ROTATED
    assert await new is None


async def test_a_gateway_that_lost_sight_cuts_nothing_that_runs() -> None:
    calls = RunningCalls()
    running = asyncio.create_task(until_cut(calls.enter(("k1",), lambda: STALE_VIEW)))
    await asyncio.sleep(0)
    Cutter(calls).key_changed(key_record())
    assert await running is None


async def test_a_revoked_token_cuts_what_runs_on_it() -> None:
    calls = RunningCalls()
    running = asyncio.create_task(until_cut(calls.enter(("k1", "token:x", "family:f"))))
    await asyncio.sleep(0)
    Cutter(calls).name_revoked("family:f")
    assert await running is TOKEN_REVOKED
