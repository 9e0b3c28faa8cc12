"""What a store says beside its entries; the audit holds it against them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tokenward.ledger.records import Cap


class Head(NamedTuple):
    """Number and hash of an entry. Whoever keeps one elsewhere can prove everything up to it."""

    seq: int
    hash: bytes


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
