"""Keys, families and what is revoked, as a worker knows them."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from tokenward.kernel.incidents import Incident
from tokenward.kernel.pages import BEGINNING, PAGE_MAX, Seen
from tokenward.keys.access_tokens import AccessToken
from tokenward.keys.accusation import Judged, check_things
from tokenward.keys.families import Family
from tokenward.keys.records import Census, KeyRecord
from tokenward.store.workers import messages
from tokenward.store.workers.line import Line

CACHED_MAX: Final = 50_000
USED_MAX: Final = 50_000
REVOKED_MS: Final = 3_600_000
"""Longer than any access token lives."""


class RemoteKeys:
    """Fulfils `keys.interfaces.KeyStore`. In memory are the keys in use, each as the keeper last
    told; what is looked up never takes the place of what was told meanwhile."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._cached: OrderedDict[str, KeyRecord] = OrderedDict()
        self._heeded: Counter[str] = Counter()
        self._told: dict[str, KeyRecord] = {}
        self._used: dict[str, int] = {}
        self._losses = 0

    def cached(self, key_id: str) -> KeyRecord | None:
        """The record, if it is in memory."""
        record = self._cached.get(key_id)
        if record is not None:
            self._cached.move_to_end(key_id)
        return record

    async def find(self, key_id: str) -> KeyRecord | None:
        """The record. Unknown ids take no memory."""
        record = self.cached(key_id)
        if record is not None or not key_id.isascii():
            return record
        with self._heeding(key_id):
            losses = self._losses
            record = await self._line.ask(messages.FIND_KEY, key_id)
            if record is None or losses != self._losses:
                return record  # answered just before the line was lost: what came since is missed
            return self._keep(self._told.get(key_id, record))

    async def read(self, key_id: str) -> KeyRecord | None:
        """The record as the keeper has it on its disk."""
        return await self._line.ask(messages.READ_KEY, key_id)

    async def add(self, record: KeyRecord) -> None:
        """Keep a new key. Where the line was lost meanwhile it is looked up when it is used."""
        with self._heeding(record.id):
            losses = self._losses
            await self._line.ask(messages.ADD_KEY, record)
            if losses == self._losses:
                self._keep(self._told.get(record.id, record))

    async def replace(self, old: KeyRecord, new: KeyRecord, kind: str, why: str) -> bool:
        """Compare-and-set. Who was too slow looks anew; what won was told before the answer."""
        has_won = await self._line.ask(messages.REPLACE_KEY, old, new, kind, why)
        if not has_won and self._cached.get(old.id) == old:
            del self._cached[old.id]
        return has_won

    async def accuse(
        self, key_id: str, incident: Incident, things: tuple[str, ...], *, freeze: bool
    ) -> bool:
        """Told to the keeper whoever still waits, and again after a lost link: a thief who hangs
        up is accused all the same."""
        check_things(things)
        return await self._line.owe(messages.ACCUSE, key_id, incident, things, freeze)

    async def undo(self, incident_id: str, now_ms: int) -> Judged:
        """A false alarm."""
        return await self._line.ask(messages.UNDO_INCIDENT, incident_id, now_ms)

    async def confirm(self, incident_id: str, now_ms: int) -> Judged:
        """It was a theft."""
        return await self._line.ask(messages.CONFIRM_INCIDENT, incident_id, now_ms)

    async def page(self, after: Seen = BEGINNING, limit: int = PAGE_MAX) -> list[KeyRecord]:
        """The oldest keys after that one."""
        return await self._line.ask(messages.PAGE_KEYS, after, limit)

    async def census(self, now_ms: int, ends_ms: int, unused_ms: int) -> Census:
        """All keys, counted."""
        return await self._line.ask(messages.COUNT_KEYS, now_ms, ends_ms, unused_ms)

    def used(self, key_id: str, at_ms: int) -> None:
        """Note the last use; told lazily."""
        if len(self._used) < USED_MAX or key_id in self._used:
            self._used[key_id] = at_ms

    def tell_used(self) -> None:
        """Tell the keeper of last uses."""
        if self._used and self._line.tell(messages.Used(self._used)):
            self._used = {}

    def take(self, record: KeyRecord) -> None:
        """The keeper says that the key is now so."""
        if record.id in self._cached:
            self._cached[record.id] = record
        if record.id in self._heeded:
            self._told[record.id] = record

    def forget(self) -> list[str]:
        """Changes are missed from now on: know nothing. What was known."""
        known = list(self._cached)
        self._cached.clear()
        self._losses += 1
        return known

    @contextmanager
    def _heeding(self, key_id: str) -> Iterator[None]:
        """Take note of what is told of this key meanwhile: it is newer than an answer."""
        self._heeded[key_id] += 1
        try:
            yield
        finally:
            self._heeded[key_id] -= 1
            if not self._heeded[key_id]:
                del self._heeded[key_id]
                self._told.pop(key_id, None)

    def _keep(self, record: KeyRecord) -> KeyRecord:
        self._cached[record.id] = record
        self._cached.move_to_end(record.id)
        if len(self._cached) > CACHED_MAX:
            self._cached.popitem(last=False)
        return record


class RemoteGrants:
    """Fulfils `keys.interfaces.GrantStore`. What is revoked is here as a whole, from the hello on;
    a little too long rather than too short."""

    def __init__(self, line: Line, now_ms: Callable[[], int]) -> None:
        self._line = line
        self._now_ms = now_ms
        self._revoked: OrderedDict[str, int] = OrderedDict()

    def is_revoked(self, names: tuple[str, ...]) -> bool:
        """Whether one of them is, as far as was told."""
        return any(name in self._revoked for name in names)

    async def find(self, family_id: str) -> Family | None:
        """The family as it is."""
        return await self._line.ask(messages.FIND_FAMILY, family_id)

    async def read(self, family_id: str) -> Family | None:
        """The family as the keeper has it on its disk."""
        return await self._line.ask(messages.READ_FAMILY, family_id)

    async def add(self, family: Family) -> None:
        """Keep a new family."""
        await self._line.ask(messages.ADD_FAMILY, family)

    async def rotate(self, old: Family, new: Family) -> bool:
        """Compare-and-set of the next number."""
        return await self._line.ask(messages.ROTATE_FAMILY, old, new)

    async def end(self, old: Family, new: Family, incident: Incident | None) -> bool:
        """Compare-and-set: it is dead for ever."""
        return await self._line.ask(messages.END_FAMILY, old, new, incident)

    async def revoke(self, token: AccessToken, at_ms: int) -> None:
        """One access token is dead until its end."""
        await self._line.ask(messages.REVOKE_TOKEN, token, at_ms)

    def take(self, names: list[str]) -> None:
        """The keeper says that these open nothing more."""
        until_ms = self._now_ms() + REVOKED_MS
        for name in names:
            self._revoked[name] = until_ms
            self._revoked.move_to_end(name)

    def sweep(self, now_ms: int) -> None:
        """Forget what has ended by itself."""
        while self._revoked and next(iter(self._revoked.values())) < now_ms:
            self._revoked.popitem(last=False)
