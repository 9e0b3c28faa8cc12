"""Records and incidents, as a worker writes and reads them."""

from collections import deque
from typing import Final

from tokenward.kernel.errors import StoreError
from tokenward.kernel.events import Record
from tokenward.kernel.incidents import Incident
from tokenward.store.record_rows import Row, read_record, row_of
from tokenward.store.workers import messages
from tokenward.store.workers.line import Line

WAITING_MAX: Final = 20_000
AT_ONCE: Final = 256


class RemoteRecords:
    """Fulfils `store.interfaces.Records`; records go in batches, one under way at a time."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._rows: deque[Row] = deque()
        self._leaving = 0
        self.dropped = 0

    def write_record(self, record: Record) -> None:
        """Keep it soon."""
        if len(self._rows) >= WAITING_MAX:
            self.dropped += 1
        else:
            self._rows.append(row_of(record))

    async def recent(self, key: str, since_ms: int, limit: int) -> list[Record]:
        """Records since then, newest first."""
        rows = await self._line.ask(messages.RECENT_RECORDS, key, since_ms, limit)
        return [read_record(row) for row in rows]

    async def send(self) -> None:
        """Send what there is; what gets lost on the way is counted."""
        while self._rows and not self._leaving and self._line.is_open:
            count = self._leaving = min(len(self._rows), AT_ONCE)
            rows = [self._rows.popleft() for _ in range(count)]
            try:
                await self._line.ask(messages.WRITE_RECORDS, rows)
            except StoreError:
                self.dropped += count
            finally:
                self._leaving = 0


class RemoteIncidents:
    """Fulfils `store.interfaces.Incidents`."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def recent(self, limit: int, state: str = "", subject: str = "") -> list[Incident]:
        """The newest first, at most 1,000; with `state` or `subject` only those."""
        return await self._line.ask(messages.RECENT_INCIDENTS, limit, state, subject)

    async def find(self, incident_id: str) -> Incident | None:
        """The one with this id."""
        return await self._line.ask(messages.FIND_INCIDENT, incident_id)
