"""Grant token exchange (RFC 8693): what another issuer signed, or a token of ours made narrower.

A token is never worth more or longer than the one it was exchanged for, and is bound to whoever
asks. Nobody acts for somebody else here: actor tokens are not taken.
"""

from typing import Final

from tokenward.http.oauth.clients import Client
from tokenward.http.oauth.denied import Denied, denied_request, denied_subject
from tokenward.http.oauth.holding import Holder, tell_misuse
from tokenward.http.oauth.issuing import Grant, begin_family, issue, without_offline
from tokenward.http.oauth.service import Service
from tokenward.http.oauth.token import asked_scope, denied_scope
from tokenward.http.oauth.visit import Visit
from tokenward.kernel.json_text import JsonObject
from tokenward.kernel.refusals import Refusal
from tokenward.keys.access_tokens import authenticate_token, fits_kind
from tokenward.keys.authenticate import usable
from tokenward.keys.scopes import Scope, narrowed
from tokenward.keys.workload import Workload

TOKEN_EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - a public URN
ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a public URN
REFRESH_TOKEN: Final = "urn:ietf:params:oauth:token-type:refresh_token"  # noqa: S105 - a public URN

_NOT_GOOD: Final = "The subject token is not one of this guard that is good now and yours."
_AGAIN: Final = denied_request("A token that was exchanged is not exchanged again.")
_OTHER_KIND: Final = denied_subject(
    "workload:binding",
    "The rule's key is bound in another way (its bind caveat) than this request shows a holder.",
)


async def exchange(
    service: Service, visit: Visit, holder: Holder, client: Client | None
) -> JsonObject | Denied:
    """An access token for the subject token."""
    form = visit.form
    wanted = form.get("requested_token_type", ACCESS_TOKEN)
    if wanted not in (ACCESS_TOKEN, REFRESH_TOKEN):
        return denied_request("requested_token_type must be that of an access or refresh token.")
    if "actor_token" in form or "actor_token_type" in form:
        return denied_request("Actor tokens are not taken.")
    text, kind = form.get("subject_token", ""), form.get("subject_token_type", "")
    if not text or not kind:
        return denied_request("The parameters subject_token and subject_token_type are needed.")
    scope = asked_scope(visit)
    if isinstance(scope, Denied):
        return scope
    if kind == ACCESS_TOKEN:
        answer = await _narrow(service, visit, holder, text, scope)
    else:
        is_offline = scope.is_offline or wanted == REFRESH_TOKEN
        asked = Scope(is_offline, scope.models)
        answer = await _admit(service, visit, holder, client, (text, kind), asked)
    if not isinstance(answer, Denied):
        answer["issued_token_type"] = ACCESS_TOKEN
    return answer


async def _admit(
    service: Service,
    visit: Visit,
    holder: Holder,
    client: Client | None,
    subject: tuple[str, str],
    scope: Scope,
) -> JsonObject | Denied:
    """A token for the key that stands for a workload."""
    workload = await service.workloads.verify(*subject, service.now_ms)
    if isinstance(workload, Refusal):
        return _denied(workload)
    record = await service.guard.keys.find(workload.key_id)
    if record is None or (client is not None and client.key.id != record.id):
        return denied_subject("workload:key", _NOT_GOOD, "workload:invalid")
    visit.know(record)
    key = usable(record, service.now_ms)
    if isinstance(key, Refusal):
        return denied_subject(key.code, _NOT_GOOD, "workload:invalid")
    if not fits_kind(key, holder.kind):
        return _OTHER_KIND
    counted = service.count_client(key.id)
    if counted is not None:
        return counted
    grant = Grant(
        key=key,
        holder=holder,
        got_by=_got_by(workload),
        scope=scope,
        until_ms=workload.until_ms,
    )
    family = await begin_family(service, grant) if scope.is_offline else None
    return issue(service, visit, grant, family)


async def _narrow(
    service: Service, visit: Visit, holder: Holder, text: str, scope: Scope
) -> JsonObject | Denied:
    """A token of ours for fewer models, for the same holder, until the same moment."""
    token = service.guard.tokens.read(text)
    if token is None or service.guard.grants.is_revoked(token.names):
        return denied_subject("token:invalid", _NOT_GOOD)
    record = await service.guard.keys.find(token.key_id)
    key = authenticate_token(token, record, service.now_ms)
    if isinstance(key, Refusal):
        return denied_subject(key.code, _NOT_GOOD, "token:invalid")
    visit.know(key)
    if (holder.kind, holder.thumbprint) != (token.kind, token.thumbprint):
        tell_misuse(service.guard, visit, key, "proof:invalid")
        return denied_subject("proof:invalid", _NOT_GOOD, "token:invalid")
    if token.parent:
        return _AGAIN
    counted = service.count_client(key.id)
    if counted is not None:
        return counted
    narrower = narrowed(without_offline(token.scope), scope)
    if narrower is None:
        return denied_scope("The scope is more than that of the subject token.")
    grant = Grant(
        key=key,
        holder=holder,
        got_by=token.got_by,
        scope=narrower,
        until_ms=token.expires_ms,
        parent=token.jti,
    )
    return issue(service, visit, grant, family_id=token.family)


def _got_by(workload: Workload) -> str:
    return f"workload:{workload.rule}"


def _denied(refusal: Refusal) -> Denied:
    """A workload's token that opens nothing; or nobody could say (RFC 8693 section 2.2.2)."""
    if refusal.status < 500:
        return denied_subject(refusal.code, refusal.message, refusal.public_code)
    return Denied(
        error="temporarily_unavailable",
        code=refusal.code,
        said=refusal.message,
        status=refusal.status,
        retry_after_s=refusal.retry_after_s,
    )
