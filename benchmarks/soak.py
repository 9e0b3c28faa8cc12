"""Does anything grow in a guard that serves for long?

    python -m benchmarks.soak [--minutes 30] [--rate 100] [--workers N | --gateways N]

A steady load of all kinds of calls (`mixture.py`): plain, streamed, hung up, with proofs of
possession, with guessed keys, refused and broken off by the provider; and an admin who makes,
freezes and revokes keys. Every 10 seconds it is looked how much the guard's processes use together:
memory, file descriptors, threads; and holds that are open, calls that run, the sizes of the
database and of its log. A line is fitted through the second half of the samples: what grows by more
than its slack (`flatness.py`) is not flat. The database grows by design, as the ledger forgets
nothing; how much a call is told. At the end nothing may be held, the caps of keys, projects and
account must agree, and the doctor must prove the ledger. Exit status 1 if anything of that is not
so, or a call got an answer that its kind does not get.
"""

import asyncio
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.request import urlopen

import uvloop

from benchmarks import processes
from benchmarks.flatness import judge
from benchmarks.mixture import Mixture
from benchmarks.options import parser_of, read_options
from benchmarks.rig import OFF, ON, Rig, report, running_rig
from benchmarks.shared_stores import running_stores

SHOWS: Final = ("O-5",)
MINUTES: Final = 30.0
RATE: Final = 100.0
LOOK_EVERY_S: Final = 10.0
CHANGE_EVERY_S: Final = 2.0
END_S: Final = 60.0
_MB: Final = 1_000_000
_RUNNING: Final = "tokenward_running_calls "


@dataclass(frozen=True, kw_only=True)
class Soaked:
    """A guard in the load, and how its open holds are counted."""

    rig: Rig
    open_holds: Callable[[], int]

    def look(self, at_s: float) -> dict[str, float]:
        """One sample: sums over the guard's processes. Logs that the engine does not keep as a file
        of the guard are left out."""
        family = self.rig.family
        sample = {
            "at_s": round(at_s, 1),
            "processes": len(family),
            "rss_mb": processes.rss_mb(family),
            "open_files": processes.open_files(family),
            "threads": processes.threads(family),
            "open_holds": self.open_holds(),
            "running_calls": self.running_calls(),
        }
        database = self.rig.folder / "data" / "tokenward.db"
        if database.exists():
            log = database.with_name("tokenward.db-wal")
            sample["db_mb"] = round(database.stat().st_size / _MB, 2)
            sample["wal_mb"] = round(log.stat().st_size / _MB, 2) if log.exists() else 0.0
        return sample

    def running_calls(self) -> int:
        """As `/metrics` of all guards show."""
        return round(sum(_running(url) for url in self.rig.guard_urls))


def _running(url: str) -> float:
    with urlopen(f"{url}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return float(next(li for li in lines if li.startswith(_RUNNING)).removeprefix(_RUNNING))


@contextmanager
def soaked(*, workers: int = 1, gateways: int = 0) -> Iterator[Soaked]:
    """A guard of one process, of some workers, or some gateways on PostgreSQL and Valkey."""
    if not gateways:
        with running_rig(workers=workers, is_pinned=False) as rig:
            yield Soaked(rig=rig, open_holds=lambda: _holds_in_file(rig))
        return
    with running_stores() as stores:
        urls = stores.urls()
        database = urls.records.rpartition("/")[2]
        with running_rig(stores=urls, gateways=gateways, is_pinned=False) as rig:

            def count() -> int:
                return int(stores.postgres.execute("SELECT count(*) FROM holds", database)[0][0])

            yield Soaked(rig=rig, open_holds=count)


def _holds_in_file(rig: Rig) -> int:
    file = sqlite3.connect(f"file:{rig.folder / 'data' / 'tokenward.db'}?mode=ro", uri=True)
    try:
        (count,) = file.execute("SELECT count(*) FROM holds").fetchone()
        return int(count)
    finally:
        file.close()


async def run(
    guard: Soaked,
    *,
    minutes: float = MINUTES,
    calls_a_s: float = RATE,
    look_every_s: float = LOOK_EVERY_S,
    change_every_s: float = CHANGE_EVERY_S,
    seed: int = 1,
    tell: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Load it for so long and look at it; what was seen and whether it was flat."""
    seconds, samples = minutes * 60, list[dict[str, float]]()
    began_s = time.monotonic()

    async def look() -> None:
        while True:
            sample = await asyncio.to_thread(guard.look, time.monotonic() - began_s)
            samples.append(sample)
            tell("  ".join(f"{name} {value:g}" for name, value in sample.items()))
            due_s = began_s + len(samples) * look_every_s
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))

    mixture = await asyncio.to_thread(Mixture, guard.rig, seed)
    async with mixture:
        looking = asyncio.create_task(look())
        loading = asyncio.gather(
            mixture.call(calls_a_s, seconds), mixture.change(change_every_s, seconds)
        )
        await asyncio.wait((looking, loading), return_when=asyncio.FIRST_COMPLETED)
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        await loading
    afterwards = await asyncio.to_thread(_end, guard)
    return _judged(guard, mixture, samples, afterwards) | {
        "minutes": round(minutes, 2),
        "calls_a_s": calls_a_s,
        "look_every_s": look_every_s,
    }


def _end(guard: Soaked) -> dict[str, Any]:
    """When all is quiet: what is left, and whether the books agree. Says what does not; the calls
    that broke were charged in full, so nothing may be missing."""
    until_s = time.monotonic() + END_S
    while guard.open_holds() or guard.running_calls():
        if time.monotonic() > until_s:
            break
        time.sleep(0.1)
    spent = guard.rig.spent_nusd()
    doctor = guard.rig.admin("GET", "/doctor?audit=true", limit_s=600)
    ledger = [check for check in doctor["checks"] if check["name"] == "ledger"]
    return {
        "open_holds": guard.open_holds(),
        "running_calls": guard.running_calls(),
        "rss_mb": guard.rig.rss_mb(),
        "spent_nusd": spent,
        "caps_agree": spent["key"] == spent["project"] == spent["account"] > 0,
        "ledger_is_proved": bool(ledger) and all(check["ok"] for check in ledger),
    }


def _judged(
    guard: Soaked,
    mixture: Mixture,
    samples: list[dict[str, float]],
    afterwards: dict[str, Any],
) -> dict[str, Any]:
    answers = {kind: dict(told) for kind, told in mixture.answers.items()}
    calls = sum(sum(told.values()) for told in answers.values())
    second_half = judge(samples, processes=int(samples[-1]["processes"]))
    unexpected = mixture.unexpected()
    whys = [f"{name} grows" for name, found in second_half.items() if not found["is_flat"]]
    whys += [f"{kind}: {told}" for kind, told in unexpected.items()]
    whys += [f"{name} is not 0 afterwards" for name in ("open_holds", "running_calls")
             if afterwards[name]]  # fmt: skip
    whys += [f"not so: {name}" for name in ("caps_agree", "ledger_is_proved")
             if not afterwards[name]]  # fmt: skip
    grown_mb = samples[-1].get("db_mb", 0.0) - samples[0].get("db_mb", 0.0)
    return {
        "is_flat": not whys,
        "why_not": whys,
        "guard_processes": len(guard.rig.family),
        "calls": calls,
        "calls_left_out": mixture.late,
        "admin_changes": mixture.changes,
        "answers": answers,
        "unexpected": unexpected,
        "second_half": second_half,
        "database_bytes_a_call": round(grown_mb * _MB / max(1, calls)),
        "afterwards": afterwards,
        "samples": samples,
    }


def table(found: dict[str, Any]) -> str:
    """The second half as a small table."""
    heads = ("", "at half", "median", "last", "most", "an hour", "grew", "may grow", "flat")
    names = ("at_half", "median", "last", "most", "growth_an_hour", "grew", "may_grow")
    rows = [
        (name, *(f"{own[each]:g}" for each in names), "yes" if own["is_flat"] else "NO")
        for name, own in found["second_half"].items()
    ]
    widths = [max(len(row[at]) for row in (heads, *rows)) for at in range(len(heads))]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in (heads, *rows)
    )


def main() -> int:
    """Soak and report; 1 if it was not flat."""
    parser = parser_of(__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES, metavar="N")
    parser.add_argument("--rate", type=float, default=RATE, metavar="R", help="calls a second")
    parser.add_argument("--workers", type=int, default=1, metavar="N")
    parser.add_argument("--gateways", type=int, default=0, metavar="N")
    parser.add_argument("--every", type=float, default=LOOK_EVERY_S, metavar="S", help="look")
    args = read_options(parser)
    asked = {"minutes": args.minutes, "calls_a_s": args.rate, "look_every_s": args.every}
    if args.quick:
        asked = {"minutes": 0.3, "calls_a_s": 20.0, "look_every_s": 1.0}
    with soaked(workers=args.workers, gateways=args.gateways) as guard:
        found = uvloop.run(run(guard, **asked, tell=lambda line: print(line, file=sys.stderr)))
    name = f"soak-gateways-{args.gateways}" if args.gateways else f"soak-workers-{args.workers}"
    report(name, {**found, "on": ON, "off": OFF}, is_kept=not args.quick)
    print(table(found))
    print("flat" if found["is_flat"] else f"not flat: {'; '.join(found['why_not'])}")
    return 0 if found["is_flat"] else 1


if __name__ == "__main__":
    sys.exit(main())
