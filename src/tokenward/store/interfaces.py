"""What the composition root asks of an engine. Every engine passes `tests/contracts/`.

| engine | records | hot state | who uses it |
|---|---|---|---|
| `sqlite` | one file, one process | in that process | one machine, one process |
| `workers` | asked of the process that has the file | the same | one machine, several processes |
| `postgres` | PostgreSQL | `valkey`, or in this process | many machines |
"""

from typing import Protocol

from tokenward.binding.interfaces import ReplayStore
from tokenward.detectors.interfaces import Pasts
from tokenward.kernel.events import Event, Record
from tokenward.kernel.incidents import Incident
from tokenward.keys.interfaces import GrantStore, KeyStore, View, Watcher
from tokenward.ledger.interfaces import Books, Ledger
from tokenward.limits.interfaces import Limiter
from tokenward.pipeline.admitting import Admission


class Records(Protocol):
    """One record a request."""

    def write_record(self, record: Record) -> None:
        """Keep it soon; never waits, never raises, counts what it drops."""
        ...

    @property
    def dropped(self) -> int:
        """Records lost to a full queue."""
        ...

    async def recent(self, key: str, since_ms: int, limit: int) -> list[Record]:
        """Records since then, newest first, of one key or (with "") of all."""
        ...


class Incidents(Protocol):
    """What was stopped, and why."""

    async def recent(self, limit: int, state: str = "", subject: str = "") -> list[Incident]:
        """The newest first, at most 1,000; with `state` or `subject` only those."""
        ...

    async def find(self, incident_id: str) -> Incident | None:
        """The one with this id."""
        ...


class Store(Protocol):
    """Everything a guard keeps, whichever engine keeps it.

    Its parts raise `StoreError` when they cannot know or not keep; the guard then refuses.
    """

    @property
    def keys(self) -> KeyStore: ...
    @property
    def grants(self) -> GrantStore: ...
    @property
    def view(self) -> View: ...
    @property
    def ledger(self) -> Ledger: ...
    @property
    def books(self) -> Books: ...
    @property
    def records(self) -> Records: ...
    @property
    def incidents(self) -> Incidents: ...
    @property
    def pasts(self) -> Pasts: ...
    @property
    def proofs(self) -> ReplayStore: ...
    @property
    def limiter(self) -> Limiter: ...
    @property
    def admission(self) -> Admission: ...

    @property
    def waiting(self) -> int:
        """Operations that wait for their turn."""
        ...

    @property
    def why_not_ready(self) -> str:
        """Why calls are refused now; "" while it keeps up. A store that is away, too slow, or
        without a fresh view is not ready; whatever it says here it also does to calls."""
        ...

    def watch(self, watcher: Watcher) -> None:
        """Tell of changes, also of those made by other gateways. One watcher."""
        ...

    def tell(self, event: Event) -> None:
        """Keep an event that no change of the books brings with it. Nobody waits for it."""
        ...

    async def is_leader(self) -> bool:
        """Whether this process is the one that does what one of all gateways does (alerts)."""
        ...

    async def chores(self, now_ms: int, records_since_ms: int) -> None:
        """What is done every few seconds: close holds past their time and those of gateways that
        died (L4), forget what is too old, tell of keys that end soon. Raises `StoreError`."""
        ...

    async def close(self) -> None:
        """Write what waits and let go. Once is enough; a second time does nothing."""
        ...
