"""`POST /oauth/token`: which grant is asked for, by whom, and with which private key.

In this order, so that nothing is used up for nothing and nothing is touched twice: the proof is
checked, the client, then the proof is used up, and only then the grant is looked at.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from tokenward.http.oauth.clients import Client, bound_holder, know_client
from tokenward.http.oauth.denied import Denied, denied_client, denied_request
from tokenward.http.oauth.holding import MISSING, Holder, see_holder, tell_misuse, use_up_proof
from tokenward.http.oauth.issuing import Grant, begin_family, issue
from tokenward.http.oauth.service import Service
from tokenward.http.oauth.visit import Visit
from tokenward.kernel.json_text import JsonObject
from tokenward.keys.scopes import Scope, read_scope

Handler = Callable[[Service, Visit, Holder, Client | None], Awaitable[JsonObject | Denied]]
CLIENT_CREDENTIALS: Final = "client_credentials"

_NO_CLIENT: Final = denied_client(
    "client:missing",
    "This grant is for clients that prove themselves: send the key's id and the key as client_id "
    "and client_secret, a client_assertion, or the holder's certificate.",
)
_OTHER_TARGET: Final = Denied(
    error="invalid_target",
    code="request:target",
    said="This guard gives out tokens for itself alone; leave resource and audience out.",
)


async def token(
    grants: Mapping[str, Handler], service: Service, visit: Visit
) -> JsonObject | Denied:
    """Tokens, or why not."""
    holder = see_holder(service.guard, visit)
    if isinstance(holder, Denied):
        return holder
    name = visit.form.get("grant_type", "")
    if not name:
        return denied_request("The parameter grant_type is missing.")
    handler = grants.get(name)
    if handler is None:
        return Denied(
            error="unsupported_grant_type",
            code="grant:unknown",
            said=f"This guard takes {', '.join(grants)}.",
        )
    if not _is_for_us(service, visit):
        return _OTHER_TARGET
    client = await know_client(service, visit, holder)
    if isinstance(client, Denied):
        return client
    if client is not None:
        bound = bound_holder(service, visit, client.key, holder)
        if isinstance(bound, Denied):
            return bound
        holder = bound
    if holder is None:
        return MISSING
    replayed = await use_up_proof(service.guard, holder)
    if replayed is not None:
        if client is not None:
            tell_misuse(service.guard, visit, client.key, replayed.code)
        return replayed
    return await handler(service, visit, holder, client)


async def client_credentials(
    service: Service, visit: Visit, holder: Holder, client: Client | None
) -> JsonObject | Denied:
    """A token for the client's own key (RFC 6749 section 4.4)."""
    if client is None:
        return _NO_CLIENT
    scope = asked_scope(visit)
    if isinstance(scope, Denied):
        return scope
    grant = Grant(key=client.key, holder=holder, got_by=client.got_by, scope=scope)
    family = await begin_family(service, grant) if scope.is_offline else None
    return issue(service, visit, grant, family)


def asked_scope(visit: Visit) -> Scope | Denied:
    """What the request's `scope` says."""
    try:
        return read_scope(visit.form.get("scope", ""))
    except ValueError as error:
        return denied_scope(f"{error}.")


def denied_scope(said: str) -> Denied:
    """RFC 6749: `invalid_scope`."""
    return Denied(error="invalid_scope", code="request:scope", said=said)


def _is_for_us(service: Service, visit: Visit) -> bool:
    """RFC 8707 section 2: who names the server that a token is for must mean this one."""
    named = [visit.form[name] for name in ("resource", "audience") if name in visit.form]
    ours = service.issuer
    return all(name.rstrip("/") == ours or name.startswith(ours + "/") for name in named)
