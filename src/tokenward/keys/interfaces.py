"""What the keys room needs from outside."""

from typing import Protocol

from tokenward.kernel.incidents import Incident
from tokenward.kernel.pages import BEGINNING, PAGE_MAX, Seen
from tokenward.keys.access_tokens import AccessToken
from tokenward.keys.accusation import Judged
from tokenward.keys.families import Family
from tokenward.keys.records import Census, KeyRecord


class View(Protocol):
    """Whether what this gateway knows of keys and tokens is fresh enough to act on."""

    def is_fresh(self) -> bool:
        """Asked for every call, and again at the moment of forwarding. Without waiting."""
        ...


class Watcher(Protocol):
    """Hears of changes that stop something, wherever they were made."""

    def key_changed(self, record: KeyRecord) -> None:
        """The key is now as `record` says."""
        ...

    def name_revoked(self, name: str) -> None:
        """An access token or its family, by its name in `AccessToken.names`, opens nothing more."""
        ...


class KeyStore(Protocol):
    """Keeps key records. All methods raise `StoreError` when they cannot know or not keep.

    A change is durable, and visible to every later `find` of this process, when the call returns.
    """

    def cached(self, key_id: str) -> KeyRecord | None:
        """The current record if it is in memory, without waiting. As fresh as the `View`."""
        ...

    async def find(self, key_id: str) -> KeyRecord | None:
        """The record, from memory or from the store."""
        ...

    async def read(self, key_id: str) -> KeyRecord | None:
        """The record as it is kept, durably: not from memory, which may know of a change that the
        disk then refuses, or not yet of one made elsewhere."""
        ...

    async def add(self, record: KeyRecord) -> None:
        """Keep a new key; its project and account come into being on first use.

        Raises ValueError if the project belongs to another account.
        """
        ...

    async def replace(self, old: KeyRecord, new: KeyRecord, kind: str, why: str) -> bool:
        """Compare-and-set on all that decides who may use the key; writes the audit entry `kind`.

        False when the stored record is no longer `old` (somebody else was faster).
        """
        ...

    async def accuse(
        self, key_id: str, incident: Incident, things: tuple[str, ...], *, freeze: bool
    ) -> bool:
        """Open the incident and do what it says (`keys.accusation.accuse`): bar things of the key
        and, with `freeze`, stop it; in one transaction, carried on when the caller goes away.

        False, and nothing is written, where there is nothing new, the key is unknown or revoked.
        True also for an incident that is there already. Raises ValueError for things that no
        policy makes.
        """
        ...

    async def undo(self, incident_id: str, now_ms: int) -> Judged:
        """A false alarm: what the incident barred is cleared, and a key that it froze works again.
        Again, it changes nothing."""
        ...

    async def confirm(self, incident_id: str, now_ms: int) -> Judged:
        """It was a theft: what it stopped stays so. Again, it changes nothing."""
        ...

    async def page(self, after: Seen = BEGINNING, limit: int = PAGE_MAX) -> list[KeyRecord]:
        """The oldest keys after that one, by creation and then id; the last page is shorter than
        `limit`. Reads no more than it gives."""
        ...

    async def census(self, now_ms: int, ends_ms: int, unused_ms: int) -> Census:
        """All keys, counted: which of the live ones end before `ends_ms`, and which were not used
        since `unused_ms`."""
        ...

    def used(self, key_id: str, at_ms: int) -> None:
        """Note the last use; written lazily, losing a few seconds of it in a crash is fine."""
        ...


class GrantStore(Protocol):
    """Keeps families of refresh tokens, and which access tokens are revoked. All methods raise
    `StoreError` when they cannot know or not keep; a change is durable, and seen by every later
    question in this process, when the call returns.
    """

    def is_revoked(self, names: tuple[str, ...]) -> bool:
        """Whether one of an access token's names is revoked. Never stale, without waiting."""
        ...

    async def find(self, family_id: str) -> Family | None:
        """The family as it is."""
        ...

    async def read(self, family_id: str) -> Family | None:
        """The family as it is kept, durably, never from memory."""
        ...

    async def add(self, family: Family) -> None:
        """Keep a new family."""
        ...

    async def rotate(self, old: Family, new: Family) -> bool:
        """Compare-and-set: the next number is good from now on. Of many at once one gets True;
        for the others the stored family is no longer `old`."""
        ...

    async def end(self, old: Family, new: Family, incident: Incident | None) -> bool:
        """Compare-and-set: the family and its access tokens are dead for ever, told in the audit
        trail, as an event and, where there is one, as an incident."""
        ...

    async def revoke(self, token: AccessToken, at_ms: int) -> None:
        """One access token is dead until its end."""
        ...
