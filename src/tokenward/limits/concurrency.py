"""How many calls of this key run at once?"""

from tokenward.kernel.refusals import Refusal
from tokenward.limits import wording


class Slot:
    """A place among a key's running calls, given back exactly once."""

    __slots__ = ("_concurrency", "_key_id")

    def __init__(self, concurrency: "Concurrency", key_id: str) -> None:
        self._concurrency: Concurrency | None = concurrency
        self._key_id = key_id

    def leave(self) -> None:
        """Give the place back; a second time does nothing."""
        concurrency, self._concurrency = self._concurrency, None
        if concurrency is not None:
            concurrency.drop(self._key_id)


class Concurrency:
    """The running calls of every key. One event loop, no locks; memory only for keys that run."""

    def __init__(self) -> None:
        self._running: dict[str, int] = {}

    def enter(self, key_id: str, limit: int | None) -> Slot | Refusal:
        """A place for one more call, unless `limit` run already; None is no limit."""
        running = self.running(key_id)
        if limit is not None and running >= limit:
            return wording.too_wide(limit=limit, running=running)
        self._running[key_id] = running + 1
        return Slot(self, key_id)

    def running(self, key_id: str) -> int:
        """Calls of this key that run now."""
        return self._running.get(key_id, 0)

    def drop(self, key_id: str) -> None:
        """Only for `Slot`."""
        left = self.running(key_id) - 1
        assert left >= 0, "a slot is given back once"
        if left:
            self._running[key_id] = left
        else:
            del self._running[key_id]

    def __len__(self) -> int:
        """Keys that have running calls now."""
        return len(self._running)
