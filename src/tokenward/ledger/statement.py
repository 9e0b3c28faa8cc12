"""What a store says beside its entries; the audit holds it against them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from tokenward.ledger.records import Cap

_HEAD: Final = re.compile(r"([1-9][0-9]{0,17}):([0-9a-f]{64})", re.ASCII)


class Head(NamedTuple):
    """Number and hash of an entry. Whoever keeps one elsewhere can prove everything up to it."""

    seq: int
    hash: bytes

    def __str__(self) -> str:
        """As people keep it: `17:9f…`, the hash in 64 hexadecimal digits."""
        return f"{self.seq}:{self.hash.hex()}"


def parse_head(text: str) -> Head:
    """The head whose text this is; ValueError for anything else."""
    found = _HEAD.fullmatch(text.strip())
    if found is None:
        raise ValueError(
            "that is no head of a ledger: give one as `tokenward doctor --audit` showed it, a "
            "number, a colon and 64 hexadecimal digits"
        )
    return Head(int(found[1]), bytes.fromhex(found[2]))


class StatedKey(NamedTuple):
    """What the keys say of one key."""

    project: str
    account: str
    state: str


class StatedCounter(NamedTuple):
    """What a counter says. `held` is reserved by `running` open holds."""

    cap_id: str
    start_ms: int
    spent: int
    held: int
    running: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """All claims of a store at one moment.

    `caps` come with the start of the first window each counts. `projects` maps to accounts,
    `credits_nusd` accounts to the sum of their credit. `known` are heads kept elsewhere.
    """

    now_ms: int
    head: Head
    open_holds: frozenset[int]
    caps: Sequence[tuple[Cap, int]]
    counters: Sequence[StatedCounter]
    keys: Mapping[str, StatedKey]
    projects: Mapping[str, str]
    credits_nusd: Mapping[str, int]
    known: Sequence[Head] = ()
