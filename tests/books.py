"""The ledger's file beside the provider's bill, call by call. Calls are told apart by their
`x-request-id`, which tests also give the stand-in as the tag of its line."""

import asyncio
import json
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(slots=True, kw_only=True)
class Booked:
    """One hold and how it ended. `end`: settle, void, expire, or "" while it is open."""

    held_nusd: int
    end: str = ""
    why: str = ""
    cost_nusd: int = 0
    overrun_nusd: int = 0
    is_estimate: bool = False


def booked(data_folder: Path) -> dict[str, Booked]:
    """Every hold in the file by request id, read beside the guard; of several the last. No request
    may hold again but one whose hold was voided."""
    uri = f"{(data_folder / 'tokenward.db').absolute().as_uri()}?mode=rw"
    query = "SELECT kind, hold, nusd, estimate, detail FROM entries WHERE hold > 0 ORDER BY seq"
    with closing(sqlite3.connect(uri, uri=True, timeout=30)) as connection:
        return read_booked(connection.execute(query).fetchall())


def read_booked(rows: Iterable[tuple[Any, ...]]) -> dict[str, Booked]:
    """The same from rows: kind, hold, nusd, estimate, detail."""
    holds: dict[int, Booked] = {}
    names: dict[int, str] = {}
    for kind, hold, nusd, estimate, detail in rows:
        told = json.loads(detail or "{}")
        if kind == "hold":
            holds[hold], names[hold] = Booked(held_nusd=nusd), told["request"]
        elif kind == "overrun":
            holds[hold].cost_nusd += nusd
            holds[hold].overrun_nusd += nusd
        elif kind in ("settle", "void", "expire"):
            assert not holds[hold].end, f"hold {hold} ended twice"
            holds[hold].end, holds[hold].why = kind, told.get("why", "")
            holds[hold].cost_nusd += nusd
            holds[hold].is_estimate = bool(estimate)
    found: dict[str, Booked] = {}
    for hold, each in holds.items():
        earlier = found.get(names[hold])
        assert earlier is None or earlier.end == "void", f"{names[hold]} was held for twice"
        found[names[hold]] = each
    return found


def billed(lines: Iterable[dict[str, Any]]) -> dict[str, int]:
    """The bill's lines by tag, in nano-dollars; no call may be billed twice."""
    found: dict[str, int] = {}
    for line in lines:
        assert line["tag"] not in found, f"{line['tag']} was billed twice"
        found[line["tag"]] = line["cost_nusd"]
    return found


def underpaid(bill: dict[str, int], ledger: dict[str, Booked]) -> dict[str, tuple[int, object]]:
    """Calls that the provider bills above what the ledger says: must be empty."""
    return {
        tag: (cost, ledger.get(tag))
        for tag, cost in bill.items()
        if tag not in ledger or ledger[tag].cost_nusd < cost
    }


async def ended(data_folder: Path, *names: str, wait_s: float = 30) -> dict[str, Booked]:
    """The ledger as soon as these calls' holds have ended: that is on the disk a moment after the
    caller had its last byte."""
    until = time.monotonic() + wait_s
    while True:
        ledger = booked(data_folder)
        still_open = [name for name in names if name not in ledger or not ledger[name].end]
        if not still_open:
            return ledger
        assert time.monotonic() < until, f"still open: {still_open}"
        await asyncio.sleep(0.02)
