"""Caps as every engine stores them."""

from typing import Any, Final

from tokenward.ledger.records import Cap, Unit, Window

CAP_COLUMNS: Final = (
    'SELECT id, subject, model, "window", unit, "limit", zone, throttles, created_ms, since_ms '
    "FROM caps "
)


def read_cap(row: tuple[Any, ...]) -> tuple[Cap, int]:
    """A cap from its row (`CAP_COLUMNS`), and the start of the first window it counts."""
    cap_id, subject, model, window, unit, limit, zone, throttles, created_ms, since_ms = row
    cap = Cap(
        id=cap_id,
        subject=subject,
        model=model,
        window=Window(window),
        unit=Unit(unit),
        limit=limit,
        zone=zone,
        throttles=bool(throttles),
        created_ms=created_ms,
    )
    return cap, since_ms


def cap_row(cap: Cap, since_ms: int, *, is_credit: bool) -> tuple[object, ...]:
    """A cap's row, all of it."""
    return (
        cap.id, cap.subject, cap.model, cap.window.value, cap.unit.value, cap.limit, cap.zone,
        cap.throttles, cap.created_ms, since_ms, is_credit,
    )  # fmt: skip


def counts_of(cap: Cap) -> tuple[str, str, str, str]:
    """What it counts; there is one cap that counts the same."""
    return cap.subject, cap.model, cap.window.value, cap.unit.value
