"""A guard that is killed: whatever it acknowledged is there, and the books can be proved."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ledger_world import MovingClock, open_sqlite
from tokenward.store.sqlite import audit_folder

TESTS = Path(__file__).parents[2]
WARM = 50
"""So many words of it are waited for: on a slow disk it may have said nothing yet."""
WORKER = """
import asyncio, pathlib, random, sys
from ledger_world import MovingClock, ask, cap, charge, open_sqlite
from tokenward.ledger.records import Hold

async def main(folder, seed):
    dice = random.Random(seed)
    store = await open_sqlite(pathlib.Path(folder), MovingClock())
    await store.ledger.set_cap(cap("key:k1", "0/day", limit=10**9))
    await store.ledger.set_cap(cap("account:a1", "0/month", limit=10**12))
    print("ready", flush=True)

    async def caller():
        while True:
            hold = await store.ledger.hold(ask(dice.randrange(1, 100)))
            if not isinstance(hold, Hold):
                return
            print(f'["held", {hold.id}, {hold.amount_nusd}]', flush=True)
            if dice.random() < 0.9:
                cost = dice.randrange(hold.amount_nusd + 1)
                await store.ledger.settle(hold, charge(cost), 0)
                print(f'["settled", {hold.id}, {cost}]', flush=True)

    await asyncio.gather(*(caller() for _ in range(16)))

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def live_and_die(folder: Path, seed: int, dice: random.Random) -> list[tuple[str, int, int]]:
    """Everything that a guard acknowledged until it was killed."""
    with subprocess.Popen(
        [sys.executable, "-c", WORKER, str(folder), str(seed)],
        cwd=TESTS,
        stdout=subprocess.PIPE,
        text=True,
    ) as guard:
        assert guard.stdout is not None
        assert guard.stdout.readline() == "ready\n"
        told = [guard.stdout.readline() for _ in range(WARM)]
        time.sleep(dice.uniform(0, 0.2))
        guard.send_signal(signal.SIGKILL)
        told += guard.stdout.read().splitlines()
    assert guard.returncode == -signal.SIGKILL
    return [tuple(json.loads(line)) for line in told if line.rstrip().endswith("]")]


@pytest.mark.req("F-1", "M-7")
@pytest.mark.slow
async def test_no_acknowledged_hold_or_settlement_is_lost_by_a_kill(
    tmp_path: Path, clock: MovingClock
) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    dice = random.Random(seed)
    acknowledged = 0
    for kill in range(5):
        told = live_and_die(tmp_path, seed + kill, dice)
        acknowledged += len(told)
        assert audit_folder(tmp_path, clock.at_ms) == [], (
            "as it lies there, before anybody opens it"
        )
        store = await open_sqlite(tmp_path, clock)
        assert await store.books.audit() == []
        assert {status.held for status in await store.ledger.caps(clock.at_ms)} == {0}
        rows = await store.books._reader.read(
            lambda reading: reading.execute(
                "SELECT hold, kind, nusd FROM entries WHERE hold > 0"
            ).fetchall()
        )
        entries = {(kind, hold): nusd for hold, kind, nusd in rows}
        settled = {hold for what, hold, _ in told if what == "settled"}
        for what, hold, nusd in told:
            assert entries["hold" if what == "held" else "settle", hold] == nusd
            if what == "held" and hold not in settled and ("settle", hold) not in entries:
                assert entries["expire", hold] == nusd, "closed at full price"
        await store.close()
    assert acknowledged > 200, "the guard must really have worked when it was killed"
