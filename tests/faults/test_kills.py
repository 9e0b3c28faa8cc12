"""The guard dies in the middle of its work, and nothing that may cost money is forgotten."""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from books import billed, booked, underpaid
from caller import Caller, Told, admin, calling, cap_of, chat, claude, gemini, new_key
from chance import fresh_seed, soak
from guard import GuardProcess, provider_settings, running_guard
from standin import StandinProcess

CALLERS = 40
PARTS = [(part, 13) for part in range(4)]
LONG_PARTS = [soak(part, 50, limit_s=3_600) for part in range(4)]
SHAPES = (claude(), claude(stream=False), chat(), gemini())
SCRIPTS = ("", "usage=none", "fail=reset@2", "fail=hang@3", "gap_ms=40", "deaf=1")


@pytest.fixture
def mortal(standin: StandinProcess, tmp_path: Path) -> Iterator[GuardProcess]:
    """A guard of the test's own, to be killed and started again."""
    settings = provider_settings(standin.base_url) + "\n[server]\ndrain_s = 1\n"
    with running_guard(tmp_path / "g", settings, {"PROVIDER_KEY": standin.credential}) as guard:
        yield guard


@dataclass
class Load:
    """Calls that never stop coming, until the guard is gone."""

    name: str
    key: str
    dice: random.Random
    names: list[str] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)

    _pieces: asyncio.Event = field(default_factory=asyncio.Event)

    async def press(self, guard: GuardProcess, kill_after_s: float, *, is_early: bool) -> None:
        """Call from all sides, and kill the guard so long after the first answer began; `is_early`:
        after the first call did."""
        async with calling(guard.base_url) as caller:
            callers = [asyncio.create_task(self._call_on(caller)) for _ in range(CALLERS)]
            if not is_early:
                await asyncio.wait_for(self._pieces.wait(), 60)
            await asyncio.sleep(kill_after_s)
            await asyncio.to_thread(guard.kill)
            await asyncio.gather(*callers)

    async def _call_on(self, caller: Caller) -> None:
        while True:
            name = f"{self.name}-{len(self.names)}"
            self.names.append(name)
            shape, script = self.dice.choice(SHAPES), self.dice.choice(SCRIPTS)
            told = await caller.call(
                self.key,
                shape,
                f"chunks=5; gap_ms=8; tag={name}; {script}",
                leave_at=self.dice.randrange(1, 4) if self.dice.random() < 0.1 else None,
                headers={"x-request-id": name},
                on_piece=self._pieces.set,
            )
            self.ends[_end(told)] += 1
            if told.status == 0:
                return


def _end(told: Told) -> str:
    if told.status == 0:
        return "no head"
    if told.left:
        return "left"
    return "whole" if told.is_whole else "broken"


async def _die_and_rise(
    guard: GuardProcess, standin: StandinProcess, load: Load, kill_after_s: float
) -> Counter[str]:
    """One kill under load, one restart; proves the ledger and says how its holds ended."""
    standin.reset()
    await load.press(guard, kill_after_s, is_early=load.dice.random() < 0.25)
    guard.start()
    report = await admin(guard, "GET", "/doctor?audit=true")
    assert report["ok"], report
    mine = set(load.names)
    ledger = {name: b for name, b in booked(guard.folder / "data").items() if name in mine}
    seen = {
        dict(request["headers"])["x-request-id"] for request in standin.requests(last=1000)
    } & mine
    assert len(seen) < 1000, "the stand-in forgot some"
    assert seen <= set(ledger), "a call was sent whose hold is not in the ledger"
    assert all(each.end for each in ledger.values()), "a hold of the dead guard is open"
    for each in ledger.values():
        if each.end == "expire":
            assert each.cost_nusd == each.held_nusd, "what may have been used is charged in full"
    standin.bill_when(lambda bill: seen <= {line["tag"] for line in bill["lines"]})
    bill = {tag: cost for tag, cost in billed(standin.bill()["lines"]).items() if tag in mine}
    assert underpaid(bill, ledger) == {}
    return Counter(each.end for each in ledger.values())


@pytest.mark.slow
@pytest.mark.req("F-1", "M-6", "M-7")
@pytest.mark.parametrize(("part", "kills"), PARTS + LONG_PARTS)
async def test_a_guard_killed_at_any_moment_under_load_forgets_no_hold(
    mortal: GuardProcess, standin: StandinProcess, part: int, kills: int
) -> None:
    dice = random.Random(f"{fresh_seed()}-{part}")
    key_id, key = await new_key(mortal, "500.00/day")
    ends: Counter[str] = Counter()
    deaths: Counter[str] = Counter()
    for number in range(kills):
        load = Load(f"kill-{part}-{number}", key, dice)
        ends += await _die_and_rise(mortal, standin, load, dice.uniform(0.02, 0.4))
        deaths += load.ends
    assert ends["expire"] > kills, f"kills met running calls: {ends}"
    assert ends["settle"] > kills
    assert deaths["broken"] > 0
    assert deaths["whole"] > 0
    cap = await cap_of(mortal, f"key:{key_id}")
    ledger = booked(mortal.folder / "data")
    assert (cap["held"], cap["spent"]) == (0, sum(each.cost_nusd for each in ledger.values()))


async def _in_mid_stream(guard: GuardProcess, name: str, script: str) -> "asyncio.Task[Told]":
    """A call whose stream is under way when this returns."""
    _, key = await new_key(guard, "5.00/day")
    began = asyncio.Event()

    async def call() -> Told:
        async with calling(guard.base_url) as caller:
            return await caller.call(
                key,
                claude(),
                f"tag={name}; {script}",
                headers={"x-request-id": name},
                on_piece=began.set,
            )

    task = asyncio.create_task(call())
    await asyncio.wait_for(began.wait(), 30)
    return task


@pytest.mark.req("M-7")
async def test_a_stream_that_ends_in_time_is_finished_before_the_guard_stops(
    standin: StandinProcess, tmp_path: Path
) -> None:
    settings = provider_settings(standin.base_url) + "\n[server]\ndrain_s = 60\n"
    with running_guard(tmp_path, settings, {"PROVIDER_KEY": standin.credential}) as patient:
        running = await _in_mid_stream(patient, "drained", "chunks=10; gap_ms=60")
        assert await asyncio.to_thread(patient.stop) == 0
        told = await running
    assert told.is_whole
    assert told.events[-1] == {"type": "message_stop"}
    ledger = booked(patient.folder / "data")["drained"]
    assert (ledger.end, {"drained": ledger.cost_nusd}) == (
        "settle",
        billed([standin.line("drained")]),
    )


@pytest.mark.req("M-7")
async def test_a_stream_that_takes_too_long_is_cut_and_settled_before_the_guard_stops(
    mortal: GuardProcess, standin: StandinProcess
) -> None:
    running = await _in_mid_stream(mortal, "too-long", "chunks=300; gap_ms=100")
    assert await asyncio.to_thread(mortal.stop) == 0
    told = await running
    assert told.events[-1]["error"]["code"] == "guard:stopping"
    ledger = booked(mortal.folder / "data")
    assert ledger["too-long"].end == "settle"
    assert underpaid(billed([standin.line("too-long")]), ledger) == {}
    assert mortal.cli("doctor", "--audit")["ok"], "also without a running guard"


@pytest.mark.req("M-7")
async def test_a_second_signal_ends_the_waiting_and_still_settles(
    standin: StandinProcess, tmp_path: Path
) -> None:
    settings = provider_settings(standin.base_url) + "\n[server]\ndrain_s = 60\n"
    with running_guard(tmp_path, settings, {"PROVIDER_KEY": standin.credential}) as patient:
        running = await _in_mid_stream(patient, "urgent", "chunks=300; gap_ms=100")
        os.kill(patient.pid, signal.SIGTERM)
        await asyncio.sleep(0.3)
        assert patient.is_running, "it waits for the call"
        assert await asyncio.to_thread(patient.stop, 20) == 0
        told = await running
    assert told.events[-1]["error"]["code"] == "guard:stopping"
    assert booked(patient.folder / "data")["urgent"].end == "settle"


@pytest.mark.req("M-7", "B-9")
async def test_calls_that_wait_for_room_end_with_the_guard_and_leave_nothing_held(
    mortal: GuardProcess, standin: StandinProcess
) -> None:
    key_id, key = await new_key(mortal)
    mortal.cli("cap", "set", f"key:{key_id}", "0.05/day", "--throttle")
    async with calling(mortal.base_url) as caller:
        script = "chunks=300; gap_ms=100; tag=waiting"
        calls = [asyncio.create_task(caller.call(key, claude(), script)) for _ in range(20)]
        while not booked(mortal.folder / "data"):
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.3)
        assert await asyncio.to_thread(mortal.stop) == 0
        told = await asyncio.gather(*calls)
    assert not any(each.status == 200 and b"message_stop" in each.body for each in told)
    assert all(each.end for each in booked(mortal.folder / "data").values())
    assert mortal.cli("doctor", "--audit")["ok"]


@pytest.mark.req("M-7", "F-1")
async def test_a_stream_whose_guard_is_killed_is_charged_in_full_at_the_next_start(
    mortal: GuardProcess, standin: StandinProcess
) -> None:
    running = await _in_mid_stream(mortal, "killed", "chunks=300; gap_ms=100")
    await asyncio.to_thread(mortal.kill)
    told = await running
    assert not told.is_whole
    assert booked(mortal.folder / "data")["killed"].end == ""
    mortal.start()
    ledger = booked(mortal.folder / "data")["killed"]
    assert (ledger.end, ledger.cost_nusd) == ("expire", ledger.held_nusd)
    events = await admin(mortal, "GET", "/events")
    assert "hold:expired" in {event["kind"] for event in events}
    assert mortal.cli("doctor", "--audit")["ok"]
