"""A key's life as pure steps: create, freeze, unfreeze, rotate, revoke.

    live ⇄ frozen → revoked        live → revoked        live | frozen → expired by time

Revoked is final. A step that changes nothing (freezing a frozen key) gives back the record it
got, so a caller sees `new is old` and need not write. Every step that makes no sense is a
`Refusal`; the store writes the new record only if the old one is still there.
"""

from dataclasses import dataclass, replace
from typing import Final

from tokenward.kernel.ids import Dice
from tokenward.kernel.names import check_name
from tokenward.kernel.refusals import Refusal
from tokenward.kernel.secret import Secret
from tokenward.keys.caveats import DURATION_MS_MAX
from tokenward.keys.format import digest, draw_key, draw_secret, mask
from tokenward.keys.records import OLD_SECRETS_MAX, Caveats, KeyRecord, OldSecret

WHY_CHARS_MAX: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyDraft:
    """A key somebody asked for; ValueError if it cannot exist. `lifetime_ms` None: no end."""

    project: str
    account: str = "default"
    name: str = ""
    caveats: Caveats = Caveats()
    lifetime_ms: int | None = None

    def __post_init__(self) -> None:
        check_name(self.project, "a project")
        check_name(self.account, "an account")
        if self.name:
            check_name(self.name, "a key's name")
        if self.lifetime_ms is not None and not 0 < self.lifetime_ms <= DURATION_MS_MAX:
            raise ValueError("a key must live longer than nothing and less than a hundred years")


def create(draft: KeyDraft, dice: Dice, pepper: Secret, now_ms: int) -> tuple[KeyRecord, Secret]:
    """The record to keep and the key to show once."""
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
    )
    return record, key


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
    return replace(record, digest=digest(key.reveal(), pepper), old_secrets=old), key


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
