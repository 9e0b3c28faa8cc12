"""What the details of entries say: caps as they were set, keys as they became."""

import msgspec

from tokenward.ledger.records import Cap, Unit, Window


class CapNote(msgspec.Struct, frozen=True, kw_only=True):
    """The detail of a `cap_set`, `cap_removed` or `credit` entry: the cap as it stands from then
    on. `since_ms`: start of the first window it counts; `why` is said of credit."""

    cap: str
    subject: str
    model: str
    window: Window
    unit: Unit
    limit: int
    zone: str
    throttles: bool
    since_ms: int
    why: str = ""


def note_cap(cap: Cap, since_ms: int, why: str = "") -> CapNote:
    """The note an entry keeps of a cap."""
    return CapNote(
        cap=cap.id,
        subject=cap.subject,
        model=cap.model,
        window=cap.window,
        unit=cap.unit,
        limit=cap.limit,
        zone=cap.zone,
        throttles=cap.throttles,
        since_ms=since_ms,
        why=why,
    )


class KeyNote(msgspec.Struct, frozen=True, kw_only=True):
    """The detail of a `key_…` entry: the key's state from then on, and why."""

    state: str
    why: str = ""
