"""The guard's memory of its keys: what is usual for each, and what each did in the last minutes.

In use by calls: at most `KEYS_MAX` keys of one process, about 16 kB each; all others are in the
store. What was learned is folded into the store every few seconds, so a crash loses as much
learning, and nothing else. Several gateways fold their views of a key into one.
"""

import asyncio
from collections import OrderedDict
from typing import Final

from tokenward.detectors.interfaces import Pasts
from tokenward.detectors.merging import fold
from tokenward.detectors.past import Past, pack, unpack
from tokenward.detectors.recent import Recent
from tokenward.kernel.errors import StoreError

KEYS_MAX: Final = 20_000
TRAILS_MAX: Final = 16
MINUTE_MS: Final = 60_000
BACK_MAX: Final = 5
"""A clock that was so many minutes ahead was wrong then: the count begins anew."""
REREAD_MS: Final = 30_000
FOLD_MAX: Final = 64
"""Keys that are folded into the store at once; between two such turns others run."""


class Trail:
    """What an origin was let through with since it was first seen here: for the story of an
    incident, should there be one."""

    __slots__ = ("calls", "cost_nusd", "first_ms")

    def __init__(self, first_ms: int) -> None:
        self.first_ms = first_ms
        self.calls = 0
        self.cost_nusd = 0


class Suspects:
    """Calls of suspects that were let through within the minute that runs, one process's count."""

    __slots__ = ("_calls", "_minute")

    def __init__(self) -> None:
        self._minute, self._calls = 0, 0

    def count(self, at_ms: int) -> int:
        """So many until now. A clock that goes back a little begins no new minute."""
        ago = self._minute - at_ms // MINUTE_MS
        return self._calls if 0 <= ago <= BACK_MAX else 0

    def let_through(self, at_ms: int) -> None:
        """One more."""
        minute, self._calls = at_ms // MINUTE_MS, self.count(at_ms) + 1
        self._minute = minute if self._calls == 1 else self._minute


class Remembered:
    """One key's past and its last minutes. `is_known` False: the store could not be asked, so
    nothing may be said about what is usual."""

    __slots__ = ("is_known", "is_new", "past", "read_ms", "recent", "suspects", "trails")

    def __init__(self, past: Past, *, is_shared: bool, is_known: bool = True) -> None:
        self.past = past
        self.recent = Recent(is_shared=is_shared)
        self.is_known = is_known
        self.is_new = False
        """The store has not seen what was learned."""
        self.read_ms = 0
        self.trails: OrderedDict[str, Trail] = OrderedDict()
        self.suspects = Suspects()

    def spend(self, origin: str, at_ms: int, cost_nusd: int) -> None:
        """A call from an origin that is no old friend is let through, at this cost at most."""
        trail = self.trails.setdefault(origin, Trail(at_ms))
        trail.calls += 1
        trail.cost_nusd += cost_nusd
        if len(self.trails) > TRAILS_MAX:
            self.trails.popitem(last=False)

    def give_back(self, origin: str, unspent_nusd: int) -> None:
        """It has ended, and cost less by so much."""
        trail = self.trails.get(origin)
        if trail is not None:
            trail.cost_nusd -= unspent_nusd


class Memory:
    """Pasts by key. `is_shared`: other processes serve the same keys, and know things of them that
    this one does not."""

    def __init__(self, pasts: Pasts, *, is_shared: bool, keys_max: int = KEYS_MAX) -> None:
        self._pasts = pasts
        self._is_shared = is_shared
        self._keys_max = keys_max
        self._known: OrderedDict[str, Remembered] = OrderedDict()
        self._changed: dict[str, Remembered] = {}
        self.lost = 0
        """Keys whose newest lessons were lost, because the store was away and the memory full."""

    async def recall(self, key_id: str, now_ms: int) -> Remembered:
        """What is known of the key. Waits for the store at the first call of a key, and, where
        others serve it too, every half a minute; never raises: a store that is away leaves the
        past unknown, or as it was known."""
        known = self._known.get(key_id)
        if known is not None:
            self._known.move_to_end(key_id)
            if self._is_shared and now_ms - known.read_ms > REREAD_MS:
                await self._read_again(key_id, known, now_ms)
            return known
        try:
            blob = await self._pasts.find(key_id)
        except StoreError:
            return Remembered(Past(), is_shared=self._is_shared, is_known=False)
        # Somebody else may have asked meanwhile; what waits for the store knows more than it.
        known = self._known.get(key_id) or self._changed.get(key_id)
        if known is None:
            past = unpack(blob) if blob is not None else None
            known = Remembered(past or Past(), is_shared=self._is_shared)
            known.read_ms = now_ms
        self._keep(key_id, known)
        return known

    async def _read_again(self, key_id: str, known: Remembered, now_ms: int) -> None:
        """What other gateways have learned meanwhile."""
        known.read_ms = now_ms
        try:
            blob = await self._pasts.find(key_id)
        except StoreError:
            return
        theirs = unpack(blob) if blob is not None else None
        if theirs is not None:
            known.past = fold(theirs, known.past)

    def _keep(self, key_id: str, known: Remembered) -> None:
        self._known[key_id] = known
        if len(self._known) > self._keys_max:
            dropped, what = self._known.popitem(last=False)
            if what.is_new and len(self._changed) > self._keys_max:
                self._changed.pop(dropped, None)
                self.lost += 1

    def learned(self, key_id: str, known: Remembered) -> None:
        """The past has changed, and goes to the store with the next `flush`."""
        if known.is_known and not known.is_new:
            known.is_new = True
            self._changed[key_id] = known

    def count(self) -> int:
        """Keys whose lessons the store has not seen."""
        return len(self._changed)

    async def flush(self) -> None:
        """Fold what was learned into the store, some keys at a time. Raises `StoreError`; what was
        not folded is kept for the next time."""
        while self._changed:
            some = dict(list(self._changed.items())[:FOLD_MAX])
            for key_id, known in some.items():
                known.is_new = False
                del self._changed[key_id]
            mine = {key_id: pack(known.past) for key_id, known in some.items()}
            try:
                folded = await self._pasts.fold(mine)
            except (StoreError, asyncio.CancelledError):  # folding again does no harm
                for key_id, known in some.items():
                    self.learned(key_id, known)
                raise
            for key_id, blob in folded.items():
                past = unpack(blob) if blob != mine[key_id] else None
                if past is not None:
                    some[key_id].past = fold(past, some[key_id].past)
