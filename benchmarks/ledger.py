"""What does a hold and its settlement cost, with three caps, on SQLite?

Prints microseconds of CPU and of wall time for each hold + settle pair, alone and with 64 callers
at once. CPU is the whole process: event loop, SQLite and the thread that waits for the disk.
Numbers of one machine; compare ratios, and look at the disk before comparing wall times.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from tokenward.kernel.bound import CostBound
from tokenward.kernel.refusals import Refusal
from tokenward.kernel.usage import Usage
from tokenward.ledger.records import Cap, Charge, HoldAsk, Unit, Window
from tokenward.store.sqlite import SqliteStore

CAPS = (("key:k1", Window.HOUR), ("project:p1", Window.DAY), ("account:a1", Window.MONTH))
BOUND = CostBound(5_000_000, 10_000, 600, 1, 1000)
CHARGE = Charge(cost_nusd=9_000, tokens=900, usage=Usage(input=600, output=300), is_estimate=False)


class SystemClock:
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        return time.monotonic()


async def pair(store: SqliteStore, clock: SystemClock, number: int) -> None:
    ask = HoldAsk(
        request_id=f"req_{number}",
        key="k1",
        project="p1",
        account="a1",
        model="gpt-5-mini",
        bound=BOUND,
        is_priced=True,
        max_call_nusd=None,
        at_ms=clock.now_ms(),
        ttl_ms=600_000,
    )
    hold = await store.ledger.hold(ask)
    assert not isinstance(hold, Refusal), hold
    await store.ledger.settle(hold, CHARGE, clock.now_ms())


async def measure(store: SqliteStore, clock: SystemClock, callers: int, each: int) -> None:
    async def caller() -> None:
        for number in range(each):
            await pair(store, clock, number)

    cpu, wall = [], []
    for _ in range(5):
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(callers)))
        pairs = callers * each
        cpu.append((time.process_time() - cpu_s) / pairs * 1e6)
        wall.append((time.perf_counter() - wall_s) / pairs * 1e6)
    print(
        f"{callers:4d} callers: {statistics.median(cpu):7.1f} µs CPU, "
        f"{statistics.median(wall):7.1f} µs wall a hold + settle (median of 5)"
    )


async def main(folder: Path) -> None:
    clock = SystemClock()
    store = await SqliteStore.open(folder, clock=clock)
    for subject, window in CAPS:
        await store.ledger.set_cap(
            Cap(
                id="",
                subject=subject,
                window=window,
                unit=Unit.NUSD,
                limit=10**15,
                created_ms=clock.now_ms(),
            )
        )
    await measure(store, clock, 1, 500)
    await measure(store, clock, 64, 100)
    await measure(store, clock, 256, 40)
    started_s = time.perf_counter()
    findings = await store.books.audit()
    head = await store.books.head()
    print(
        f"audit: {len(findings)} findings in {head.seq} entries, "
        f"{(time.perf_counter() - started_s) / head.seq * 1e6:.1f} µs an entry"
    )
    await store.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as name:
        uvloop.run(main(Path(name)))
