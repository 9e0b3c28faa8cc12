"""Incidents: opened by whatever acts on evidence, in the same transaction as the act."""

import sqlite3
from functools import partial
from typing import Final

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
from tokenward.store.sqlite.database import Database
from tokenward.store.sqlite.journal import Journal
from tokenward.store.sqlite.reader import Reader

_RECENT: Final = INCIDENT_COLUMNS + (
    "WHERE (? = '' OR state = ?) AND (? = '' OR subject = ?) ORDER BY number DESC LIMIT ?"
)
_FIND: Final = INCIDENT_COLUMNS + "WHERE id = ?"
_INSERT: Final = (
    "INSERT INTO incidents (id, subject, state, opened_ms, first_sign_ms, stopped_ms, actions, "
    "evidence, cost_before_stop_nusd, calls_before_stop, things, against, undo, who) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_JUDGE: Final = "UPDATE incidents SET state = ? WHERE id = ?"


class SqliteIncidents:
    """What was stopped, and why."""

    def __init__(self, database: Database, journal: Journal, reader: Reader) -> None:
        self._connection = database.connection
        self._journal = journal
        self._reader = reader

    def open(self, incident: Incident) -> None:
        """Keep a new one, with its entry and its event. Runs inside a transaction."""
        self._connection.execute(_INSERT, incident_row(incident))
        note_opened(self._journal, incident)

    def load(self, incident_id: str) -> Incident | None:
        """The one with this id. Runs inside a transaction."""
        return _find(incident_id, self._connection)

    def judge(self, incident: Incident, at_ms: int) -> None:
        """It is now as it says, `false_alarm` or `confirmed`, with entry and event. Runs inside a
        transaction."""
        self._connection.execute(_JUDGE, (incident.state, incident.id))
        note = note_undone if incident.state == "false_alarm" else note_confirmed
        note(self._journal, incident, at_ms)

    async def recent(self, limit: int, state: str = "", subject: str = "") -> list[Incident]:
        """The newest first, at most 1,000; with `state` or `subject` only those."""
        wanted = (state, state, subject, subject, min(limit, LIST_MAX))
        return await self._reader.read(partial(_recent, wanted))

    async def find(self, incident_id: str) -> Incident | None:
        """The one with this id."""
        return await self._reader.read(partial(_find, incident_id))


def _recent(wanted: tuple[str | int, ...], connection: sqlite3.Connection) -> list[Incident]:
    return [read_incident(row) for row in connection.execute(_RECENT, wanted)]


def _find(incident_id: str, connection: sqlite3.Connection) -> Incident | None:
    row = connection.execute(_FIND, (incident_id,)).fetchone()
    return None if row is None else read_incident(row)
