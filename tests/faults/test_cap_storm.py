"""Two hundred callers at once against a cap, with everything that goes wrong on the way."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable

import pytest

from books import billed, booked, underpaid
from caller import Caller, Shape, Told, admin, calling, chat, claude, gemini, new_key
from chance import fixed_seed, soak
from guard import GuardProcess
from standin import StandinProcess

CALLERS = 200
CAP_NUSD = 1_000_000_000
FAULTS = (
    "usage=none",
    "usage=none; reasoning=200",
    "fail=reset@0",
    "fail=reset@2",
    "fail=error@2",
    "fail=close@2",
    "fail=garbage@2",
    "status=500",
    "status=429",
    "status=529",
)
ROUNDS = 40
ROUND_LIMIT_S = 300
RUNS_S = 4.0
"""How long calls run that must all run at once; a round that took longer says nothing."""
TRIES = 10
LIMIT_S = 3_600
Drawn = Callable[[random.Random], Shape]


def alike(_dice: random.Random) -> Shape:
    """Two cents each at most, streamed."""
    return claude()


def document(_dice: random.Random) -> Shape:
    """Two cents each at most, in one piece."""
    return claude(stream=False)


def mixed(dice: random.Random) -> Shape:
    """Any dialect, streamed or not, from next to nothing to eight cents."""
    tokens, is_stream = dice.choice((30, 1_000, 2_000, 4_000)), dice.random() < 0.7
    shapes = (
        claude(stream=is_stream, output=tokens),
        chat(stream=is_stream, output=dice.choice((None, tokens))),
        gemini(output=tokens),
        gemini(verb="generateContent", output=tokens),
    )
    return dice.choices(shapes, (5, 1, 1, 1))[0]


many_rounds = pytest.mark.parametrize(
    ("rounds", "draw", "call_nusd"),
    [
        pytest.param(1, alike, 30_000_000, id="once"),
        soak(ROUNDS, mixed, 100_000_000, limit_s=LIMIT_S, name="many times"),
    ],
)
"""How many storms, what their callers ask for, and what the dearest of these calls may cost: no
more than that is left of a cap that was reached."""


class Storm:
    """Callers that go on calling until they hear that a cap is reached."""

    def __init__(
        self, guard: GuardProcess, standin: StandinProcess, name: str, draw: Drawn = alike
    ) -> None:
        self.guard = guard
        self.standin = standin
        self.name = name
        self._draw = draw
        self.refusals: Counter[str] = Counter()
        self.reached: set[str] = set()
        self.faults: Counter[str] = Counter()
        self.hangups = 0
        self._calls = 0
        self._dice = random.Random(f"{fixed_seed()}-{name}")

    async def rage(self, keys: list[str]) -> None:
        """Until every caller has heard `cap:reached`; the keys are shared out among them. Nearly
        every second call is hung up or broken by the provider."""
        async with calling(self.guard.base_url) as caller, asyncio.timeout(ROUND_LIMIT_S):
            callers = (self._insist(caller, keys[i % len(keys)]) for i in range(CALLERS))
            await asyncio.gather(*callers)

    async def _insist(self, caller: Caller, key: str) -> None:
        while True:
            told = await self._call(caller, key)
            if told.code.startswith("cap:"):
                self.refusals[told.code] += 1
                if told.code == "cap:reached":
                    self.reached.add(told.subject)
                    return
                assert told.code == "cap:held"
                await asyncio.sleep(0.02 + 0.1 * self._dice.random())

    async def _call(self, caller: Caller, key: str) -> Told:
        self._calls += 1
        name, dice = f"{self.name}-{self._calls}", self._dice
        fault = dice.choice(FAULTS) if dice.random() < 0.3 else ""
        leave_at = dice.randrange(1, 6) if dice.random() < 0.3 else None
        tokens = dice.randrange(200, 800)
        told = await caller.call(
            key,
            self._draw(dice),
            f"chunks=5; gap_ms=4; output_tokens={tokens}; tag={name}; {fault}",
            leave_at=leave_at,
            headers={"x-request-id": name},
        )
        if not told.code.startswith("cap:"):
            assert told.code in ("", "provider:no_answer") or told.status in (429, 500, 529), told
            self.faults[fault] += 1
            self.hangups += told.left
        return told

    def prove(self, *subjects: str) -> int:
        """After the storm: no hold is open; the provider bills no more than the caps, and for no
        call more than the ledger says; the audit is clean. What was spent, in nano-dollars."""
        caps = {cap["subject"]: cap for cap in self.guard.wait_until_settled()}
        ledger = {
            name: each
            for name, each in booked(self.guard.folder / "data").items()
            if name.startswith(f"{self.name}-")
        }
        assert {each.end for each in ledger.values()} <= {"settle", "void"}
        assert sum(each.overrun_nusd for each in ledger.values()) == 0
        settled = {name for name, each in ledger.items() if each.end == "settle"}
        self.standin.bill_when(lambda bill: settled <= {line["tag"] for line in bill["lines"]})
        bill = billed(
            line for line in self.standin.bill()["lines"] if line["tag"].startswith(self.name + "-")
        )
        assert set(bill) == settled, "what was voided was never billed"
        assert underpaid(bill, ledger) == {}
        spent = sum(each.cost_nusd for each in ledger.values())
        for subject in subjects:
            cap = caps[subject]
            assert sum(bill.values()) <= cap["spent"] == spent <= cap["limit"], cap
        assert self.guard.cli("doctor", "--audit")["ok"]
        return spent


@pytest.mark.req("B-1", "M-4", "M-5", "M-11", "F-1")
@many_rounds
async def test_two_hundred_streams_that_break_and_hang_up_never_pass_a_cap(
    guard: GuardProcess, standin: StandinProcess, rounds: int, draw: Drawn, call_nusd: int
) -> None:
    hangups, faults = 0, Counter[str]()
    for number in range(rounds):
        key_id, key = await new_key(guard, "1.00/day")
        storm = Storm(guard, standin, f"one-key-{number}", draw)
        await storm.rage([key])
        assert storm.prove(f"key:{key_id}") > CAP_NUSD - call_nusd, "the cap was really reached"
        assert storm.refusals["cap:reached"] == CALLERS
        assert storm.refusals["cap:held"] > 0
        hangups += storm.hangups
        faults += storm.faults
    assert hangups, "callers did leave in the middle"
    assert len(faults) > 5, faults


@pytest.mark.req("B-1", "B-3")
async def test_two_hundred_documents_at_first_sight_of_a_fresh_key_never_pass_its_cap(
    guard: GuardProcess, standin: StandinProcess
) -> None:
    key_id, key = await new_key(guard, "1.00/day")
    storm = Storm(guard, standin, "documents", document)
    await storm.rage([key])
    assert storm.prove(f"key:{key_id}") > 0.9 * CAP_NUSD


@pytest.mark.req("B-1", "B-2")
@many_rounds
async def test_fifty_keys_of_one_account_never_pass_its_cap(
    guard: GuardProcess, standin: StandinProcess, rounds: int, draw: Drawn, call_nusd: int
) -> None:
    for number in range(rounds):
        name = f"crowd-{rounds}-{number}"
        await admin(guard, "POST", "/accounts", name=name)
        guard.cli("cap", "set", f"account:{name}", "1.00/day")
        keys = [await new_key(guard, account=name, project=f"{name}-{i % 5}") for i in range(50)]
        storm = Storm(guard, standin, name, draw)
        await storm.rage([key for _, key in keys])
        assert storm.prove(f"account:{name}") > CAP_NUSD - call_nusd
        assert storm.reached == {f"account:{name}"}


@pytest.mark.req("B-2", "B-1", "F-2")
@pytest.mark.parametrize("tightest", ["key", "project", "account"])
@many_rounds
async def test_of_three_caps_over_one_call_each_alone_can_block(
    guard: GuardProcess,
    standin: StandinProcess,
    tightest: str,
    rounds: int,
    draw: Drawn,
    call_nusd: int,
) -> None:
    for number in range(rounds):
        name = f"tight-{tightest}-{rounds}-{number}"
        await admin(guard, "POST", "/accounts", name=name)
        key_id, key = await new_key(guard, account=name, project=name)
        subjects = {
            "key": f"key:{key_id}",
            "project": f"project:{name}",
            "account": f"account:{name}",
        }
        for kind, subject in subjects.items():
            guard.cli("cap", "set", subject, "0.30/day" if kind == tightest else "50.00/day")
        storm = Storm(guard, standin, name, draw)
        await storm.rage([key])
        assert storm.prove(*subjects.values()) > 300_000_000 - call_nusd
        assert storm.reached == {subjects[tightest]}


@pytest.mark.req("B-1", "B-3")
@pytest.mark.parametrize("stream", [True, False])
async def test_exactly_as_many_calls_run_at_once_as_the_cap_pays_for(
    guard: GuardProcess, standin: StandinProcess, stream: bool
) -> None:
    """No call ends while others ask, so what is admitted is the cap divided by the hold."""
    shape = claude(stream=stream)
    _, scout = await new_key(guard, "9.00/day")
    async with calling(guard.base_url) as caller:
        await caller.call(scout, shape, headers={"x-request-id": f"exact-{stream}-scout"})
        hold_nusd = booked(guard.folder / "data")[f"exact-{stream}-scout"].held_nusd
        for number in range(TRIES):
            name = f"exact-{stream}-{number}"
            _, key = await new_key(guard, "0.25/day")
            statuses, took_s = await _at_once(caller, key, shape, name)
            assert len(standin.lines(name)) == statuses[200]
            guard.wait_until_settled()
            if took_s < RUNS_S:
                break
        else:
            pytest.fail("the machine was never quick enough to see it")
    assert statuses == {200: 250_000_000 // hold_nusd, 429: 100 - 250_000_000 // hold_nusd}


async def _at_once(caller: Caller, key: str, shape: Shape, name: str) -> tuple[Counter[int], float]:
    """How a hundred calls end, and how long it took until the last one was refused."""
    began_s = refused_s = time.monotonic()
    script = f"first_ms={RUNS_S * 1_000}; output_tokens=1000; tag={name}"

    async def call() -> int:
        nonlocal refused_s
        told = await caller.call(key, shape, script)
        if told.status != 200:
            refused_s = time.monotonic()
        return told.status

    statuses = Counter(await asyncio.gather(*(call() for _ in range(100))))
    return statuses, refused_s - began_s


@pytest.mark.req("B-7", "B-1")
async def test_a_large_balance_is_held_as_strictly_as_a_small_one(
    guard: GuardProcess, standin: StandinProcess
) -> None:
    """A thousand times the cap and calls a thousand times as dear: no shortcut for the rich."""
    key_id, key = await new_key(guard, "1000.00/day")
    shape = claude(output=120_000, messages=[{"role": "user", "content": "x" * 200_000}])
    storm = Storm(guard, standin, "rich")
    async with calling(guard.base_url) as caller:
        calls = [
            caller.call(
                key,
                shape,
                f"first_ms={RUNS_S * 1_000}; output_tokens=119000; input_tokens=100000; "
                f"tag=rich-{i}",
                headers={"x-request-id": f"rich-{i}"},
            )
            for i in range(300)
        ]
        told = await asyncio.gather(*calls)
    codes = Counter(each.code for each in told if each.status != 200)
    assert set(codes) == {"cap:held"}, codes
    assert storm.prove(f"key:{key_id}") > 0.5 * 1000 * CAP_NUSD


@pytest.mark.req("F-4")
async def test_a_key_without_caps_is_never_blocked_for_money(
    guard: GuardProcess, standin: StandinProcess
) -> None:
    key_id, key = await new_key(guard)
    shape = chat(stream=False, output=None)
    statuses: Counter[int] = Counter()
    async with calling(guard.base_url) as caller:

        async def go_on() -> None:
            for _ in range(100):
                told = await caller.call(key, shape, "output_tokens=1; tag=free")
                statuses[told.status] += 1

        await asyncio.gather(*(go_on() for _ in range(30)))
    assert statuses == {200: 3_000}
    (row,) = [row for row in guard.cli("usage", "--by", "key")["rows"] if row["by"] == key_id]
    assert row["calls"] == 3_000
    assert row["cost_nusd"] == sum(line["cost_nusd"] for line in standin.lines("free"))
