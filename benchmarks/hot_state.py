"""What does it cost a gateway to ask Valkey?

    python -m benchmarks hot_state

Microseconds of CPU of this process for each claim of a proof, each call that enters its limits and
leaves, and both in one step, with 1, 16 and 100 callers at once; the server's own CPU beside it,
and the wall time that one caller waits. The same claim by the client library `valkey` shows what
packing the waiting calls together saves. One real server on loopback: on a network the CPU stays
and the wait grows by the round trip.
"""

import asyncio
import itertools
import secrets
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import uvloop
import valkey.asyncio
from tests.valkey_server import ValkeyServer, running_server

from benchmarks.rig import report
from tokenward.kernel.refusals import Refusal
from tokenward.limits.interfaces import KeyLimits
from tokenward.machine import RealClock
from tokenward.store.valkey import HotState
from tokenward.store.valkey.epochs import mark_key
from tokenward.store.valkey.library import VERSION
from tokenward.store.valkey.resp import Reply
from tokenward.store.valkey.servers import TAGS

AT_ONCE: Final = (1, 16, 100)
CALLS: Final = 6_000
ROUNDS: Final = 5
LIMITS: Final = KeyLimits(rpm=1_000_000_000, tpm=1_000_000_000, concurrency=1_000)
KEYS: Final = [secrets.token_hex(6) for _ in range(1_000)]
Call = Callable[[int], Awaitable[object]]


def calls_of(hot: HotState, library: Any) -> dict[str, Call]:
    """What is measured, by name."""
    proofs, limiter, clock = hot.proofs, hot.limiter, RealClock()

    async def claim(_: int) -> None:
        until_ms, since_ms = clock.now_ms() + 75_000, proofs.epoch.since_ms
        assert await proofs.claim(secrets.token_bytes(32), until_ms, since_ms)

    async def enter(number: int) -> None:
        place = await limiter.enter(KEYS[number % len(KEYS)], LIMITS)
        assert not isinstance(place, Refusal)
        place.leave()

    async def admit(number: int) -> None:
        until_ms, since_ms = clock.now_ms() + 75_000, proofs.epoch.since_ms
        name, key = secrets.token_bytes(32), KEYS[number % len(KEYS)]
        place = await hot.admit(key, LIMITS, name, until_ms, since_ms)
        assert not isinstance(place, Refusal)
        place.leave()

    async def claim_by_library(_: int) -> None:
        name = secrets.token_bytes(32)
        keys = mark_key(name[0]), TAGS[name[0]] + b"p:" + name
        tag = hot._epochs.tag
        answer = await library.execute_command("FCALL", f"claim_{VERSION}", 2, *keys, tag, 75_000)
        assert answer == 1

    return {
        "claim": claim,
        "enter and leave": enter,
        "admit and leave": admit,
        "claim by the library valkey": claim_by_library,
    }


async def run_each(call: Call, at_once: int, numbers: "itertools.count[int]") -> None:
    """`CALLS` calls by so many callers."""

    async def caller() -> None:
        for _ in range(CALLS // at_once):
            await call(next(numbers))

    await asyncio.gather(*(caller() for _ in range(at_once)))


def server_cpu_s(server: ValkeyServer) -> float:
    """Of the server's main thread and its others."""
    facts = server.facts("cpu")
    return float(facts["used_cpu_sys"]) + float(facts["used_cpu_user"])


async def measure(server: ValkeyServer) -> dict[str, Any]:
    """Medians of some rounds, taken in turn."""
    hot = await HotState.open(server.url, RealClock())
    library = valkey.asyncio.Valkey(port=server.port, max_connections=max(AT_ONCE))
    numbers, found = itertools.count(), dict[str, Any]()
    samples: dict[tuple[str, int], list[tuple[float, float, float]]] = {}
    for _ in range(ROUNDS):
        for name, call in calls_of(hot, library).items():
            for at_once in AT_ONCE:
                began = time.perf_counter(), time.process_time(), server_cpu_s(server)
                await run_each(call, at_once, numbers)
                ended = time.perf_counter(), time.process_time(), server_cpu_s(server)
                took = [(b - a) / CALLS * 1e6 for a, b in zip(began, ended, strict=True)]
                samples.setdefault((name, at_once), []).append((took[0], took[1], took[2]))
    for (name, at_once), rounds in samples.items():
        wall, cpu, server_cpu = (statistics.median(column) for column in zip(*rounds, strict=True))
        found.setdefault(name, {})[f"{at_once} at once"] = {
            "cpu_us": round(cpu, 1),
            "server_cpu_us": round(server_cpu, 1),
            "waited_us": round(wall * at_once, 1),
        }
    await hot.close()
    await library.aclose()
    return found


def memory_bytes(server: ValkeyServer) -> dict[str, int]:
    """What the server keeps for each."""
    found = {}
    for name, pattern in (("proof", "*:p:*"), ("requests of a key", "*:r:*"), ("mark", "*:mark")):
        cursor: Reply = b"0"
        sizes: list[int] = []
        while not sizes or (cursor != b"0" and len(sizes) < 100):
            assert isinstance(cursor, bytes)
            match server.ask("SCAN", cursor, "MATCH", pattern, "COUNT", 5_000):
                case [bytes(cursor), list(keys)]:
                    asked = [server.ask("MEMORY", "USAGE", key) for key in keys[:100]]
                    sizes += [size for size in asked if isinstance(size, int)]
        found[name] = round(statistics.median(sizes))
    return found


def main() -> None:
    """Measure and report."""
    with TemporaryDirectory() as folder, running_server(Path(folder)) as server:
        found = uvloop.run(measure(server))
        report("hot_state", {"a_call": found, "server_memory_bytes": memory_bytes(server)})


if __name__ == "__main__":
    main()
