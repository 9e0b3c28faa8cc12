"""A second ledger, of a few lines: what gateways were told must be what the file says.

It replays only what was acknowledged to somebody. What was asked and never answered is a third
outcome: it may have happened, in one of the ways it could.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sim.world import Outcome

DEADLY = {
    "gateway_crash", "keeper_crash", "crash_in_commit", "stop", "cut", "full_disk", "clock_step",
}  # fmt: skip
"""Where these are, whoever should take back a hold that nobody heard of may not live to do it in
time, or cannot; it is then closed in full. Elsewhere it costs nothing."""


def disagreements(o: "Outcome") -> Iterator[str]:
    """Where the file is not what its users were told."""
    posted, ended = _book(o)
    low, high = 0, 0
    known: set[int] = set()
    for hold, amounts in _possible(o).items():
        known.add(hold)
        if hold not in posted:
            yield f"hold {hold} was acknowledged and is not in the file"
        elif posted[hold] not in amounts and not _is_overrun(o, hold):
            yield f"hold {hold} cost {posted[hold]}; told was one of {sorted(amounts)}"
        low, high = low + min(amounts), high + max(amounts)
    unheard = {hold: nusd for hold, nusd in posted.items() if hold not in known}
    may_end = ("void", "expire") if o.plan.features & DEADLY else ("void",)
    for hold in unheard:
        if ended.get(hold) not in may_end:
            yield f"hold {hold} was never told to anybody and ended as {ended.get(hold)}"
    total = sum(posted.values()) - sum(unheard.values()) - sum(_overruns(o).values())
    if not low <= total <= high:
        yield f"the file says {total} in all; told was {low} to {high}"


def _possible(o: "Outcome") -> dict[int, set[int]]:
    """What each acknowledged hold may have cost in the end, in nano-dollars."""
    held: dict[int, int] = {}
    amounts: dict[int, set[int]] = {}
    for e in o.history.of("held", "settle_asked", "void_asked", "settled", "voided"):
        if e.what == "held":
            held[e.hold] = e.nusd
            amounts[e.hold] = {e.nusd}  # unless more is heard of it, it is closed in full
        elif e.what == "settle_asked":
            amounts[e.hold].add(min(e.nusd, held[e.hold]))
        elif e.what == "void_asked":
            amounts[e.hold].add(0)
        else:
            amounts[e.hold] = {min(e.nusd, held[e.hold])}
    return amounts


def _book(o: "Outcome") -> tuple[dict[int, int], dict[int, str]]:
    posted: dict[int, int] = {}
    ended: dict[int, str] = {}
    for e in o.entries:
        if e.kind == "hold":
            posted[e.seq] = 0
        elif e.kind in ("settle", "void", "expire"):
            posted[e.hold] += e.nusd
            ended[e.hold] = e.kind
        elif e.kind == "overrun":
            posted[e.hold] += e.nusd
    return posted, ended


def _overruns(o: "Outcome") -> dict[int, int]:
    found: dict[int, int] = {}
    for e in o.entries:
        if e.kind == "overrun":
            found[e.hold] = found.get(e.hold, 0) + e.nusd
    return found


def _is_overrun(o: "Outcome", hold: int) -> bool:
    return hold in _overruns(o)
