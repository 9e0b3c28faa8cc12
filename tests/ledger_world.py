"""What tests of the ledger share: a clock they move, asks, caps, charges."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenward.kernel.bound import CostBound
from tokenward.kernel.events import Record
from tokenward.kernel.refusals import Refusal
from tokenward.kernel.usage import Usage
from tokenward.keys.records import KeyRecord
from tokenward.ledger.cap_text import parse_cap
from tokenward.ledger.records import Cap, CapStatus, Charge, Hold, HoldAsk
from tokenward.store.interfaces import Store
from tokenward.store.sqlite import SqliteStore

NOON_MS = 1_768_478_400_000
"""2026-01-15 12:00:00 UTC, a Thursday."""
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
PATIENCE_S = 20.0
"""How long tests wait for a disk: a busy machine is no fault."""


@dataclass
class MovingClock:
    """Time moves only when a test says so."""

    at_ms: int = NOON_MS

    def now_ms(self) -> int:
        return self.at_ms

    def monotonic_s(self) -> float:
        return self.at_ms / 1000


def exactly(nusd: int, tokens: int = 0) -> CostBound:
    """A call that costs just that; there is no output to shorten."""
    return CostBound(nusd * 1000, 0, tokens, 0, 0)


def ask(bound: CostBound | int = 5, /, **changes: Any) -> HoldAsk:
    """A wish for money, of key k1 in project p1 of account a1 unless changed."""
    values: dict[str, Any] = {
        "request_id": "req_1",
        "key": "k1",
        "project": "p1",
        "account": "a1",
        "model": "gpt-5-mini",
        "bound": exactly(bound) if isinstance(bound, int) else bound,
        "is_priced": True,
        "max_call_nusd": None,
        "at_ms": NOON_MS,
        "ttl_ms": 10 * MINUTE_MS,
    }
    return HoldAsk(**{**values, **changes})


def cap(subject: str, text: str, **changes: Any) -> Cap:
    """`cap("key:k1", "20.00/day")`; limits in nano-dollars as `cap(…, "0/day", limit=100)`."""
    limit, unit, window = parse_cap(text)
    values: dict[str, Any] = {
        "id": "", "subject": subject, "window": window, "unit": unit, "limit": limit,
        "created_ms": NOON_MS,
    }  # fmt: skip
    return Cap(**{**values, **changes})


def charge(cost_nusd: int = 5, tokens: int = 0, **changes: Any) -> Charge:
    """What a call really cost."""
    values: dict[str, Any] = {
        "cost_nusd": cost_nusd, "tokens": tokens, "usage": Usage(), "is_estimate": False,
    }  # fmt: skip
    return Charge(**{**values, **changes})


def key_record(key_id: str = "k1", **changes: Any) -> KeyRecord:
    """A key as stored."""
    values: dict[str, Any] = {
        "id": key_id, "digest": b"d" * 32, "account": "a1", "project": "p1", "created_ms": NOON_MS,
    }  # fmt: skip
    return KeyRecord(**{**values, **changes})


def taken(answer: Hold | Refusal) -> Hold:
    """The hold; fails the test if it was refused."""
    assert isinstance(answer, Hold), answer
    return answer


def refused(answer: Hold | Refusal) -> Refusal:
    """The refusal; fails the test if a hold was taken."""
    assert isinstance(answer, Refusal), answer
    return answer


async def standing(store: Store, clock: MovingClock, subject: str) -> CapStatus:
    """The one cap of a subject and where it stands now."""
    (status,) = await store.ledger.caps(clock.now_ms(), subject)
    return status


async def kept(store: Store, count: int) -> list[Record]:
    """The records, as soon as that many are written: nobody waits for theirs."""
    until = time.monotonic() + PATIENCE_S
    while len(found := await store.records.recent("", 0, 10_000)) < count:
        if time.monotonic() > until:
            break
        await asyncio.sleep(0.01)
    return found


async def open_sqlite(folder: Path, clock: MovingClock, **changes: Any) -> SqliteStore:
    """A store in a folder of the test, patient with its disk unless told otherwise."""
    values = {"commit_limit_s": PATIENCE_S, **changes}
    return await SqliteStore.open(folder, clock=clock, **values)
