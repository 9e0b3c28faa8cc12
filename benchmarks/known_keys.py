"""What does it cost a guard to know many keys?

Keys, each with a cap of its own, are written straight into the records of a guard that does not
run: in the store's own form of a row, without the ledger's entries that would tell of each (an
audit of these records would miss them; nothing else does). Then the guard is started and used.
"""

import asyncio
import hashlib
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import psycopg
import uvloop

from benchmarks.load import Pool
from benchmarks.rig import Rig, StoreUrls, laid_out_rig, middle, quantiles_us, running_guards
from tokenward.kernel.ids import base62_number
from tokenward.kernel.secret import Secret
from tokenward.keys.format import (
    ID_CHARS,
    PREFIX,
    SECRET_CHARS,
    digest,
    read_key_id,
    write_secret,
)
from tokenward.keys.records import KeyRecord
from tokenward.ledger.records import Window
from tokenward.ledger.windows import window_bounds
from tokenward.settings import load
from tokenward.settings.own_secrets import read_pepper
from tokenward.store.key_rows import KEY_COLUMNS, key_row
from tokenward.store.sqlite.folder import FolderLock, open_writer

SIZES: Final = (1, 1_000, 100_000, 1_000_000)
USED_MAX: Final = 60_000
"""More than a guard keeps in memory: it must not grow for ever."""
CONNECTIONS: Final = 64
CALLS: Final = 4_000
TURNS: Final = 5
RATE: Final = 200
RATE_S: Final = 3.0
ADMIN_LIMIT_S: Final = 600.0
PROVED_MAX: Final = 100_000
"""An audit finds an entry missing for each of these caps, and holds all of them in memory."""
CAP_NUSD: Final = 90_000 * 10**9
_ROWS_AT_ONCE: Final = 10_000
_KEYS: Final = KEY_COLUMNS.removeprefix("SELECT ").partition(" FROM")[0]
_CAPS: Final = (
    'id, subject, model, "window", unit, "limit", zone, throttles, created_ms, since_ms, is_credit'
)
Row = tuple[object, ...]
Rows = Iterable[tuple[list[Row], list[Row]]]
"""Keys and their caps, some at a time."""


@dataclass(frozen=True)
class KnownKeys:
    """Numbered keys whose texts anybody can work out who has the folder's pepper: nobody needs to
    remember a million of them. Their ids are spread over all ids, as drawn ones are."""

    folder: Path

    @cached_property
    def pepper(self) -> Secret:
        """The folder's."""
        return read_pepper(load(self.folder / "tokenward.toml", {}))

    def text(self, number: int) -> str:
        """The key with this number."""
        drawn = hashlib.blake2b(b"%d" % number, digest_size=40).digest()
        its_id = _base62(drawn[:8], ID_CHARS)
        return write_secret(PREFIX, its_id, _base62(drawn[8:], SECRET_CHARS)).reveal()

    def rows(self, first: int, end: int) -> Rows:
        """Those numbers, as both engines keep them."""
        now_ms = time.time_ns() // 1_000_000
        since_ms, _ = window_bounds(Window.HOUR, "UTC", now_ms)
        for start in range(first, end, _ROWS_AT_ONCE):
            numbers = range(start, min(end, start + _ROWS_AT_ONCE))
            records = [self._record(number, now_ms) for number in numbers]
            caps: list[Row] = [
                (f"cap:known{n}", f"key:{record.id}", "", "hour", "nusd", CAP_NUSD, "UTC", False,
                 now_ms, since_ms, False)
                for n, record in zip(numbers, records, strict=True)
            ]  # fmt: skip
            yield [key_row(record) for record in records], caps

    def _record(self, number: int, now_ms: int) -> KeyRecord:
        text = self.text(number)
        its_id = read_key_id(text)
        assert its_id is not None
        return KeyRecord(
            id=its_id,
            digest=digest(text, self.pepper),
            account="default",
            project="bench",
            created_ms=now_ms,
        )


def _base62(drawn: bytes, chars: int) -> str:
    return base62_number(int.from_bytes(drawn) % 62**chars, chars)


def write_to_file(folder: Path, rows: Rows) -> None:
    """Into SQLite."""
    lock, connection = FolderLock(folder / "data"), open_writer(folder / "data")
    try:
        for keys, caps in rows:
            connection.execute("BEGIN")
            for table, columns, some in (("keys", _KEYS, keys), ("caps", _CAPS, caps)):
                places = ", ".join("?" * len(some[0]))
                connection.executemany(f"INSERT INTO {table} ({columns}) VALUES ({places})", some)
            connection.execute("COMMIT")
    finally:
        connection.close()
        lock.release()


def write_to_database(url: str, rows: Rows) -> None:
    """Into PostgreSQL."""
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        for keys, caps in rows:
            for table, columns, some in (("keys", _KEYS, keys), ("caps", _CAPS, caps)):
                with cursor.copy(f"COPY {table} ({columns}) FROM STDIN".encode()) as copy:
                    for row in some:
                        copy.write_row(row)


def measure_sizes(
    sizes: Sequence[int] = SIZES,
    stores: StoreUrls | None = None,
    *,
    used_max: int = USED_MAX,
    calls: int = CALLS,
    turns: int = TURNS,
    is_pinned: bool = True,
) -> dict[int, dict[str, Any]]:
    """For each number of known keys, ascending, what `_measure` finds; in records that grow, with a
    guard that is started anew each time. With `stores` a gateway on PostgreSQL."""
    found: dict[int, dict[str, Any]] = {}
    with laid_out_rig(stores, is_pinned=is_pinned) as rig:
        with running_guards(rig):
            rig.key = rig.new_key()
        known, before = KnownKeys(rig.folder), 0
        for size in sizes:
            began_s, rows = time.perf_counter(), known.rows(before, size)
            if stores is None:
                write_to_file(rig.folder, rows)
            else:
                write_to_database(stores.records, rows)
            wrote_s, before = time.perf_counter() - began_s, size
            with running_guards(rig) as start_s:
                found[size] = {"written_in_s": round(wrote_s, 1), "start_s": round(start_s, 2)}
                found[size] |= uvloop.run(_measure(rig, known, size, used_max, calls, turns))
    return found


async def _measure(
    rig: Rig, known: KnownKeys, size: int, used_max: int, calls: int, turns: int
) -> dict[str, Any]:
    """Memory at the start, when one key has made many calls, and when as many keys have made one
    each; CPU and latency of calls with one key and with keys drawn at random, turn by turn; and
    what it takes to list all keys, to audit and to reconcile while calls go on."""
    dice, used = random.Random(size), min(size, used_max)
    pool = Pool(rig.guard_url, rig.request(), counts_refusals=True)
    await pool.open(CONNECTIONS)
    rss_mb = {"after start": rig.rss_mb()}
    pool.feed(_requests(rig, known, [0] * max(used, calls)))
    await pool.saturate(max(used, calls))
    rss_mb["after as many calls with one key"] = rig.rss_mb()
    if used >= CONNECTIONS:
        pool.feed(_requests(rig, known, dice.sample(range(size), used)))
        await pool.saturate(used)
    rss_mb["after one call with each of the used"] = rig.rss_mb()
    grown_mb = rig.rss_mb() - rss_mb["after as many calls with one key"]
    kinds = {"one key": lambda: 0, "random keys": lambda: dice.randrange(size)}
    cpu_us: dict[str, list[float]] = {kind: [] for kind in kinds}
    latency_us: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
    for _ in range(turns):
        for kind in dice.sample(list(kinds), len(kinds)):
            pool.feed(list(_requests(rig, known, [kinds[kind]() for _ in range(calls)])))
            cpu_s = rig.cpu_s()
            await pool.saturate(calls)
            cpu_us[kind].append((rig.cpu_s() - cpu_s) / calls * 1e6)
            count = round(RATE * min(RATE_S, calls / RATE))
            pool.feed(list(_requests(rig, known, [kinds[kind]() for _ in range(count)])))
            await pool.pace(RATE, count)
            latency_us[kind].append(quantiles_us([each[-1] for each in pool.arrivals_s]))
    pairs = zip(cpu_us["random keys"], cpu_us["one key"], strict=True)
    found = {
        "keys_used": used,
        "calls_refused": pool.refused,
        "rss_mb": rss_mb,
        "memory_a_used_key_bytes": round(grown_mb * 1e6 / used) if used >= 1_000 else None,
        "cpu_us_a_call": {kind: middle(us) for kind, us in cpu_us.items()},
        "cpu_of_random_keys_by_one_key": middle([100 * r / o for r, o in pairs if o]),
        f"latency_us_at_{RATE}_calls_a_s": {
            kind: {q: middle([us[q] for us in own])["median"] for q in ("p50", "p99")}
            for kind, own in latency_us.items()
        },
    }
    pool.close()
    keys, found["list_all_keys"] = await _meanwhile(rig, known, "GET", "/keys")
    assert len(keys) == size + 1, "the rig has a key of its own"
    if size <= PROVED_MAX:
        _, found["audit"] = await _meanwhile(rig, known, "GET", "/doctor?audit=true")
        answer, found["reconcile"] = await _meanwhile(rig, known, "POST", "/caps/reconcile", {})
        assert answer == {"corrected": 0}, "caps that no entry tells of have counted nothing"
    return found


def _requests(rig: Rig, known: KnownKeys, numbers: Sequence[int]) -> Iterator[bytes]:
    request, key = rig.request(), rig.key.encode()
    return (request.replace(key, known.text(number).encode()) for number in numbers)


async def _meanwhile(
    rig: Rig, known: KnownKeys, method: str, path: str, body: object = None
) -> tuple[Any, dict[str, Any]]:
    """What an administrator asked for while calls went on at a fixed rate; how long it took, the
    call that waited longest, and how many were refused."""
    pool = Pool(rig.guard_url, rig.request(), counts_refusals=True)
    await pool.open(CONNECTIONS)
    began_s, longest_s, calls = time.perf_counter(), 0.0, 0
    asked = asyncio.create_task(
        asyncio.to_thread(rig.admin, method, path, body, limit_s=ADMIN_LIMIT_S)
    )
    took: list[float] = []
    asked.add_done_callback(lambda _: took.append(time.perf_counter() - began_s))
    while True:
        pool.feed(_requests(rig, known, [0] * RATE))
        await pool.pace(RATE, RATE)
        calls += RATE
        longest_s = max(longest_s, *(each[-1] for each in pool.arrivals_s))
        if asked.done():
            break
    pool.close()
    return await asked, {
        "calls_meanwhile": calls,
        "of_these_refused": pool.refused,
        "took_s": round(took[0], 1),
        "longest_call_meanwhile_ms": round(longest_s * 1000),
        "rss_mb_afterwards": rig.rss_mb(),
    }
