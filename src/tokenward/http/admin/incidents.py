"""What was stopped, and why."""

import re
from typing import Final, get_args

from tokenward.http.admin.office import Office
from tokenward.http.admin.route import Ask
from tokenward.http.admin.shapes import IncidentShape
from tokenward.http.admin.targets import key_named
from tokenward.kernel.incidents import Incident, State
from tokenward.kernel.moments import rfc3339
from tokenward.kernel.refusals import Refusal
from tokenward.keys.accusation import Judged

LIST_MAX: Final = 1000
STATES: Final[tuple[State, ...]] = get_args(State)
UNDONE: Final = "false_alarm"
"""As it is kept and shown in JSON; people say `undone`."""
_COMMAND: Final = re.compile(r"tokenward incident undo\b(?! inc_)")


class NewestIncidents(Ask):
    """The newest first; `limit` at most 1000. `state` and `key`: only of that state (`undone` is
    `false_alarm`), of that key's id."""

    limit: int = 100
    state: str = ""
    key: str = ""


class OneIncident(Ask):
    """One incident, by its id."""

    id: str


async def index(office: Office, ask: NewestIncidents) -> list[IncidentShape]:
    """What was stopped, newest first."""
    if not 1 <= ask.limit <= LIST_MAX:
        raise ValueError(f"limit must be between 1 and {LIST_MAX}")
    state = UNDONE if ask.state == "undone" else ask.state
    if state and state not in STATES:
        raise ValueError(f"state must be one of {', '.join(STATES)}")
    subject = f"key:{key_named(ask.key)}" if ask.key else ""
    found = await office.incidents.recent(ask.limit, state, subject)
    return [_shown(incident) for incident in found]


async def show(office: Office, ask: OneIncident) -> IncidentShape | Refusal:
    """One incident."""
    incident = await office.incidents.find(ask.id)
    return _unknown(ask.id) if incident is None else _shown(incident)


async def undo(office: Office, ask: OneIncident) -> IncidentShape | Refusal:
    """A false alarm: what the incident stopped works again, and what it barred is cleared."""
    return _judged(await office.keys.undo(ask.id, office.clock.now_ms()), ask.id)


async def confirm(office: Office, ask: OneIncident) -> IncidentShape | Refusal:
    """It was a theft: what was stopped stays so."""
    return _judged(await office.keys.confirm(ask.id, office.clock.now_ms()), ask.id)


def _judged(judged: Judged, named: str) -> IncidentShape | Refusal:
    if judged.incident is None:
        return _unknown(named)
    if judged.why_not:
        return Refusal("incident:final", 409, judged.why_not)
    return _shown(judged.incident)


def _unknown(named: str) -> Refusal:
    return Refusal(
        "incident:unknown",
        404,
        f"There is no incident {named[:40]!r}. See: tokenward incident list",
    )


def _undo(incident: Incident) -> str:
    """Policy, which says it, knows no ids."""
    if incident.state == UNDONE:
        return ""
    return _COMMAND.sub(f"tokenward incident undo {incident.id}", incident.undo)


def _shown(incident: Incident) -> IncidentShape:
    return {
        "id": incident.id,
        "subject": incident.subject,
        "state": incident.state,
        "opened_at": rfc3339(incident.opened_ms),
        "first_sign_at": rfc3339(incident.first_sign_ms),
        "stopped_at": rfc3339(incident.stopped_ms),
        "actions": [*incident.actions],
        "evidence": [
            {
                "class": evidence.kind,
                "detector": evidence.detector,
                "reason": evidence.reason,
                "value": evidence.value,
                "at": rfc3339(evidence.at_ms),
                "request_id": evidence.request_id,
            }
            for evidence in incident.evidence
        ],
        "cost_before_stop_nusd": incident.cost_before_stop_nusd,
        "calls_before_stop": incident.calls_before_stop,
        "things": [*incident.things],
        "against": [*incident.against],
        "undo": _undo(incident),
        "who": incident.who,
    }
