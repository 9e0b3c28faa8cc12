"""What the detectors need from outside."""

from collections.abc import Mapping
from typing import Protocol


class Pasts(Protocol):
    """Keeps what is usual for each key, packed (`past.pack`). All methods raise `StoreError` when
    they cannot know or not keep. It is no part of the books: what a crash loses is learned anew.
    """

    async def find(self, key_id: str) -> bytes | None:
        """The past of the key as it is kept; None where nothing is."""
        ...

    async def fold(self, mine: Mapping[str, bytes]) -> dict[str, bytes]:
        """Fold these pasts, by key, into those that are kept (`merging.merge`), and what is kept
        from now on. Each is kept whole or not at all, and no other gateway's is lost.

        Raises ValueError for more than 256 keys, or a past of more than 64 kB: our own bug.
        """
        ...
