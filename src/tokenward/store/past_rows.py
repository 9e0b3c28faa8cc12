"""Pasts of keys, as every engine folds them."""

import asyncio
from collections.abc import Mapping
from typing import Final

from tokenward.detectors.merging import merge

FOLD_MAX: Final = 256
"""How many keys are folded at once."""
PAST_BYTES_MAX: Final = 65_536
KEPT_MS: Final = 90 * 86_400_000
"""How long the past of a key that has ended can still be looked at."""
SWEEP_BATCH: Final = 200
"""How many pasts are looked at in one step of a sweep."""


def check_fold(mine: Mapping[str, bytes]) -> None:
    """ValueError for too many, or one that is too long."""
    if len(mine) > FOLD_MAX:
        raise ValueError(f"at most {FOLD_MAX} pasts are folded at once")
    for key_id, blob in mine.items():
        _check_size(key_id, blob)


async def folded(stored: Mapping[str, bytes], mine: Mapping[str, bytes]) -> dict[str, bytes]:
    """What is to be kept of each key. Merging takes a while: others run in between."""
    merged: dict[str, bytes] = {}
    for key_id, blob in mine.items():
        kept = stored.get(key_id)
        if not kept or kept == blob:
            merged[key_id] = blob
            continue
        merged[key_id] = merge(kept, blob)
        _check_size(key_id, merged[key_id])
        await asyncio.sleep(0)
    return merged


def _check_size(key_id: str, blob: bytes) -> None:
    if len(blob) > PAST_BYTES_MAX:
        raise ValueError(f"the past of key {key_id} is longer than {PAST_BYTES_MAX:,} bytes")
