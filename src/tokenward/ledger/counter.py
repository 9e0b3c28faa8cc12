"""A cap in one window, as it is moved by the calls it counts."""

from typing import Final

from tokenward.ledger.records import Cap

NEVER_MS: Final = 2**62
"""Later than any moment: the end of a window that never ends."""


class Counter:
    """What a cap has counted in one window. Fulfils `Standing`.

    `told` is the highest alert threshold told in it, in per mille.
    """

    __slots__ = (
        "cap", "end_ms", "held", "is_dirty", "resets_ms", "running", "spent", "start_ms", "told",
        "unit",
    )  # fmt: skip

    def __init__(self, cap: Cap, start_ms: int, resets_ms: int | None) -> None:
        self.cap = cap
        self.unit = cap.unit
        self.start_ms = start_ms
        self.resets_ms = resets_ms
        self.end_ms = NEVER_MS if resets_ms is None else resets_ms
        self.spent = self.held = self.running = self.told = 0
        self.is_dirty = False

    def row(self) -> tuple[str, int, int | None, int, int, int, int]:
        """As every store keeps it: cap, start, end, spent, held, running, told."""
        return (
            self.cap.id,
            self.start_ms,
            self.resets_ms,
            self.spent,
            self.held,
            self.running,
            self.told,
        )
