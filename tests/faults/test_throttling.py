"""A cap can make calls wait instead of refusing them, under the same ceiling (B-9)."""

import asyncio
from typing import Any

import aiohttp
import pytest

from guard import GuardProcess
from standin import StandinProcess

CALLS = 10
CAP = "0.012/day"  # two of the calls below fit at a time, all ten by what they really cost
BODY = {
    "model": "claude-haiku-4-5",
    "max_tokens": 1000,
    "messages": [{"role": "user", "content": "hi"}],
}


async def trace(
    guard: GuardProcess, key: str, tag: str, first_ms: int = 200
) -> list[tuple[int, dict[str, Any]]]:
    """Ten calls at once, each that long."""
    headers = {"x-api-key": key, "x-standin": f"first_ms={first_ms}; tag={tag}"}

    async def call(client: aiohttp.ClientSession) -> tuple[int, dict[str, Any]]:
        url = f"{guard.base_url}/v1/messages"
        async with client.post(url, json=BODY, headers=headers) as answer:
            return answer.status, await answer.json()

    async with aiohttp.ClientSession() as client:
        return await asyncio.gather(*(call(client) for _ in range(CALLS)))


@pytest.mark.req("B-9")
async def test_a_cap_that_blocks_refuses_what_does_not_fit_now(
    guard: GuardProcess, standin: StandinProcess
) -> None:
    _, key = guard.key("--cap", CAP)
    answers = await trace(guard, key, "blocks", first_ms=3_000)
    refused = [body["error"]["code"] for status, body in answers if status != 200]
    assert 0 < len(refused) < CALLS
    assert set(refused) == {"cap:held"}


@pytest.mark.req("B-9", "B-1")
async def test_a_cap_that_throttles_lets_the_same_calls_wait_for_room(
    guard: GuardProcess, standin: StandinProcess
) -> None:
    key_id, key = guard.key()
    guard.cli("cap", "set", f"key:{key_id}", CAP, "--throttle")
    answers = await trace(guard, key, "throttles")
    assert [status for status, _ in answers] == [200] * CALLS
    (cap,) = guard.cli("cap", "list", f"key:{key_id}")
    billed = sum(line["cost_nusd"] for line in standin.lines("throttles"))
    assert cap["held"] == 0
    assert billed == cap["spent"] <= cap["limit"]


@pytest.mark.req("B-9", "B-1")
async def test_waiting_is_bounded_and_a_spent_cap_stays_a_ceiling(
    standin: StandinProcess, tmp_path: Any
) -> None:
    from guard import provider_settings, running_guard

    settings = provider_settings(standin.base_url) + "\n[ledger]\nthrottle_wait_s = 0.3\n"
    with running_guard(tmp_path, settings, {"PROVIDER_KEY": standin.credential}) as guard:
        key_id, key = guard.key()
        guard.cli("cap", "set", f"key:{key_id}", "0.001/day", "--throttle")
        answers = await trace(guard, key, "spent")
    assert {(status, body["error"]["code"]) for status, body in answers} == {(429, "cap:reached")}
    assert standin.lines("spent") == []
