"""Whoever hangs up while a call waits for room under a cap is not called for any more."""

import asyncio

import pytest

from books import booked, ended
from caller import admin, calling, cap_of, claude, new_key
from guard import GuardProcess
from standin import StandinProcess

RUNS_MS, WAITS_S = 5_000, 1.5
"""How long the first call runs, and the second one waits behind it until it leaves."""


async def until_held(guard: GuardProcess, key_id: str) -> None:
    """The first call holds the cap."""
    while (await cap_of(guard, f"key:{key_id}"))["held"] == 0:
        await asyncio.sleep(0.01)


@pytest.mark.req("B-9", "M-4")
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "document"])
async def test_a_caller_that_leaves_while_it_waits_for_room_is_neither_sent_nor_charged(
    guard: GuardProcess, standin: StandinProcess, stream: bool
) -> None:
    key_id, key = await new_key(guard)
    cap = {"subject": f"key:{key_id}", "cap": "0.03/day", "throttle": True}  # room for one call
    await admin(guard, "PUT", "/caps", **cap)
    shape = claude(stream=stream)
    async with calling(guard.base_url) as caller:
        names = [f"{who}-{stream}" for who in ("stays", "leaves")]
        first = asyncio.create_task(
            caller.call(
                key,
                shape,
                f"first_ms={RUNS_MS}; tag={names[0]}",
                headers={"x-request-id": names[0]},
            )
        )
        await until_held(guard, key_id)
        left = await caller.call(
            key,
            shape,
            f"tag={names[1]}",
            leave_when=asyncio.sleep(WAITS_S),
            headers={"x-request-id": names[1]},
        )
        assert left.left
        assert (await first).status == 200
    await ended(guard.folder / "data", names[0])
    records = guard.recorded(key_id, 2)
    (told,) = [record for record in records if record["request_id"] == names[1]]
    assert (told["status"], told["refusal"]) == (499, "request:abandoned")
    assert standin.lines(names[1]) == []
    assert names[1] not in booked(guard.folder / "data"), "not even held for"
    (line,) = standin.lines(names[0])
    kept = await cap_of(guard, f"key:{key_id}")
    assert (kept["held"], kept["spent"]) == (0, line["cost_nusd"])
