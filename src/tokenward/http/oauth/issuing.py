"""What is handed out: an access token, and beside it a refresh token where one was asked for."""

from dataclasses import dataclass, replace
from typing import Final

from tokenward.http.oauth.denied import Denied, denied_grant
from tokenward.http.oauth.holding import Holder
from tokenward.http.oauth.service import Service
from tokenward.http.oauth.visit import Visit
from tokenward.kernel.json_text import JsonObject
from tokenward.keys.access_tokens import AccessToken
from tokenward.keys.families import Family, refresh_token
from tokenward.keys.format import draw_id
from tokenward.keys.records import KeyRecord
from tokenward.keys.scopes import Scope

TYPES: Final = {"dpop": "DPoP", "mtls": "Bearer"}
"""`token_type`: a certificate-bound token is a bearer's by name (RFC 8705 section 3)."""
_TOO_LATE: Final = denied_grant(
    "grant:expired", "What this is asked for ends within the second, so no token is given."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What was granted: on which key, to whom, for what, and until when at the latest (Unix ms).
    `got_by` and `parent` as in `AccessToken`."""

    key: KeyRecord
    holder: Holder
    got_by: str
    scope: Scope
    until_ms: int | None = None
    parent: str = ""


async def begin_family(service: Service, grant: Grant) -> Family:
    """A first refresh token: kept before anything is handed out."""
    now_ms = service.now_ms
    ends = [now_ms + service.lifetimes.family_ms]
    ends += [end_ms for end_ms in (grant.key.expires_ms, grant.until_ms) if end_ms is not None]
    family = Family(
        id=draw_id(service.dice),
        key_id=grant.key.id,
        kind=grant.holder.kind,
        thumbprint=grant.holder.thumbprint,
        got_by=grant.got_by,
        scope=grant.scope.text,
        number=0,
        created_ms=now_ms,
        used_ms=now_ms,
        ends_ms=min(ends),
    )
    await service.guard.grants.add(family)
    return family


def issue(
    service: Service, visit: Visit, grant: Grant, family: Family | None = None, family_id: str = ""
) -> JsonObject | Denied:
    """The answer of RFC 6749 section 5.1. With a family its refresh token goes along; `family_id`
    ties an access token to one without."""
    now_s = service.now_ms // 1000
    ends_ms = [
        service.now_ms + service.lifetimes.access_ms,
        grant.key.expires_ms,
        grant.until_ms,
        None if family is None else family.ends_ms,
    ]
    lives_s = min(end_ms for end_ms in ends_ms if end_ms is not None) // 1000 - now_s
    if lives_s <= 0:
        return _TOO_LATE
    token = AccessToken(
        key_id=grant.key.id,
        jti=service.draw_jti(),
        kind=grant.holder.kind,
        thumbprint=grant.holder.thumbprint,
        got_by=grant.got_by,
        scope=grant.scope,
        issued_ms=now_s * 1000,
        expires_ms=(now_s + lives_s) * 1000,
        family=family_id if family is None else family.id,
        parent=grant.parent,
    )
    visit.know(grant.key)
    visit.record.proof_kind = grant.holder.kind
    visit.record.proof_thumbprint = grant.holder.thumbprint
    answer: JsonObject = {
        "access_token": service.guard.tokens.mint(token),
        "token_type": TYPES[grant.holder.kind],
        "expires_in": lives_s,
        "scope": grant.scope.text,
    }
    if not grant.scope.text:
        del answer["scope"]
    if family is not None:
        text = refresh_token(family.id, family.number, service.guard.pepper)
        answer["refresh_token"] = text.reveal()
    return answer


def without_offline(scope: Scope) -> Scope:
    """The scope of a token that brings no refresh token."""
    return replace(scope, is_offline=False)
