"""A guard that serves for long keeps no more in memory than one that has served for a while."""

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest

from caller import Caller, Shape, admin, calling, chat, claude, gemini, new_key
from chance import fixed_seed
from guard import GuardProcess, provider_settings, running_guard
from standin import StandinProcess
from tokenward.keys.format import draw_key

CALLS = 200_000
MARK = 50_000
GROWTH_MB_MAX = 32
CALLERS = 48
KEY_CALLS = 400
"""After so many a key is revoked and a new one made: keys that are gone must be forgotten too."""
SHAPES = (
    chat(stream=False),
    chat(),
    chat(output=None),
    claude(stream=False),
    claude(),
    gemini(),
    gemini(verb="generateContent"),
)
SCRIPTS = (*[""] * 12, "usage=none", "fail=reset@0", "fail=close@2", "fail=error@1", "status=500")


class Day:
    """Callers of all kinds: most are honest, some hang up, some guess keys, some send nonsense."""

    def __init__(
        self, guard: GuardProcess, standin: StandinProcess, keys: list[tuple[str, str]]
    ) -> None:
        self.guard = guard
        self.standin = standin
        self.keys = keys
        self.statuses: Counter[int] = Counter()
        self._dice = random.Random(fixed_seed())
        self._begun = 0

    async def go_on(self, caller: Caller, calls: int) -> None:
        """Until so many calls were made since the start of the day."""
        while self._begun < calls:
            self._begun += 1
            if self._begun % KEY_CALLS == 0:
                await self._change_a_key()
            await self._call(caller)

    def below(self, limit: int) -> int:
        """The dice of guessed keys: well formed, and nobody's."""
        return self._dice.randrange(limit)

    async def _change_a_key(self) -> None:
        place = self._dice.randrange(len(self.keys))
        (old_id, _), self.keys[place] = self.keys[place], await a_key(self.guard)
        await admin(self.guard, "POST", f"/keys/{old_id}/revoke")
        self.standin.reset()

    async def _call(self, caller: Caller) -> None:
        dice, shape = self._dice, self._dice.choice(SHAPES)
        (_, key), headers = dice.choice(self.keys), {}
        fate = dice.random()
        if fate < 0.03:
            key = draw_key(self)[1].reveal()
        elif fate < 0.06:
            shape = Shape(path=shape.path, key_header=shape.key_header, body={"x": dice.random()})
        elif fate < 0.16:
            headers = {"idempotency-key": f"{dice.random()}", "user-agent": f"a/{dice.random()}"}
        told = await caller.call(
            key,
            shape,
            f"output_tokens={dice.randrange(1, 60)}; {dice.choice(SCRIPTS)}",
            leave_at=1 if dice.random() < 0.05 else None,
            headers=headers,
        )
        self.statuses[told.status] += 1


async def a_key(guard: GuardProcess) -> tuple[str, str]:
    """With every kind of limit, and none that is reached."""
    return await new_key(
        guard, "900.00/day", "100000000tok/hour", concurrency=CALLERS, rpm=100_000, tpm=10**9
    )


def resident_mb(pid: int) -> float:
    """Memory of a process that is not shared out of its reach: what would be freed if it ended."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii")
    kinds = ("Private_Clean:", "Private_Dirty:", "Shared_Dirty:")
    lines = (line.split() for line in text.splitlines())
    return sum(int(words[1]) for words in lines if words[0] in kinds) / 1_000


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@pytest.mark.req("O-5")
async def test_memory_stays_flat_over_two_hundred_thousand_calls_of_all_kinds(
    standin: StandinProcess, tmp_path: Path
) -> None:
    settings = provider_settings(standin.base_url)
    with running_guard(tmp_path, settings, {"PROVIDER_KEY": standin.credential}) as guard:
        keys = [await a_key(guard) for _ in range(30)]
        day, sizes_mb = Day(guard, standin, keys), {0: resident_mb(guard.pid)}
        async with calling(guard.base_url) as caller:
            for calls in range(MARK, CALLS + 1, MARK):
                await asyncio.gather(*(day.go_on(caller, calls) for _ in range(CALLERS)))
                sizes_mb[calls] = resident_mb(guard.pid)
                print(f"{calls} calls: {sizes_mb[calls]:.1f} MB; {dict(day.statuses)}")
        guard.wait_until_settled()
        assert guard.cli("doctor", "--audit")["ok"]
    assert day.statuses[200] > 0.6 * CALLS
    assert sizes_mb[CALLS] - sizes_mb[MARK] < GROWTH_MB_MAX, sizes_mb
