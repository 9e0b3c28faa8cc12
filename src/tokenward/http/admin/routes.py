"""Every route below `/admin/v1`, in one table: dispatch and OpenAPI are both made from it."""

from typing import Any, Final

from tokenward.http.admin import accounts, caps, incidents, keys, openapi, reports
from tokenward.http.admin.office import Office
from tokenward.http.admin.route import Nothing, Route, route


async def describe(office: Office, ask: Nothing) -> dict[str, Any]:
    """This document."""
    return openapi.document(ROUTES)


ROUTES: Final[tuple[Route, ...]] = (
    route("GET", "/openapi.json", "This document", describe),
    route("GET", "/status", "Who answers here", reports.status),
    route("GET", "/doctor", "Check the guard; with audit, prove the ledger", reports.doctor),
    route("GET", "/accounts", "List accounts", accounts.index),
    route("POST", "/accounts", "Create an account", accounts.create, 201),
    route("POST", "/accounts/{name}/credit", "Add prepaid credit", accounts.credit),
    route("GET", "/projects/{name}", "Show a project", accounts.project),
    route("GET", "/keys", "List keys", keys.index),
    route("POST", "/keys", "Create a key and show it once", keys.create, 201),
    route("GET", "/keys/{id}", "Show a key", keys.show),
    route("POST", "/keys/{id}/freeze", "Stop a key until it is unfrozen", keys.freeze),
    route("POST", "/keys/{id}/unfreeze", "Let a frozen key work again", keys.unfreeze),
    route("POST", "/keys/{id}/revoke", "Stop a key for ever", keys.revoke),
    route("POST", "/keys/{id}/rotate", "Give a key a new secret", keys.rotate),
    route("POST", "/keys/{id}/enrol", "Give a key to another holder", keys.enrol),
    route("GET", "/caps", "List caps and where they stand", caps.index),
    route("PUT", "/caps", "Set a cap or change its limit", caps.set_cap),
    route("DELETE", "/caps", "Remove a cap", caps.remove),
    route("POST", "/caps/reconcile", "Rebuild counters from the ledger's entries", caps.reconcile),
    route("GET", "/usage", "What was spent", reports.usage),
    route("GET", "/incidents", "What was stopped, newest first", incidents.index),
    route("GET", "/incidents/{id}", "Show an incident", incidents.show),
    route("POST", "/incidents/{id}/undo", "Undo a false alarm", incidents.undo),
    route("POST", "/incidents/{id}/confirm", "Confirm a theft", incidents.confirm),
    route("GET", "/events", "What there is to hear of", reports.events),
    route("GET", "/records", "One record a request", reports.records),
)
