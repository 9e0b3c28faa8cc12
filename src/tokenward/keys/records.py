"""What is known of a key: the record, without its secret."""

from dataclasses import dataclass, field
from typing import Final

import msgspec

from tokenward.kernel.pages import Seen

KEY_STATES = ("live", "frozen", "revoked", "expired")
BINDINGS: Final = ("none", "dpop", "dpop+body", "mtls")
OLD_SECRETS_MAX: Final = 3
"""How many replaced secrets of a key can be in their grace at once; the oldest is dropped."""
CLEARED_MAX: Final = 32
"""How many things of a key can be cleared; the oldest is dropped."""
BARRED_MAX: Final = 32
"""How many things of a key can be barred; one that finds no room freezes the key instead."""


class Caveats(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """Restrictions on a key; empty means "not restricted" each time. Stored and shown as JSON.

    `models` and `routes` are shell-style globs (`fnmatch.fnmatchcase`; a route glob matches the
    path, e.g. `/v1/chat/*`), `cidrs` networks as text, `max_call_nusd` the most one call may
    hold, `rpm`/`tpm` requests and tokens a minute, `concurrency` running calls at once. `bind` is
    one of `BINDINGS`: what a caller must show besides the key.
    """

    models: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    cidrs: tuple[str, ...] = ()
    max_call_nusd: int | None = None
    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    bind: str = "none"


@dataclass(frozen=True, slots=True)
class OldSecret:
    """A secret that a rotation replaced, still accepted until `until_ms` (Unix ms)."""

    digest: bytes
    until_ms: int


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A one-time code that binds the key to its holder, good until `until_ms` (Unix ms).

    `digest` is HMAC-SHA-256(pepper, code); `sealed` the key's text, encrypted under the code.
    """

    digest: bytes
    until_ms: int
    sealed: bytes


@dataclass(frozen=True, slots=True)
class Bar:
    """A thing of a key that an incident stopped, until the incident is undone.

    A thing is a short text made by the policy: `origin:…` is a program in a network, `model:…` a
    model. What calls from there, or asks for that, is not let through; the key itself works.
    `pace:suspects` says that its suspects are only let through slowly.
    """

    thing: str
    incident: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """A key as stored. `digest` is HMAC-SHA-256(pepper, whole key text); never the text itself.

    `state` is `live`, `frozen` or `revoked`; a key past `expires_ms` is shown as `expired`.
    Rotation keeps the id, so caps, usage and history stay with the key. `holder` is the thumbprint
    of the public key (RFC 7638) or certificate (RFC 8705) it is bound to, "" while there is none.
    `cleared` are things that were barred by mistake, oldest first: they are not barred again.
    """

    id: str
    digest: bytes = field(repr=False)
    account: str
    project: str
    name: str = ""
    state: str = "live"
    caveats: Caveats = Caveats()
    created_ms: int
    expires_ms: int | None = None
    last_used_ms: int | None = None
    frozen_why: str = ""
    revoked_why: str = ""
    old_secrets: tuple[OldSecret, ...] = field(default=(), repr=False)
    holder: str = ""
    enrolment: Enrolment | None = field(default=None, repr=False)
    cleared: tuple[str, ...] = ()
    barred: tuple[Bar, ...] = ()

    @property
    def seen(self) -> Seen:
        """Where a page that ends with it ends."""
        return self.created_ms, self.id

    def has_ended(self, now_ms: int) -> bool:
        """The key's time is over, whatever its state."""
        return self.expires_ms is not None and now_ms >= self.expires_ms

    def shown_state(self, now_ms: int) -> str:
        """`live`, `frozen`, `revoked` or `expired`."""
        if self.state == "live" and self.has_ended(now_ms):
            return "expired"
        return self.state


@dataclass(frozen=True, slots=True, kw_only=True)
class Some:
    """How many there are, and the ids of the oldest few."""

    count: int = 0
    ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """All keys, counted. Of the `live` ones, `bearers` are bound to nobody, `ending` end soon,
    `waiting` are bound and have no holder yet, `unused` were not used for long."""

    count: int
    live: int
    bearers: int
    latest_ms: int
    """When the newest was created, 0 without any."""
    ending: Some
    waiting: Some
    unused: Some
