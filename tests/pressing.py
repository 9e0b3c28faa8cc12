"""Callers that go on calling while things break, and what each of their calls came to."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, Self

from books import Booked, billed, underpaid
from caller import NOT_NOW, Caller, Told, calling, claude
from chance import fixed_seed

FAULTS: Final = (
    "usage=none", "fail=reset@0", "fail=reset@2", "fail=close@2", "status=500", "status=429",
)  # fmt: skip
PATIENCE_S: Final = 60.0
"""How long a test waits for what must come: a busy machine is no fault."""


class Press:
    """Some callers share keys and call one guard after the other without a pause. Three calls of
    ten are broken by the provider, two are hung up."""

    def __init__(self, name: str, keys: list[str], callers: int, where: Callable[[], str]) -> None:
        """`where`: the base URL for the next call, "" while there is none. Calls are `name-1`,
        `name-2`, …: their request ids, and their tags on the bill."""
        self.name = name
        self.told: dict[str, Told] = {}
        self.codes: Counter[str] = Counter()
        """Refusals by their code, other answers by their status; "0" is none at all."""
        self.passed = 0
        self.refused = 0
        self.hangups = 0
        self.slowest_refusal_s = 0.0
        self.begun = 0
        self.in_a_row = 0
        """Refusals since the last call that passed."""
        self._keys, self._where = keys, where
        self._callers = callers
        self._dice = random.Random(f"{fixed_seed()}-{name}")
        self._is_over = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._press(n)) for n in range(self._callers)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_over = True
        async with asyncio.timeout(2 * PATIENCE_S):
            await asyncio.gather(*self._tasks)

    async def until(self, is_so: Callable[[], bool], wait_s: float = PATIENCE_S) -> None:
        """Wait until it is so; AssertionError with what was told meanwhile after `wait_s`."""
        until_s = time.monotonic() + wait_s
        while not is_so():
            assert time.monotonic() < until_s, self.codes
            await asyncio.sleep(0.02)

    async def passes(self, more: int) -> None:
        """Wait until so many more calls passed."""
        wanted = self.passed + more
        await self.until(lambda: self.passed >= wanted)

    async def refuses(self, more: int) -> None:
        """Wait until so many more calls were refused."""
        wanted = self.refused + more
        await self.until(lambda: self.refused >= wanted)

    async def is_refused(self, in_a_row: int) -> None:
        """Wait until so many calls in a row were refused, all after now."""
        self.in_a_row = 0
        await self.until(lambda: self.in_a_row >= in_a_row)

    async def until_all_heard(self, code: str) -> None:
        """Wait until as many calls as there are callers were refused with it, all after now."""
        wanted = self.codes[code] + self._callers
        await self.until(lambda: self.codes[code] >= wanted, 3 * PATIENCE_S)

    def check(
        self, bill: dict[str, Any], ledger: dict[str, Booked], cap_nusd: int, spent_nusd: int
    ) -> None:
        """Bill ≤ cap; ledger ≥ bill, call by call; nothing that was refused or has no hold was
        sent; every hold ended, and their sum is what the cap calls spent."""
        mine = {name: each for name, each in ledger.items() if name in self.told}
        lines = billed(line for line in bill["lines"] if line["tag"] in self.told)
        assert {each.end for each in mine.values()} <= {"settle", "void", "expire"}
        assert set(lines) <= set(mine), "sent without a hold"
        refused = {name for name, told in self.told.items() if told.code in NOT_NOW}
        assert refused & set(lines) == set(), "refused and sent"
        assert underpaid(lines, mine) == {}
        assert sum(lines.values()) <= cap_nusd
        assert sum(each.cost_nusd for each in mine.values()) == spent_nusd <= cap_nusd

    def __str__(self) -> str:
        told = ", ".join(f"{code} {count}" for code, count in self.codes.most_common())
        return f"{self.name}: {len(self.told)} calls, {self.hangups} hung up; {told}"

    async def _press(self, number: int) -> None:
        async with calling("", tries_again=False) as caller:
            while not self._is_over:
                base_url = self._where()
                if base_url:
                    told = await self._call(Caller(base_url, caller._session, False), number)
                    await asyncio.sleep(self._pause_s(told))
                else:
                    await asyncio.sleep(0.1)

    async def _call(self, caller: Caller, number: int) -> Told:
        self.begun += 1
        name, dice = f"{self.name}-{self.begun}", self._dice
        fault = dice.choice(FAULTS) if dice.random() < 0.3 else ""
        script = f"chunks=4; gap_ms=20; output_tokens={dice.randrange(100, 400)}; {fault}"
        began_s = time.monotonic()
        told = self.told[name] = Told()  # also of those that never come back
        told = self.told[name] = await caller.call(
            self._keys[number % len(self._keys)],
            claude(stream=dice.random() < 0.7),
            f"{script}; tag={name}",
            leave_at=dice.randrange(1, 4) if dice.random() < 0.2 else None,
            headers={"x-request-id": name},
        )
        assert told.status != 401, told
        self.codes[told.code or str(told.status)] += 1
        self.hangups += told.left
        if told.code in NOT_NOW:
            self.refused += 1
            self.in_a_row += 1
            self.slowest_refusal_s = max(self.slowest_refusal_s, time.monotonic() - began_s)
        elif told.status == 200:
            self.passed += 1
            self.in_a_row = 0
        return told

    def _pause_s(self, told: Told) -> float:
        """Not the same for all: a caller that was refused comes back, but not at once."""
        if told.code == "cap:reached":
            return 0.2 + 0.5 * self._dice.random()
        return 0.03 + 0.1 * self._dice.random() if told.code or not told.status else 0.0
