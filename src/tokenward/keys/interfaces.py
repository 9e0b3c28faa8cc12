"""What the keys room needs from outside."""

from typing import Protocol

from tokenward.keys.records import KeyRecord


class KeyStore(Protocol):
    """Keeps key records. All methods raise `StoreError` when they cannot know or not keep.

    A change is durable, and visible to every later `find` of this process, when the call returns.
    """

    def cached(self, key_id: str) -> KeyRecord | None:
        """The current record if it is in memory, without waiting. Never stale."""
        ...

    async def find(self, key_id: str) -> KeyRecord | None:
        """The record, from memory or from the store."""
        ...

    async def add(self, record: KeyRecord) -> None:
        """Keep a new key; its project and account come into being on first use.

        Raises ValueError if the project belongs to another account.
        """
        ...

    async def replace(self, old: KeyRecord, new: KeyRecord, kind: str, why: str) -> bool:
        """Compare-and-set on state, digest and old secrets; writes the audit entry `kind`.

        False when the stored record is no longer `old` (somebody else was faster).
        """
        ...

    async def all(self) -> list[KeyRecord]:
        """Every key, oldest first."""
        ...

    def used(self, key_id: str, at_ms: int) -> None:
        """Note the last use; written lazily, losing a few seconds of it in a crash is fine."""
        ...
