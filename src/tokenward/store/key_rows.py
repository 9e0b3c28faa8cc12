"""Keys as rows and as what is told of them, the same in every engine."""

from dataclasses import replace
from typing import Any, Final

import msgspec

from tokenward.kernel.errors import StoreError
from tokenward.kernel.events import Event
from tokenward.kernel.moments import rfc3339
from tokenward.keys.records import Bar, Caveats, Enrolment, KeyRecord, OldSecret
from tokenward.ledger.notes import KeyNote, Notebook

KEY_COLUMNS: Final = (
    "SELECT id, digest, account, project, name, state, caveats, created_ms, expires_ms, "
    "last_used_ms, frozen_why, revoked_why, old_secrets, holder, enrolment, cleared, barred "
    "FROM keys "
)
ENDING_DAYS: Final = (1, 7)
"""How long before a key's end people are told, shortest first."""
_caveats: Final = msgspec.json.Decoder(Caveats)
_old_secrets: Final = msgspec.json.Decoder(tuple[OldSecret, ...])
_enrolment: Final = msgspec.json.Decoder(Enrolment)
_cleared: Final = msgspec.json.Decoder(tuple[str, ...])
_barred: Final = msgspec.json.Decoder(tuple[Bar, ...])
_encode: Final = msgspec.json.Encoder().encode


def key_row(record: KeyRecord) -> tuple[object, ...]:
    """The values of `KEY_COLUMNS`."""
    return (
        record.id, record.digest, record.account, record.project, record.name, record.state,
        _text(record.caveats), record.created_ms, record.expires_ms, record.last_used_ms,
        record.frozen_why, record.revoked_why, _text(record.old_secrets), record.holder,
        _enrolment_text(record), _text(record.cleared), _text(record.barred),
    )  # fmt: skip


def changing_values(record: KeyRecord) -> tuple[object, ...]:
    """What a change may write: of `KEY_COLUMNS` all but the id, the account, the project, the
    creation and the last use."""
    return (
        record.digest, record.name, record.state, _text(record.caveats), record.expires_ms,
        record.frozen_why, record.revoked_why, _text(record.old_secrets), record.holder,
        _enrolment_text(record), _text(record.cleared), _text(record.barred),
    )  # fmt: skip


def read_key(row: tuple[Any, ...]) -> KeyRecord:
    """The key that `KEY_COLUMNS` say. Raises `StoreError` where they say what this version does
    not know."""
    try:
        caveats, old_secrets = _caveats.decode(row[6]), _old_secrets.decode(row[12])
        enrolment = _enrolment.decode(row[14]) if row[14] else None
        cleared, barred = _cleared.decode(row[15]), _barred.decode(row[16])
    except ValueError as error:
        raise StoreError(
            f"the key {row[0]} cannot be read ({error}), so it opens nothing here. A newer "
            "tokenward wrote it, or somebody did by hand: update tokenward, or mend the row"
        ) from error
    return KeyRecord(
        id=row[0],
        digest=row[1],
        account=row[2],
        project=row[3],
        name=row[4],
        state=row[5],
        caveats=caveats,
        created_ms=row[7],
        expires_ms=row[8],
        last_used_ms=row[9],
        frozen_why=row[10],
        revoked_why=row[11],
        old_secrets=old_secrets,
        holder=row[13],
        enrolment=enrolment,
        cleared=cleared,
        barred=barred,
    )


def decided_on(record: KeyRecord) -> tuple[object, ...]:
    """What a step of a key's life is decided on: the same before and after, or it starts over."""
    return (
        record.state, record.digest, record.old_secrets, record.holder, record.enrolment,
        record.caveats, record.cleared, record.barred,
    )  # fmt: skip


def is_same(one: KeyRecord, other: KeyRecord) -> bool:
    """Whether they differ in nothing but the last use."""
    return one == replace(other, last_used_ms=one.last_used_ms)


def check_step(now: KeyRecord, new: KeyRecord) -> None:
    """Our own bug if a change would do what no change may."""
    assert now.state != "revoked" or new.state == "revoked", "revoked stays revoked (R4)"
    assert (now.account, now.project) == (new.account, new.project), "a key stays where it is"


def check_owner(record: KeyRecord, owner: str) -> None:
    """ValueError if the key's project, which there is, belongs to another account."""
    if owner != record.account:
        raise ValueError(
            f"the project {record.project} belongs to the account {owner}, not to {record.account}"
        )


def note_change(book: Notebook, kind: str, record: KeyRecord, at_ms: int, why: str) -> None:
    """Keep that the key is now so: an entry, and an event for people."""
    book.note(
        kind.replace(":", "_"),
        at_ms,
        account=record.account,
        project=record.project,
        key=record.id,
        detail=KeyNote(state=record.state, why=why),
    )
    facts: dict[str, str | int | None] = {
        "name": record.name, "account": record.account, "project": record.project,
        "state": record.state, "why": why,
    }  # fmt: skip
    book.tell(Event(ts=at_ms, kind=kind, subject=f"key:{record.id}", facts=facts))


def ending_event(record: KeyRecord, at_ms: int, days: int) -> Event:
    """What people hear of a key that ends within so many days."""
    facts: dict[str, str | int | None] = {
        "name": record.name, "account": record.account, "project": record.project,
        "expires_at": rfc3339(record.expires_ms), "days": days,
    }  # fmt: skip
    return Event(ts=at_ms, kind="key:ending", subject=f"key:{record.id}", facts=facts)


def _text(value: Any) -> str:
    return _encode(value).decode("utf-8")


def _enrolment_text(record: KeyRecord) -> str:
    return "" if record.enrolment is None else _text(record.enrolment)
