"""A turn of a family that its caller was not told of."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from ledger_world import MovingClock, open_sqlite
from tokenward.keys.families import Family
from tokenward.keys.records import KeyRecord

FAMILY = Family(
    id="f" * 12, key_id="k" * 12, kind="dpop", thumbprint="t" * 43, got_by="holder", scope="",
    number=0, created_ms=1, used_ms=1, ends_ms=10**13,
)  # fmt: skip


async def test_a_turn_that_nobody_was_told_of_is_taken_back(tmp_path: Path) -> None:
    """Else the client's next try would be a second use of its token, and end the family."""
    store = await open_sqlite(tmp_path / "data", MovingClock())
    record = KeyRecord(id="k" * 12, digest=b"d", account="a", project="p", created_ms=1)
    await store.keys.add(record)
    await store.grants.add(FAMILY)
    turning = asyncio.create_task(store.grants.rotate(FAMILY, replace(FAMILY, number=1, used_ms=2)))
    while (await asyncio.sleep(0)) or store.grants._cached[FAMILY.id].number == 0:
        pass
    turning.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turning
    for _ in range(2):
        await store.grants.sweep(0)  # behind it in the queue
    assert await store.grants.find(FAMILY.id) == FAMILY
    await store.close()
