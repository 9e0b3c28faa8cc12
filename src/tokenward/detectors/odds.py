"""How probable a sign is, by what the key is for."""

from typing import NamedTuple

from tokenward.detectors.signs import Sign
from tokenward.kernel.incidents import EvidenceClass


class Odds(NamedTuple):
    """Shares of key-days (of new origins, where a sign is of new origins) that show a sign: the
    owner's ordinary ones, those on which the owner moved, and a thief's."""

    ordinary: float
    moved: float
    thief: float


def of_kind(table: dict[str, Odds], key_kind: str) -> Odds:
    """The odds of a key kind; those of "" for one that the table does not name."""
    return table.get(key_kind) or table[""]


def weighed(kind: EvidenceClass, detector: str, code: str, reason: str, odds: Odds) -> Sign:
    """A sign with its odds."""
    return Sign(
        kind=kind,
        detector=detector,
        code=code,
        reason=reason,
        ordinary=odds.ordinary,
        moved=odds.moved,
        thief=odds.thief,
    )
