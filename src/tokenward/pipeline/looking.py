"""May this credential still be used, at this very moment?

Asked after the hold (step 6), again with the connection to the provider ready (`last_look` of
`Upstream.send`), and again whenever the key or the token changes while its answer runs (R2, R5).
Without waiting: from what this gateway knows, as long as that is fresh (R3).
"""

from typing import Final

from tokenward.kernel.refusals import Refusal
from tokenward.keys import access_tokens
from tokenward.keys import authenticate as keys
from tokenward.keys.access_tokens import AccessToken
from tokenward.keys.records import KeyRecord
from tokenward.pipeline.guard import Guard
from tokenward.pipeline.responding import look_at_bars
from tokenward.pipeline.stages import Scored

STALE_VIEW: Final = Refusal(
    "key:stale_view",
    503,
    "The guard lost sight of this key's state and will not guess. Nothing was sent; call again.",
    should_retry=True,
    retry_after_s=1,
)


def look_again(guard: Guard, scored: Scored) -> Refusal | None:
    """None while the key (and its token) is as good as when the call came, and no incident has
    barred what this call is."""
    known = scored.held.read.bound.known
    if not guard.view.is_fresh():
        return STALE_VIEW
    record = guard.keys.cached(known.key.id)
    if record is None:
        return STALE_VIEW
    now: KeyRecord | Refusal = record
    if known.token is not None:
        now = still_good(guard, known.token, record)
    elif record is not known.key:
        now = keys.authenticate(known.presented, record, guard.pepper, guard.clock.now_ms())
    if isinstance(now, Refusal):
        return now
    return look_at_bars(guard, scored, record) if record is not known.key else None


def still_good(guard: Guard, token: AccessToken, record: KeyRecord | None) -> KeyRecord | Refusal:
    """Neither the token nor its family is revoked, and its key can be used."""
    if guard.grants.is_revoked(token.names):
        return access_tokens.REVOKED
    return access_tokens.authenticate_token(token, record, guard.clock.now_ms())
