"""Incidents: opened by whatever acts on evidence, in the same transaction as the act."""

import sqlite3
from functools import partial
from typing import Any, Final

import msgspec

from tokenward.kernel.events import Event
from tokenward.kernel.incidents import Evidence, Incident
from tokenward.store.sqlite.database import Database
from tokenward.store.sqlite.journal import Journal, to_json
from tokenward.store.sqlite.reader import Reader

LIST_MAX: Final = 1_000
_COLUMNS: Final = (
    "SELECT id, subject, state, opened_ms, first_sign_ms, stopped_ms, actions, evidence, "
    "cost_before_stop_nusd, calls_before_stop FROM incidents "
)
_RECENT: Final = _COLUMNS + "ORDER BY number DESC LIMIT ?"
_FIND: Final = _COLUMNS + "WHERE id = ?"
_INSERT: Final = (
    "INSERT INTO incidents (id, subject, state, opened_ms, first_sign_ms, stopped_ms, actions, "
    "evidence, cost_before_stop_nusd, calls_before_stop) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_actions: Final = msgspec.json.Decoder(tuple[str, ...])
_evidence: Final = msgspec.json.Decoder(tuple[Evidence, ...])


class SqliteIncidents:
    """What was stopped, and why."""

    def __init__(self, database: Database, journal: Journal, reader: Reader) -> None:
        self._connection = database.connection
        self._journal = journal
        self._reader = reader

    def open(self, incident: Incident) -> None:
        """Keep a new one, with its entry and its event. Runs inside a transaction."""
        self._connection.execute(_INSERT, _row(incident))
        self._journal.note("incident_opened", incident.opened_ms, detail=incident)
        first = incident.evidence[0] if incident.evidence else None
        facts: dict[str, str | int | None] = {
            "incident": incident.id,
            "class": first.kind if first else None,
            "detector": first.detector if first else None,
            "reason": first.reason if first else None,
            "actions": ", ".join(incident.actions),
            "request_id": first.request_id if first else None,
        }
        self._journal.tell(
            Event(
                ts=incident.opened_ms,
                kind="incident:opened",
                subject=incident.subject,
                facts=facts,
            )
        )

    async def recent(self, limit: int) -> list[Incident]:
        """The newest first; at most 1,000."""
        return await self._reader.read(partial(_recent, min(limit, LIST_MAX)))

    async def find(self, incident_id: str) -> Incident | None:
        """The one with this id."""
        return await self._reader.read(partial(_find, incident_id))


def _recent(limit: int, connection: sqlite3.Connection) -> list[Incident]:
    return [_read(row) for row in connection.execute(_RECENT, (limit,))]


def _find(incident_id: str, connection: sqlite3.Connection) -> Incident | None:
    row = connection.execute(_FIND, (incident_id,)).fetchone()
    return None if row is None else _read(row)


def _text(value: object) -> str:
    return to_json(value).decode("utf-8")


def _row(incident: Incident) -> tuple[object, ...]:
    return (
        incident.id, incident.subject, incident.state, incident.opened_ms, incident.first_sign_ms,
        incident.stopped_ms, _text(incident.actions), _text(incident.evidence),
        incident.cost_before_stop_nusd, incident.calls_before_stop,
    )  # fmt: skip


def _read(row: tuple[Any, ...]) -> Incident:
    return Incident(
        id=row[0],
        subject=row[1],
        state=row[2],
        opened_ms=row[3],
        first_sign_ms=row[4],
        stopped_ms=row[5],
        actions=_actions.decode(row[6]),
        evidence=_evidence.decode(row[7]),
        cost_before_stop_nusd=row[8],
        calls_before_stop=row[9],
    )
