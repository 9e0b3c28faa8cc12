"""Incidents as rows and as what is told of them, the same in every engine."""

from typing import Any, Final

import msgspec

from tokenward.kernel.events import Event
from tokenward.kernel.incidents import Evidence, Incident
from tokenward.keys.accusation import key_of
from tokenward.ledger.notes import Notebook

LIST_MAX: Final = 1_000
INCIDENT_COLUMNS: Final = (
    "SELECT id, subject, state, opened_ms, first_sign_ms, stopped_ms, actions, evidence, "
    "cost_before_stop_nusd, calls_before_stop, things, against, undo, who "
    "FROM incidents "
)
_texts: Final = msgspec.json.Decoder(tuple[str, ...])
_evidence: Final = msgspec.json.Decoder(tuple[Evidence, ...])
_encode: Final = msgspec.json.Encoder().encode


def incident_row(incident: Incident) -> tuple[object, ...]:
    """The values of `INCIDENT_COLUMNS`."""
    return (
        incident.id, incident.subject, incident.state, incident.opened_ms, incident.first_sign_ms,
        incident.stopped_ms, _text(incident.actions), _text(incident.evidence),
        incident.cost_before_stop_nusd, incident.calls_before_stop, _text(incident.things),
        _text(incident.against), incident.undo, incident.who,
    )  # fmt: skip


def read_incident(row: tuple[Any, ...]) -> Incident:
    """The incident that `INCIDENT_COLUMNS` say."""
    return Incident(
        id=row[0],
        subject=row[1],
        state=row[2],
        opened_ms=row[3],
        first_sign_ms=row[4],
        stopped_ms=row[5],
        actions=_texts.decode(row[6]),
        evidence=_evidence.decode(row[7]),
        cost_before_stop_nusd=row[8],
        calls_before_stop=row[9],
        things=_texts.decode(row[10]),
        against=_texts.decode(row[11]),
        undo=row[12],
        who=row[13],
    )


def note_opened(book: Notebook, incident: Incident) -> None:
    """Keep that there is a new one: an entry, and an event for people."""
    book.note("incident_opened", incident.opened_ms, detail=incident)
    first = incident.evidence[0] if incident.evidence else None
    facts: dict[str, str | int | None] = {
        "incident": incident.id,
        "class": first.kind if first else None,
        "detector": first.detector if first else None,
        "reason": first.reason if first else None,
        "actions": ", ".join(incident.actions),
        "request_id": first.request_id if first else None,
    }
    at_ms, subject = incident.opened_ms, incident.subject
    book.tell(Event(ts=at_ms, kind="incident:opened", subject=subject, facts=facts))


def note_undone(book: Notebook, incident: Incident, at_ms: int) -> None:
    """Keep that it was a false alarm: an entry, and an event for people."""
    book.note("incident_undone", at_ms, key=key_of(incident), detail=_judgement(incident))
    facts, subject = _judgement(incident), incident.subject
    book.tell(Event(ts=at_ms, kind="incident:undone", subject=subject, facts=facts))


def note_confirmed(book: Notebook, incident: Incident, at_ms: int) -> None:
    """Keep that it was a theft: an entry, and an event for people."""
    book.note("incident_confirmed", at_ms, key=key_of(incident), detail=_judgement(incident))
    facts, subject = _judgement(incident), incident.subject
    book.tell(Event(ts=at_ms, kind="incident:confirmed", subject=subject, facts=facts))


def _judgement(incident: Incident) -> dict[str, str | int | None]:
    return {
        "incident": incident.id,
        "actions": ", ".join(incident.actions),
        "things": ", ".join(incident.things),
    }


def _text(value: object) -> str:
    return _encode(value).decode("utf-8")
