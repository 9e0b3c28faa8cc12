"""`POST /oauth/revoke` (RFC 7009) and `POST /oauth/introspect` (RFC 7662).

A client may ask about its own tokens, and take them back: it proves itself as at the token
endpoint, or, as a public client, by the private key that the token is bound to. Of anybody else's
token it learns nothing, not even that there is one.
"""

from dataclasses import dataclass
from typing import Final

from tokenward.http.oauth.clients import UNKNOWN, Client, bound_holder, know_client
from tokenward.http.oauth.denied import Denied, denied_request
from tokenward.http.oauth.holding import Holder, see_holder, use_up_proof
from tokenward.http.oauth.issuing import TYPES
from tokenward.http.oauth.service import Service
from tokenward.http.oauth.visit import Visit
from tokenward.kernel.json_text import JsonObject
from tokenward.kernel.refusals import Refusal
from tokenward.keys.access_tokens import (
    CONFIRMED_BY,
    HOLDER,
    AccessToken,
    authenticate_token,
    family_name,
    is_still_good,
    is_token,
    token_name,
)
from tokenward.keys.authenticate import usable
from tokenward.keys.families import Family, Presented, end, read_refresh_token
from tokenward.keys.scopes import read_scope

INACTIVE: Final[JsonObject] = {"active": False}
_ASKED_FOR: Final = "its client asked for it"


@dataclass(frozen=True, slots=True)
class _Asker:
    """Who asks: a client that has proven itself, or whoever holds a private key."""

    client: Client | None
    holder: Holder | None

    def owns(self, its: AccessToken | Family) -> bool:
        """Whether the token is this asker's."""
        if self.client is not None:
            return self.client.key.id == its.key_id
        holder = self.holder
        return holder is not None and (holder.kind, holder.thumbprint) == (its.kind, its.thumbprint)


async def revoke(service: Service, visit: Visit) -> JsonObject | Denied:
    """200 whether or not there was such a token: it is not good from now on."""
    asker = await _who_asks(service, visit)
    if isinstance(asker, Denied):
        return asker
    found = await _find(service, visit.form["token"])
    if isinstance(found, AccessToken) and asker.owns(found):
        try:
            await service.guard.grants.revoke(found, service.now_ms)
        finally:
            service.cut_revoked(token_name(found.jti))
    elif isinstance(found, tuple) and asker.owns(found[0]):
        await _end_family(service, found[0])
    return {}


async def _end_family(service: Service, family: Family) -> None:
    """Also by a token of it that was used: whoever had it may say that none of them is good. From
    what is kept, not from memory: where it has ended before, that is the acknowledgement."""
    grants = service.guard.grants
    try:
        while (now := await grants.read(family.id)) is not None and not now.ended_why:
            if await grants.end(now, end(now, _ASKED_FOR, service.now_ms), None):
                return
    finally:
        service.cut_revoked(family_name(family.id))


async def introspect(service: Service, visit: Visit) -> JsonObject | Denied:
    """What a token of the asker's is good for now; `{"active":false}` of any other."""
    asker = await _who_asks(service, visit)
    if isinstance(asker, Denied):
        return asker
    found = await _find(service, visit.form["token"])
    if isinstance(found, AccessToken):
        return await _show_access(service, found) if asker.owns(found) else INACTIVE
    if isinstance(found, tuple) and asker.owns(found[0]):
        return await _show_refresh(service, *found)
    return INACTIVE


async def _who_asks(service: Service, visit: Visit) -> _Asker | Denied:
    holder = see_holder(service.guard, visit)
    if isinstance(holder, Denied):
        return holder
    client = await know_client(service, visit, holder)
    if isinstance(client, Denied):
        return client
    if client is not None and client.key.caveats.bind != "none":
        bound = bound_holder(service, visit, client.key, holder or _signed(client))
        if isinstance(bound, Denied):
            return bound
        holder = bound
    if client is None and holder is None:
        return UNKNOWN
    if "token" not in visit.form:
        return denied_request("The parameter token is missing.")
    replayed = await use_up_proof(service.guard, holder) if holder is not None else None
    return replayed or _Asker(client, holder)


def _signed(client: Client) -> Holder | None:
    """An assertion is a signature of the holder too: no proof is needed beside it here."""
    is_signed = client.got_by == HOLDER and client.key.caveats.bind != "mtls"
    return Holder("dpop", client.key.holder) if is_signed else None


async def _find(service: Service, text: str) -> AccessToken | tuple[Family, Presented] | None:
    if is_token(text):
        return service.guard.tokens.read(text)
    presented = read_refresh_token(text, service.guard.pepper)
    if presented is None:
        return None
    family = await service.guard.grants.find(presented.family_id)
    return None if family is None else (family, presented)


async def _show_access(service: Service, token: AccessToken) -> JsonObject:
    record = await service.guard.keys.find(token.key_id)
    is_good = not service.guard.grants.is_revoked(token.names) and not isinstance(
        authenticate_token(token, record, service.now_ms), Refusal
    )
    if not is_good:
        return INACTIVE
    return {
        **_shown(service, token, token.scope.text),
        "jti": token.jti,
        "token_type": TYPES[token.kind],
        "iat": token.issued_ms // 1000,
        "exp": token.expires_ms // 1000,
    }


async def _show_refresh(service: Service, family: Family, presented: Presented) -> JsonObject:
    now_ms = service.now_ms
    key = await service.guard.keys.find(family.key_id)
    ends_ms = min(family.ends_ms, family.used_ms + service.lifetimes.idle_ms)
    is_newest = presented.number == family.number and not family.ended_why and now_ms < ends_ms
    if key is None or not is_newest or isinstance(usable(key, now_ms), Refusal):
        return INACTIVE
    if not is_still_good(family.got_by, family.kind, family.thumbprint, key, now_ms):
        return INACTIVE
    return {
        **_shown(service, family, read_scope(family.scope).text),
        "iat": family.used_ms // 1000,
        "exp": ends_ms // 1000,
    }


def _shown(service: Service, its: AccessToken | Family, scope: str) -> JsonObject:
    shown: JsonObject = {
        "active": True,
        "iss": service.issuer,
        "aud": service.issuer,
        "sub": its.key_id,
        "client_id": its.key_id,
        "cnf": {CONFIRMED_BY[its.kind]: its.thumbprint},
    }
    return {**shown, "scope": scope} if scope else shown
