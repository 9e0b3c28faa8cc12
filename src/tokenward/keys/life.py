"""A key's life as pure steps: create, freeze, unfreeze, rotate, revoke.

    live ⇄ frozen → revoked        live → revoked        live | frozen → expired by time

Revoked is final. A step that changes nothing (freezing a frozen key) gives back the record it
got, so a caller sees `new is old` and need not write. Every step that makes no sense is a
`Refusal`; the store writes the new record only if the old one is still there.
"""

import re
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from tokenward.kernel.ids import Dice
from tokenward.kernel.names import check_name
from tokenward.kernel.refusals import Refusal
from tokenward.kernel.secret import Secret
from tokenward.keys import enrolment
from tokenward.keys.caveats import DURATION_MS_MAX
from tokenward.keys.format import digest, draw_key, draw_secret, mask
from tokenward.keys.records import OLD_SECRETS_MAX, Caveats, KeyRecord, OldSecret

WHY_CHARS_MAX: Final = 200
_THUMBPRINT: Final = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyDraft:
    """A key somebody asked for; ValueError if it cannot exist. `lifetime_ms` None: no end;
    `holder` "": a bound key's holder enrols later, with a code."""

    project: str
    account: str = "default"
    name: str = ""
    caveats: Caveats = Caveats()
    lifetime_ms: int | None = None
    holder: str = ""

    def __post_init__(self) -> None:
        check_name(self.project, "a project")
        check_name(self.account, "an account")
        if self.name:
            check_name(self.name, "a key's name")
        if self.lifetime_ms is not None and not 0 < self.lifetime_ms <= DURATION_MS_MAX:
            raise ValueError("a key must live longer than nothing and less than a hundred years")
        if self.holder and self.caveats.bind == "none":
            raise ValueError("a thumbprint needs a binding: bind dpop, dpop+body or mtls")
        if self.holder and _THUMBPRINT.fullmatch(self.holder) is None:
            raise ValueError(
                "a thumbprint is the base64url of a SHA-256: 43 characters, as RFC 7638 (dpop) and "
                "RFC 8705 (mtls) make them"
            )


@dataclass(frozen=True, slots=True)
class Created:
    """The record to keep, the key to show once, and the code that enrols its holder (None where
    the key is bound to nobody, or to somebody already)."""

    record: KeyRecord
    key: Secret
    code: Secret | None = None


def create(draft: KeyDraft, dice: Dice, pepper: Secret, now_ms: int) -> Created:
    """A new key."""
    key_id, key = draw_key(dice)
    record = KeyRecord(
        id=key_id,
        digest=digest(key.reveal(), pepper),
        account=draft.account,
        project=draft.project,
        name=draft.name,
        caveats=draft.caveats,
        created_ms=now_ms,
        expires_ms=None if draft.lifetime_ms is None else now_ms + draft.lifetime_ms,
        holder=draft.holder,
    )
    if draft.caveats.bind == "none" or draft.holder:
        return Created(record, key)
    return Created(*_offered(record, key, dice, pepper, now_ms))


def enrol_anew(
    record: KeyRecord, bind: str, dice: Dice, pepper: Secret, now_ms: int
) -> Created | Refusal:
    """A new secret and a new code under the same id: whoever held the key before is out at once.
    `bind` "" keeps the binding, "dpop" for a key that had none."""
    state = record.shown_state(now_ms)
    if state == "revoked":
        return _revoked(record)
    if record.has_ended(now_ms):
        return _ended(record)
    had = record.caveats.bind
    wanted = bind or ("dpop" if had == "none" else had)
    caveats = msgspec.structs.replace(record.caveats, bind=wanted)
    key = draw_secret(record.id, dice)
    new = replace(record, digest=digest(key.reveal(), pepper), old_secrets=(), caveats=caveats)
    return Created(*_offered(new, key, dice, pepper, now_ms))


def _offered(
    record: KeyRecord, key: Secret, dice: Dice, pepper: Secret, now_ms: int
) -> tuple[KeyRecord, Secret, Secret]:
    offered, code = enrolment.offer(record, key, dice, pepper, now_ms)
    return offered, key, code


def freeze(record: KeyRecord, why: str) -> KeyRecord | Refusal:
    """Stop the key until somebody unfreezes it. The reason of the first freeze stays."""
    if record.state == "revoked":
        return _revoked(record)
    if record.state == "frozen":
        return record
    return replace(record, state="frozen", frozen_why=_line(why))


def unfreeze(record: KeyRecord) -> KeyRecord | Refusal:
    """Let a frozen key work again; an end that has passed meanwhile stays passed."""
    if record.state == "revoked":
        return _revoked(record)
    if record.state == "live":
        return record
    return replace(record, state="live", frozen_why="")


def revoke(record: KeyRecord, why: str) -> KeyRecord:
    """Stop the key for ever, old secrets included. Its digest stays, so that the record of a
    later call can tell a revoked key from an unknown one."""
    if record.state == "revoked":
        return record
    return replace(record, state="revoked", revoked_why=_line(why), old_secrets=())


def rotate(
    record: KeyRecord, dice: Dice, pepper: Secret, grace_ms: int, now_ms: int
) -> tuple[KeyRecord, Secret] | Refusal:
    """A new secret under the same id; the one before works until `now_ms + grace_ms`.

    A bound key stays bound to its holder; a code that was not used yet is void.
    Without grace every older secret dies at once: that is how a leaked secret is replaced. A
    frozen key stays frozen and may only be rotated without grace, because unfreezing it would
    otherwise bring back the secret it may have been frozen for. Revoked and expired keys are
    not brought back. ValueError if the grace is negative or longer than a hundred years.
    """
    if not 0 <= grace_ms <= DURATION_MS_MAX:
        raise ValueError("grace must be between nothing and a hundred years")
    state = record.shown_state(now_ms)
    if state == "revoked":
        return _revoked(record)
    if record.has_ended(now_ms):
        return _ended(record)
    if state == "frozen" and grace_ms:
        return _frozen_with_grace(record)
    key = draw_secret(record.id, dice)
    old: tuple[OldSecret, ...] = ()
    if grace_ms:
        living = [secret for secret in record.old_secrets if now_ms < secret.until_ms]
        living.append(OldSecret(record.digest, now_ms + grace_ms))
        old = tuple(living[-OLD_SECRETS_MAX:])
    fresh = digest(key.reveal(), pepper)
    return replace(record, digest=fresh, old_secrets=old, enrolment=None), key


def _line(why: str) -> str:
    """One printable line: a reason is shown on terminals and must never stop a revocation."""
    shown = "".join(sign if sign.isprintable() else " " for sign in why[: 2 * WHY_CHARS_MAX])
    return shown.strip()[:WHY_CHARS_MAX]


def _revoked(record: KeyRecord) -> Refusal:
    return Refusal(
        "key:revoked",
        409,
        f"Key {mask(record.id)} is revoked, and revoked is final. "
        f"Make a new one: tokenward key create --project {record.project}",
    )


def _ended(record: KeyRecord) -> Refusal:
    return Refusal(
        "key:expired",
        409,
        f"Key {mask(record.id)} has expired; a new secret would not bring it back. "
        f"Make a new one: tokenward key create --project {record.project}",
    )


def _frozen_with_grace(record: KeyRecord) -> Refusal:
    return Refusal(
        "key:frozen",
        409,
        f"Key {mask(record.id)} is frozen: with a grace, unfreezing it would bring the old secret "
        f"back too. Rotate without: tokenward key rotate {record.id} --grace 0s",
    )
