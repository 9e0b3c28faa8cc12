"""How does the guard scale: with processes, with keys, and on one hot account?

    python -m benchmarks scaling [--part processes] [--part keys]

*Processes*: 1, 2 and 4 workers on SQLite (1 is the plain single process), 1, 2 and 4 gateways on
PostgreSQL and Valkey. Each is called by 64 connections that call again at once: with keys of as
many accounts (spread), and with as many keys of one account (hot), whose cap every call then holds
on and settles. All of an engine run at the same time and are called in turns of random order, so
that whatever else the machine does falls on all alike. Calls that are refused (503: a store was
too late) are told; all others the books must have counted, each once. Nothing is pinned to a core:
callers, provider and stores run beside the guards, so `machine_used_share` near 1 means that the
machine was the limit; then only CPU a call can be compared. `busiest_process_us_a_call` is what the
guard's busiest process spent on each call: its inverse is what so many processes cannot pass,
however many cores there are.

*Keys*: see `known_keys.py`.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import Any, Final

import uvloop

from benchmarks import processes
from benchmarks.known_keys import measure_sizes
from benchmarks.load import Pool
from benchmarks.options import jiffies, parser_of, read_options, used_share
from benchmarks.rig import OFF, ON, Rig, middle, quantiles_us, report, running_rig
from benchmarks.shared_stores import SharedStores, running_stores

SHOWS: Final = ("O-1",)
COUNTS: Final = (1, 2, 4)
SPREAD: Final = "spread"
HOT: Final = "hot"
KEYS: Final = 16
CONNECTIONS: Final = 64
CALLS: Final = 4_000
WARM_UP: Final = 2_000
ROUNDS: Final = 7
HOT_RATE: Final = 1_000
HOT_RATE_S: Final = 5.0
_FULL: Final = 0.9
"""A machine that is used more than this is what limits."""


@dataclass(kw_only=True)
class Fleet:
    """One guard of some processes, keys of many accounts and of one, and how often each was
    called."""

    rig: Rig
    processes: int
    stores: SharedStores | None
    keys: dict[str, list[str]]
    pool: Pool | None = None
    answered: int = 0
    answered_hot: int = 0
    refused: int = 0

    @property
    def key(self) -> str:
        """Its row in the results."""
        if self.processes == 1:
            return "1 gateway" if self.stores else "1 process"
        return f"{self.processes} {'gateways' if self.stores else 'workers'}"

    async def open(self) -> Pool:
        """Callers; made on the loop that runs."""
        self.pool = Pool(self.rig.guard_url, b"", counts_refusals=True)
        await self.pool.open(CONNECTIONS, self.rig.guard_urls)
        return self.pool

    async def call(self, kind: str, calls: int, rate: int = 0) -> float:
        """So many calls over all keys of the kind in turn, at that rate or as fast as it goes;
        seconds they took."""
        assert self.pool is not None
        self.pool.feed(cycle([self.rig.request(key=key) for key in self.keys[kind]]))
        before = self.pool.refused
        run = self.pool.pace(rate, calls) if rate else self.pool.saturate(calls)
        took_s = await run
        answered = calls - (self.pool.refused - before)
        self.refused = self.pool.refused
        self.answered += answered
        self.answered_hot += answered if kind == HOT else 0
        return took_s

    def check(self) -> None:
        """Fail unless every call that was answered was counted once: by the caps of keys, projects
        and accounts in money, in the books by number; those of the hot account too (O-1)."""
        self.rig.check()
        rows = self.rig.admin("GET", "/usage?by=account")["rows"]
        counted = {row["by"]: row["calls"] for row in rows}
        assert sum(counted.values()) == self.answered, (counted, self.answered)
        assert counted["default"] == self.answered_hot, (counted, self.answered_hot)
        (cap,) = self.rig.admin("GET", "/caps?subject=account:default")
        cost = {row["by"]: row["cost_nusd"] for row in rows}
        assert cap["spent"] == cost["default"], (cap, cost)


@contextmanager
def running_fleets(
    engine: str, counts: Sequence[int] = COUNTS, keys: int = KEYS
) -> Iterator[list[Fleet]]:
    """One for each number of processes, all at once; on PostgreSQL each with stores of its own."""
    with ExitStack() as stack:
        fleets = []
        for count in counts:
            stores = stack.enter_context(running_stores()) if engine == "postgres" else None
            asked = {"workers": count} if stores is None else {"gateways": count}
            urls = stores.urls() if stores else None
            rig = stack.enter_context(running_rig(stores=urls, is_pinned=False, **asked))
            made = {
                HOT: [rig.new_key() for _ in range(keys)],
                SPREAD: [rig.new_key(f"project-{n}", f"account-{n}") for n in range(keys)],
            }
            fleets.append(Fleet(rig=rig, processes=count, stores=stores, keys=made))
        yield fleets


async def take_turns(
    fleets: Sequence[Fleet],
    dice: random.Random,
    *,
    calls: int = CALLS,
    rounds: int = ROUNDS,
    warm_up: int = WARM_UP,
    hot_rate: int = HOT_RATE,
    hot_rate_s: float = HOT_RATE_S,
) -> dict[str, Any]:
    """Every fleet, with each kind of keys, once a round in random order; then each at a fixed rate
    on the hot account."""
    turns = [(fleet, kind) for fleet in fleets for kind in (SPREAD, HOT)]
    found: dict[str, dict[str, list[dict[str, float]]]] = {
        fleet.key: {SPREAD: [], HOT: []} for fleet in fleets
    }
    for fleet in fleets:
        await fleet.open()
        await fleet.call(SPREAD, max(warm_up, CONNECTIONS))
    for _ in range(rounds):
        for fleet, kind in dice.sample(turns, len(turns)):
            found[fleet.key][kind].append(await _turn(fleet, kind, calls))
    shown = {}
    for fleet in fleets:
        own, first = found[fleet.key], found[fleets[0].key]
        rates = zip(own[SPREAD], first[SPREAD], strict=True)
        shown[fleet.key] = {
            "processes": len(fleet.rig.family),
            SPREAD: _medians(own[SPREAD]),
            HOT: _medians(own[HOT]),
            "percent_of_calls_a_s_of_the_first_row": middle(
                [100 * each["calls_a_s"] / one["calls_a_s"] for each, one in rates]
            ),
            f"hot_account_at_{hot_rate}_calls_a_s": await _hot(fleet, hot_rate, hot_rate_s),
        }
        shown[fleet.key]["calls_refused"] = fleet.refused
        assert fleet.pool is not None
        fleet.pool.close()
    return shown


async def _turn(fleet: Fleet, kind: str, calls: int) -> dict[str, float]:
    """One turn's figures."""
    guards, stores = fleet.rig.family, fleet.stores.family() if fleet.stores else []
    before = {pid: processes.cpu_s([pid]) for pid in guards}
    stores_s, at_first = processes.cpu_s(stores), jiffies()
    took_s = await fleet.call(kind, calls)
    spent_s = {pid: processes.cpu_s([pid]) - cpu_s for pid, cpu_s in before.items()}
    return {
        "calls_a_s": calls / took_s,
        "cpu_us_a_call": sum(spent_s.values()) / calls * 1e6,
        "busiest_process_us_a_call": max(spent_s.values()) / calls * 1e6,
        "stores_cpu_us_a_call": (processes.cpu_s(stores) - stores_s) / calls * 1e6,
        "machine_used_share": used_share(at_first),
    }


def _medians(turns: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Medians and IQR over the rounds, and what limited."""
    shown: dict[str, Any] = {name: middle([each[name] for each in turns]) for name in turns[0]}
    used = sorted(each["machine_used_share"] for each in turns)[len(turns) // 2]
    shown["machine_used_share"] = used
    shown["limited_by"] = "the machine's cores" if used >= _FULL else "waiting or one process"
    return shown


async def _hot(fleet: Fleet, rate: int, rate_s: float) -> dict[str, Any]:
    """Holds a second on one account at a fixed rate, whatever the answers do."""
    count = round(rate * rate_s)
    took_s = await fleet.call(HOT, count, rate)
    assert fleet.pool is not None
    latency_us = quantiles_us([each[-1] for each in fleet.pool.arrivals_s])
    return {"holds_a_s": round(count / took_s), "latency_us": latency_us}


def measure_processes(
    dice: random.Random, counts: Sequence[int] = COUNTS, keys: int = KEYS, **asked: Any
) -> dict[str, Any]:
    """Both engines, one after the other."""
    found = {}
    for engine in ("sqlite", "postgres"):
        with running_fleets(engine, counts, keys) as fleets:
            found[engine] = uvloop.run(take_turns(fleets, dice, **asked))
            for fleet in fleets:
                fleet.check()
    return found


def main() -> None:
    """Measure and report."""
    parser = parser_of(__doc__)
    parts = ("processes", "keys")
    parser.add_argument(
        "--part", action="append", choices=parts, help="only this (may be repeated)"
    )
    args = read_options(parser)
    found: dict[str, Any] = {"on": ON, "off": OFF}
    if "processes" in (args.part or parts):
        tiny = {"counts": (1, 2), "calls": 200, "rounds": 2, "warm_up": 0, "hot_rate": 100}
        asked = {**tiny, "keys": 2, "hot_rate_s": 1.0} if args.quick else {}
        found["processes"] = measure_processes(random.Random(1), **asked)
    if "keys" in (args.part or parts):
        few = {"sizes": (1, 100, 2_000), "used_max": 1_000, "calls": 200, "turns": 2}
        asked = few if args.quick else {}
        found["keys_known"] = {"sqlite": measure_sizes(**asked)}
        with running_stores() as stores:
            found["keys_known"]["postgres"] = measure_sizes(stores=stores.urls(), **asked)
    report("scaling", found, is_kept=not args.quick)


if __name__ == "__main__":
    main()
