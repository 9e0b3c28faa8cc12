"""Grant `refresh_token`: each is good once (RFC 9700 sections 2.2.2 and 4.14.2).

| presented     | private key | then                                                             |
|---------------|-------------|------------------------------------------------------------------|
| the newest    | the same    | the next one                                                     |
| one used      | the same    | the family ends; within `refresh_grace_s` the same answer again  |
| any           | another     | the family ends                                                  |
| of one ended  | any         | `invalid_grant`                                                  |
"""

from typing import Final

from tokenward.binding import wording
from tokenward.http.oauth.clients import Client
from tokenward.http.oauth.denied import Denied, denied_grant, denied_proof, denied_request
from tokenward.http.oauth.holding import MISSING, Holder, tell_misuse
from tokenward.http.oauth.issuing import Grant, issue
from tokenward.http.oauth.service import Service
from tokenward.http.oauth.token import asked_scope, denied_scope
from tokenward.http.oauth.visit import Visit
from tokenward.kernel.ids import base62_text
from tokenward.kernel.incidents import INCIDENT_CHARS, Evidence, Incident
from tokenward.kernel.json_text import JsonObject
from tokenward.kernel.refusals import Refusal
from tokenward.keys.access_tokens import family_name, is_still_good
from tokenward.keys.authenticate import usable
from tokenward.keys.families import Family, Presented, read_refresh_token, redeem
from tokenward.keys.records import KeyRecord
from tokenward.keys.scopes import Scope, narrowed, read_scope

REFRESH_TOKEN: Final = "refresh_token"  # noqa: S105 - a grant's name
TRIES_MAX: Final = 50
"""Each failed try means that another request was faster, and the table has few ways to go on."""
_NO_CERTIFICATE: Final = denied_proof(wording.NO_CERTIFICATE)
_SAID: Final = (
    "This refresh token is not good (any more): each is good once, for the client that it was "
    "given to, with the private key it was asked for with. Get a new one with the client's own "
    "credentials."
)


def invalid(code: str) -> Denied:
    """One answer for every refresh token that opens nothing."""
    return denied_grant(code, _SAID, "refresh:invalid")


async def refresh(
    service: Service, visit: Visit, holder: Holder, client: Client | None
) -> JsonObject | Denied:
    """The next access token and the next refresh token."""
    text = visit.form.get("refresh_token", "")
    if not text:
        return denied_request("The parameter refresh_token is missing.")
    presented = read_refresh_token(text, service.guard.pepper)
    if presented is None:
        return invalid("refresh:unknown")
    for _ in range(TRIES_MAX):
        answer = await _turn(service, visit, presented, holder, client)
        if answer is not None:
            return answer
    raise AssertionError("a family is rotated and ended a few times at most by one token")


async def _turn(
    service: Service, visit: Visit, presented: Presented, holder: Holder, client: Client | None
) -> JsonObject | Denied | None:
    """None: another request has changed the family in between, so look again."""
    family = await service.guard.grants.find(presented.family_id)
    key = await service.guard.keys.find(family.key_id) if family is not None else None
    if family is None or key is None:
        return invalid("refresh:unknown")
    visit.know(key)
    shown = _shown_holder(service, visit, family, key, holder)
    if isinstance(shown, Denied):
        return shown
    turn = redeem(
        family, presented.number, shown.kind, shown.thumbprint, service.now_ms, service.lifetimes
    )
    if turn.did == "refused":
        return invalid("refresh:ended")
    if turn.did == "ended":
        return await _end(service, visit, family, turn.family)
    refused = _not_for(service, visit, family, key, client) or _too_often(service, key, client)
    if refused is not None:
        return refused
    scope = _scope(visit, read_scope(family.scope))
    if isinstance(scope, Denied):
        return scope
    if turn.did == "rotated" and not await service.guard.grants.rotate(family, turn.family):
        return None
    grant = Grant(key=key, holder=shown, got_by=family.got_by, scope=scope)
    return issue(service, visit, grant, turn.family)


def _shown_holder(
    service: Service, visit: Visit, family: Family, key: KeyRecord, holder: Holder
) -> Holder | Denied:
    """The holder of the family's kind. To show nothing of that kind is no use of the token."""
    if family.kind == "mtls" and visit.certificate:
        return Holder("mtls", visit.certificate)
    if family.kind == holder.kind:
        return holder
    tell_misuse(service.guard, visit, key, MISSING.code)
    return _NO_CERTIFICATE if family.kind == "mtls" else MISSING


def _not_for(
    service: Service, visit: Visit, family: Family, key: KeyRecord, client: Client | None
) -> Denied | None:
    """Whether key and client are still those that the family was given to."""
    now_ms = service.now_ms
    if client is not None and client.key.id != key.id:
        return invalid("refresh:other_client")
    if visit.form.get("client_id", key.id) != key.id:
        return invalid("refresh:other_client")
    if not is_still_good(family.got_by, family.kind, family.thumbprint, key, now_ms):
        return invalid("refresh:outdated")
    state = usable(key, now_ms)
    return invalid(state.code) if isinstance(state, Refusal) else None


def _scope(visit: Visit, granted: Scope) -> Scope | Denied:
    """What was granted, or what is asked for of it (RFC 6749 section 6)."""
    if "scope" not in visit.form:
        return granted
    asked = asked_scope(visit)
    if isinstance(asked, Denied):
        return asked
    return narrowed(granted, asked) or denied_scope("The scope is more than what was granted.")


def _too_often(service: Service, key: KeyRecord, client: Client | None) -> Denied | None:
    """A client that proved itself was counted then."""
    return service.count_client(key.id) if client is None else None


async def _end(service: Service, visit: Visit, family: Family, ended: Family) -> Denied | None:
    """Somebody has a copy: the family ends, and what it gave out, for both of them."""
    why = ended.ended_why
    now_ms = service.now_ms
    evidence = Evidence(
        kind="E1",
        detector="refresh",
        reason=why,
        at_ms=visit.at_ms,
        request_id=visit.record.request_id,
    )
    incident = Incident(
        id="inc_" + base62_text(service.dice, INCIDENT_CHARS),
        subject=f"key:{family.key_id}",
        opened_ms=now_ms,
        first_sign_ms=visit.at_ms,
        stopped_ms=now_ms,
        actions=("family revoked",),
        evidence=(evidence,),
    )
    try:
        is_done = await service.guard.grants.end(family, ended, incident)
    finally:
        service.cut_revoked(family_name(family.id))
    if not is_done:
        return None
    service.guard.opened(incident.actions[0])
    visit.suspect(why)
    return invalid(why)
