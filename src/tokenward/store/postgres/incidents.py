"""Incidents: opened by whatever acts on evidence, in the same transaction as the act."""

from typing import Any, Final

from psycopg import AsyncConnection

from tokenward.kernel.incidents import Incident
from tokenward.store.incident_rows import (
    INCIDENT_COLUMNS,
    LIST_MAX,
    incident_row,
    note_confirmed,
    note_opened,
    note_undone,
    read_incident,
)
from tokenward.store.postgres.database import Database
from tokenward.store.postgres.transaction import Transaction

_RECENT: Final = INCIDENT_COLUMNS + (
    "WHERE (%s = '' OR state = %s) AND (%s = '' OR subject = %s) ORDER BY number DESC LIMIT %s"
)
_FIND: Final = INCIDENT_COLUMNS + "WHERE id = %s"
_INSERT: Final = (
    "INSERT INTO incidents (id, subject, state, opened_ms, first_sign_ms, stopped_ms, actions, "
    "evidence, cost_before_stop_nusd, calls_before_stop, things, against, undo, who) "
    "VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)
_JUDGE: Final = "UPDATE incidents SET state = %s WHERE id = %s"


class PostgresIncidents:
    """What was stopped, and why. Fulfils `store.interfaces.Incidents`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open(self, incident: Incident, transaction: Transaction) -> None:
        """Keep a new one, with its entry and its event."""
        await open_incident(incident, transaction)

    async def recent(self, limit: int, state: str = "", subject: str = "") -> list[Incident]:
        """The newest first, at most 1,000; with `state` or `subject` only those."""
        wanted = (state, state, subject, subject, min(limit, LIST_MAX))
        rows = await self._database.fetch(_RECENT, wanted)
        return [read_incident(row) for row in rows]

    async def find(self, incident_id: str) -> Incident | None:
        """The one with this id."""
        if not incident_id.isprintable():
            return None
        rows = await self._database.fetch(_FIND, (incident_id,))
        return read_incident(rows[0]) if rows else None


async def open_incident(incident: Incident, transaction: Transaction) -> None:
    """Keep a new one, with its entry and its event."""
    await transaction.connection.execute(_INSERT, incident_row(incident))
    note_opened(transaction.journal, incident)


async def load_incident(connection: AsyncConnection[Any], incident_id: str) -> Incident | None:
    """The one with this id, as it is inside a transaction."""
    row = await (await connection.execute(_FIND, (incident_id,))).fetchone()
    return None if row is None else read_incident(row)


async def keep_judgement(incident: Incident, at_ms: int, transaction: Transaction) -> None:
    """It is now as it says, `false_alarm` or `confirmed`, with entry and event."""
    await transaction.connection.execute(_JUDGE, (incident.state, incident.id))
    note = note_undone if incident.state == "false_alarm" else note_confirmed
    note(transaction.journal, incident, at_ms)
