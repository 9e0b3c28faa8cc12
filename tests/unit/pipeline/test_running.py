"""Cutting a running call: once, for a reason, and never the next thing its task does."""

import asyncio

import pytest

from tokenward.kernel.refusals import Refusal
from tokenward.pipeline.running import STOPPING, RunningCalls

FROZEN = Refusal("key:frozen", 403, "frozen")
OTHER = Refusal("key:revoked", 401, "revoked")


async def waiting_call(calls: RunningCalls, key: str, told: list[Refusal]) -> str:
    """A call that waits for ever, as one waits for a provider."""
    with calls.enter((key,)) as running:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            told.append(running.was_cut())
    await asyncio.sleep(0)  # what comes after the call is not cut
    return "settled"


async def test_a_cut_ends_every_call_of_the_key_and_no_other() -> None:
    calls, told, spared = RunningCalls(), list[Refusal](), list[Refusal]()
    tasks = [asyncio.create_task(waiting_call(calls, "a", told)) for _ in range(3)]
    other = asyncio.create_task(waiting_call(calls, "b", spared))
    await asyncio.sleep(0)
    assert calls.count() == 4
    assert calls.cut_key("a", FROZEN) == 3
    assert await asyncio.gather(*tasks) == ["settled"] * 3
    assert told == [FROZEN] * 3
    assert calls.count() == 1
    assert not spared
    calls.cut_key("b", OTHER)
    await other
    assert calls.count() == 0


async def test_the_first_reason_stays() -> None:
    calls, told = RunningCalls(), list[Refusal]()
    task = asyncio.create_task(waiting_call(calls, "a", told))
    await asyncio.sleep(0)
    calls.cut_key("a", FROZEN)
    calls.cut_key("a", OTHER)
    assert await task == "settled"
    assert told == [FROZEN]
    assert task.cancelling() == 0


async def test_a_cancelled_task_is_told_that_the_guard_stops() -> None:
    calls, told = RunningCalls(), list[Refusal]()
    task = asyncio.create_task(waiting_call(calls, "a", told))
    await asyncio.sleep(0)
    task.cancel()
    await task
    assert told == [STOPPING]


async def test_a_sooner_time_replaces_a_later_one_and_a_later_one_nothing() -> None:
    calls = RunningCalls()
    with calls.enter(("a",)) as running:
        running.cut_after(60, OTHER)
        running.cut_after(0.01, FROZEN)
        running.cut_after(30, OTHER)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(5)
        assert running.was_cut() is FROZEN


async def test_a_call_that_has_ended_is_not_cut_by_its_timer() -> None:
    calls = RunningCalls()
    with calls.enter(("a",)) as running:
        running.cut_after(0.01, OTHER)
    await asyncio.sleep(0.03)
    assert running.reason is None
    assert calls.cut_key("a", FROZEN) == 0


async def test_a_call_is_cut_by_its_key_or_by_any_name_of_its_token() -> None:
    calls = RunningCalls()
    for name in ("a", "token:x", "family:f"):
        with calls.enter(("a", "token:x", "family:f")) as running, calls.enter(("a", "token:y")):
            assert calls.count() == 2
            assert calls.cut_key(name, FROZEN) == (2 if name == "a" else 1)
            assert running.reason is FROZEN
            with pytest.raises(asyncio.CancelledError):
                await asyncio.sleep(5)
            while (task := asyncio.current_task()) and task.cancelling():
                task.uncancel()
        assert calls.count() == 0
        assert calls.cut_key(name, FROZEN) == 0
