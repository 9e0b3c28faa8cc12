"""What do the pasts of many keys take: in the store, in memory, and to fold?

    python -m benchmarks.pasts [--keys 1000000]

Honest owners of the lab (`tokenward lab`: developers, apps and public endpoints) are lived for 1 to
120 days each by the guard's own detectors; every key gets the past of one of them. All are folded
into real SQLite records as a guard folds them, 256 at a time; then some keys' pasts are folded
again into what is there, 16 at a time, and some are found. Bytes a key: packed, and what the files
have grown by. Then, in a process of its own, a guard's memory recalls as many keys as it keeps,
each does a day of its owner's calls, and as many others come after them: what it has grown by each
time, and what a walk over a key's objects adds up to. Last, two keys that do everything: a past
with all its places taken, and the busiest minutes.

What docs/explanation/evidence.md states is set beside what was found.
"""

import asyncio
import gc
import hashlib
import os
import random
import sys
import time
from array import array
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import uvloop
from msgspec import Struct

from benchmarks import processes
from benchmarks.options import parser_of, read_options
from benchmarks.rig import report
from tokenward.detectors.habits import HABITS
from tokenward.detectors.past import (
    BYTES_MAX,
    DAY_MS,
    MARKS_MAX,
    ORIGINS_MAX,
    TEXT_MAX,
    VALUES_MAX,
    Doubt,
    News,
    Origin,
    Past,
    Seen,
    pack,
    unpack,
)
from tokenward.kernel.ids import base62_number
from tokenward.kernel.signals import Asked, Client, Content, Network, Signals
from tokenward.lab.catalogue import COUNTRIES, dice
from tokenward.lab.months import live_changes
from tokenward.lab.population import draw_owner
from tokenward.lab.ward import Ward
from tokenward.machine import RealClock
from tokenward.pipeline.remembering import FOLD_MAX as FLUSHED_AT_ONCE
from tokenward.pipeline.remembering import KEYS_MAX, Memory, Remembered
from tokenward.policy.rules import Rules
from tokenward.store.past_rows import FOLD_MAX
from tokenward.store.sqlite import SqliteStore
from tokenward.store.sqlite.database import RIDE_DELAY_S

KEYS: Final = 100_000
OWNERS: Final = 400
QUICK: Final = {"keys": 500, "owners": 12, "in_memory": 100, "again": 64}
AGAIN: Final = 2_000
"""Keys whose pasts are folded again, and found."""
TODAY: Final = 20_600
DAYS_MAX: Final = 120
NOTED_MAX: Final = 100
"""Calls of a day that are noted in memory."""
WALKED: Final = 200
BUSIEST_CALLS: Final = 3_000
ABOUT: Final = 1.1
MILLION: Final = 1_000_000
STATED: Final[dict[str, Any]] = {
    "packed_typically": (400, 2_000),
    "packed_at_most": 40_960,
    "in_memory_in_use": 16_000,
    "keys_in_memory_at_most": 20_000,
}
"""What docs/explanation/evidence.md says of a key, in bytes."""
Numbers = Mapping[str, Any]


@dataclass(frozen=True)
class Lived:
    """An owner's past, packed, and the calls of the last day."""

    kind: str
    blob: bytes
    calls: tuple[Signals, ...]


def live(number: int) -> Lived | None:
    """One owner of the lab; None for one who never called."""
    rng = dice("pasts", number)
    owner = draw_owner(rng)
    ward, calls = Ward(Rules(key_kind=owner.kind)), tuple[Signals, ...]()
    for day in range(TODAY - rng.randint(1, DAYS_MAX), TODAY):
        if not owner.is_active(day):
            continue
        spoken = owner.live(day, live_changes(owner, day)).calls
        for each in spoken:
            verdict = ward.ask(each.call, each.answer, is_error=each.is_error)
            if verdict.opens:
                ward.undo(verdict)
        calls = tuple(each.call for each in spoken[:NOTED_MAX])
    return Lived(owner.kind, pack(ward.past), calls) if ward.past.calls else None


def key_id(number: int) -> str:
    """Spread over all ids, as drawn ones are."""
    drawn = hashlib.blake2b(b"%d" % number, digest_size=8).digest()
    return base62_number(int.from_bytes(drawn) % 62**10, 10)


def fullest() -> Past:
    """A past in which every place is taken, by texts as long as they can be."""

    def names(count: int) -> list[str]:
        return [f"{at:03}".ljust(TEXT_MAX, "x") for at in range(count)]

    day = TODAY
    return Past(
        first=day - 90,
        last=day,
        days=90,
        calls=MILLION,
        level=120,
        origins={name: Origin(day - 90, day, 90, 1_000) for name in names(ORIGINS_MAX)},
        values={
            habit.name: {name: Seen(day - 90, day, 90) for name in names(VALUES_MAX)}
            for habit in HABITS
            if habit.name != "dearer"
        },
        news={habit.name: News(90, day) for habit in HABITS},
        doubts={
            name: Doubt(day, {f"probe:{at:020}": 12.5 for at in range(MARKS_MAX)})
            for name in names(ORIGINS_MAX)
        },
        strain=12.5,
        strain_day=day,
        strangers=dict.fromkeys(names(ORIGINS_MAX), 12.5),
    )


async def fill(
    folder: Path, keys: int, owners: Sequence[Lived], again: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fold a past for each key into an empty store: what it takes there, and how long."""
    store = await SqliteStore.open(folder, clock=RealClock(), commit_limit_s=60.0)
    rng, empty_mb = random.Random(1), files_mb(folder)
    began_s, cpu_s = time.perf_counter(), time.process_time()
    async with hurried(store):
        for start in range(0, keys, FOLD_MAX):
            numbers = range(start, min(keys, start + FOLD_MAX))
            await store.pasts.fold({key_id(n): rng.choice(owners).blob for n in numbers})
    took_s, took_cpu_s = time.perf_counter() - began_s, time.process_time() - cpu_s
    folds = await timed_ms(
        range(0, again, FLUSHED_AT_ONCE),
        lambda _: store.pasts.fold(
            {key_id(rng.randrange(keys)): rng.choice(owners).blob for _ in range(FLUSHED_AT_ONCE)}
        ),
    )
    finds = await timed_ms(range(again), lambda _: store.pasts.find(key_id(rng.randrange(keys))))
    assert await store.pasts.find(key_id(keys - 1)) is not None
    assert await store.pasts.find(key_id(keys)) is None
    await store.close()
    grown_mb = files_mb(folder) - empty_mb
    sizes = {
        "database_bytes_a_key": round(grown_mb * 1e6 / keys),
        "database_mb": round(grown_mb, 1),
        "database_gb_of_a_million": round(grown_mb / keys * 1e3, 2),
    }
    times = {
        "first_fold_us_a_key": round(took_s / keys * 1e6, 1),
        "first_fold_cpu_us_a_key": round(took_cpu_s / keys * 1e6, 1),
        f"fold_of_{FLUSHED_AT_ONCE}_ms": folds,
        "folded_again_keys_a_s": round(FLUSHED_AT_ONCE / folds["p50"] * 1e3),
        "find_ms": finds,
    }
    return sizes, times


@asynccontextmanager
async def hurried(store: SqliteStore) -> AsyncIterator[None]:
    """Pasts wait on purpose for some commit to take them along; while so many are folded, one is
    always about to begin."""

    async def ride() -> None:
        while True:
            store.database.ride()
            await asyncio.sleep(0.001)

    riding = asyncio.create_task(ride())
    try:
        yield
    finally:
        riding.cancel()
        await asyncio.sleep(2 * RIDE_DELAY_S)  # rides that were ordered meanwhile still come


async def timed_ms(
    turns: Sequence[int], run: Callable[[int], Awaitable[object]]
) -> dict[str, float]:
    """Milliseconds of each turn."""
    took_ms = []
    for turn in turns:
        began_s = time.perf_counter()
        await run(turn)
        took_ms.append((time.perf_counter() - began_s) * 1e3)
    return spread(took_ms, digits=3)


def spread(values: Sequence[float], digits: int = 0) -> dict[str, float]:
    """p50, p95 and the largest."""
    ranked = sorted(values)
    last = len(ranked) - 1
    shares = (("p50", 0.5), ("p95", 0.95), ("max", 1.0))
    return {name: round(ranked[round(last * share)], digits or None) for name, share in shares}


def files_mb(folder: Path) -> float:
    """The database with its log."""
    return sum(path.stat().st_size for path in folder.glob("*.db*")) / 1e6


def remember(folder: Path, keys: int, count: int, owners: Sequence[Lived]) -> dict[str, Any]:
    """What a guard's memory of `count` keys takes, in a process that does nothing else."""
    return uvloop.run(_remember(folder, keys, count, owners))


async def _remember(folder: Path, keys: int, count: int, owners: Sequence[Lived]) -> dict[str, Any]:
    store = await SqliteStore.open(folder, clock=RealClock(), commit_limit_s=60.0)
    memory = Memory(store.pasts, is_shared=False, keys_max=count)
    for number in range(count, min(keys, count + 500)):  # what the first calls cost anyway
        await memory.recall(key_id(number), TODAY * DAY_MS)
    memory = Memory(store.pasts, is_shared=False, keys_max=count)
    rng = random.Random(2)
    gc.collect()
    before_mb, found = _rss_mb(), dict[str, Any]()

    def tell(name: str) -> None:
        found[name] = {"rss_mb": round(_rss_mb() - before_mb, 1)}
        found[name]["rss_bytes_a_key"] = round((_rss_mb() - before_mb) * 1e6 / count)
        walked = [size_of(memory._known[key_id(n)]) for n in walk if key_id(n) in memory._known]
        found[name]["bytes_a_key"] = spread(walked)

    walk: Sequence[int] = rng.sample(range(count), min(WALKED, count))
    for number in range(count):
        await memory.recall(key_id(number), TODAY * DAY_MS)
    tell("recalled")
    for number in range(count):
        known = await memory.recall(key_id(number), TODAY * DAY_MS)
        for call in rng.choice(owners).calls:
            known.recent.note(call, is_clean=True, is_error=False)
            for answer in call.content.answers:
                known.recent.serve(answer, call.at_ms)
    tell("in_use")
    began_s = time.perf_counter()
    gc.collect()
    found["full_collection_ms"] = round((time.perf_counter() - began_s) * 1e3, 1)
    walk = range(count, min(2 * count, keys))[:WALKED]
    for number in range(count, min(2 * count, keys)):
        await memory.recall(key_id(number), TODAY * DAY_MS)
    tell("as_many_others_later")
    assert len(memory._known) == count
    await store.close()
    return {"keys": count, **found}


def _rss_mb() -> float:
    return processes.rss_mb([os.getpid()])


def size_of(thing: object, seen: set[int] | None = None) -> int:
    """Bytes of an object and of all that it holds; what several hold counts once, and what every
    process has anyway (classes, small numbers) is left out."""
    seen = set() if seen is None else seen
    if id(thing) in seen or thing is None or isinstance(thing, (type, bool)):
        return 0
    seen.add(id(thing))
    return sys.getsizeof(thing) + sum(size_of(part, seen) for part in _parts(thing))


def _parts(thing: object) -> Iterator[object]:
    if isinstance(thing, Mapping):
        yield from thing.keys()
        yield from thing.values()
    elif isinstance(thing, (list, tuple, set, frozenset)):
        yield from thing
    elif isinstance(thing, Struct):
        yield from (getattr(thing, name) for name in thing.__struct_fields__)
    elif not isinstance(thing, (str, bytes, bytearray, int, float, array)):
        for kind in type(thing).__mro__:
            for name in getattr(kind, "__slots__", ()):
                yield getattr(thing, name, None)
        yield from vars(thing).values() if hasattr(thing, "__dict__") else ()


def busiest() -> dict[str, int]:
    """Bytes of a key whose past is full and whose last minutes were full of everything."""
    past = unpack(pack(fullest()))
    assert past is not None
    known, rng = Remembered(past, is_shared=False), random.Random(3)

    def tag() -> str:
        return f"{rng.getrandbits(64):016x}"

    for number in range(BUSIEST_CALLS):
        answers = tuple(tag() for _ in range(8))
        call = Signals(
            at_ms=TODAY * DAY_MS + number * 500,
            client=Client(family="openai-python", fingerprint=tag()),
            network=Network(place=f"AS{number}", country=rng.choice(COUNTRIES), asn=number),
            content=Content(system=tag(), tools=tag(), root=tag(), script="latin", answers=answers),
            asked=Asked(model=f"model-{number}", level=number % 120, route="chat"),
        )
        known.recent.note(call, is_clean=number % 2 == 0, is_error=number % 2 == 1)
        known.recent.serve(tag(), call.at_ms)
        known.spend(call.origin, call.at_ms, 1_000)
    return {"packed_bytes": len(pack(fullest())), "in_memory_bytes": size_of(known)}


def held_against(packed: Numbers, memory: Numbers, most: Numbers) -> dict[str, bool]:
    """Whether what docs/explanation/evidence.md states is so."""
    low, high = STATED["packed_typically"]
    in_use = memory["in_use"]
    return {
        "half_of_keys_within_what_is_typical": low <= packed["p50"] <= high,
        "95_percent_within_what_is_typical": packed["p95"] <= high,
        "packed_at_most": max(packed["max"], most["packed_bytes"]) <= BYTES_MAX,
        "in_memory_in_use": max(in_use["rss_bytes_a_key"], in_use["bytes_a_key"]["p50"])
        <= STATED["in_memory_in_use"] * ABOUT,
        "keys_in_memory_at_most": memory["keys"] <= KEYS_MAX == STATED["keys_in_memory_at_most"],
    }


def measure(keys: int, owners: int, in_memory: int, again: int) -> dict[str, Any]:
    """Everything, in a folder that is thrown away."""
    lived = [each for number in range(owners) if (each := live(number)) is not None]
    sizes = {
        kind: spread([len(each.blob) for each in lived if kind in ("all", each.kind)])
        for kind in ("all", *sorted({each.kind for each in lived}))
    }
    with TemporaryDirectory(prefix="tokenward-pasts-") as name:
        stored, times = uvloop.run(fill(Path(name), keys, lived, again))
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
            memory = alone.submit(remember, Path(name), keys, in_memory, lived).result()
    most = busiest()
    return {
        "keys": keys,
        "owners": len(lived),
        "packed_bytes": sizes,
        "stored": stored,
        "times": times,
        "memory": memory,
        "at_most": most,
        "stated": STATED,
        "is_as_stated": held_against(sizes["all"], memory, most),
    }


def main() -> None:
    """Measure and report."""
    parser = parser_of(__doc__)
    parser.add_argument("--keys", type=int, default=KEYS, help=f"default: {KEYS:,}")
    args = read_options(parser)
    asked = {"keys": args.keys, "owners": OWNERS, "again": AGAIN}
    asked["in_memory"] = min(KEYS_MAX, args.keys // 2)
    found = measure(**(QUICK if args.quick else asked))
    report("pasts", found, is_kept=not args.quick)


if __name__ == "__main__":
    main()
