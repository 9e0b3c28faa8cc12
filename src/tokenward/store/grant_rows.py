"""Families of refresh tokens as rows, and what is told of tokens, the same in every engine."""

from typing import Any, Final, cast

from tokenward.kernel.events import Event
from tokenward.keys.access_tokens import Kind
from tokenward.keys.families import Family
from tokenward.ledger.notes import Notebook

FAMILY_COLUMNS: Final = (
    "SELECT id, key, kind, thumbprint, got_by, scope, number, created_ms, used_ms, ends_ms, "
    "ended_ms, ended_why FROM families "
)
ACCESS_MS_MAX: Final = 3_600_000
"""Longer than any access token lives: as long its family's end is remembered."""
KEPT_MS: Final = 30 * 86_400_000
"""How long a family that has ended can still be looked at."""

ASKED_FOR: Final = "its client asked for it"


def family_row(family: Family) -> tuple[object, ...]:
    """The values of `FAMILY_COLUMNS`."""
    return (
        family.id, family.key_id, family.kind, family.thumbprint, family.got_by, family.scope,
        family.number, family.created_ms, family.used_ms, family.ends_ms, family.ended_ms,
        family.ended_why,
    )  # fmt: skip


def read_family(row: tuple[Any, ...]) -> Family:
    """The family that `FAMILY_COLUMNS` say."""
    return Family(
        id=row[0],
        key_id=row[1],
        kind=cast(Kind, row[2]),
        thumbprint=row[3],
        got_by=row[4],
        scope=row[5],
        number=row[6],
        created_ms=row[7],
        used_ms=row[8],
        ends_ms=row[9],
        ended_ms=row[10],
        ended_why=row[11],
    )


def note_new(book: Notebook, family: Family) -> None:
    """Keep that there is a new one."""
    detail = {"family": family.id, "got_by": family.got_by}
    book.note("family_created", family.created_ms, key=family.key_id, detail=detail)


def note_end(book: Notebook, kind: str, its_id: str, key_id: str, at_ms: int, why: str) -> None:
    """Keep an end, `family:revoked` or `token:revoked`: an entry, and an event for people."""
    what = kind.partition(":")[0]
    book.note(kind.replace(":", "_"), at_ms, key=key_id, detail={what: its_id, "why": why})
    facts: dict[str, str | int | None] = {"key": key_id, "why": why}
    book.tell(Event(ts=at_ms, kind=kind, subject=f"{what}:{its_id}", facts=facts))
