"""What every store does alike where people set caps and add credit."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tokenward.kernel.money import NUSD_MAX, format_usd
from tokenward.ledger.cap_text import parse_subject
from tokenward.ledger.chain import Entry
from tokenward.ledger.notes import Notebook, note_cap
from tokenward.ledger.records import Cap, CapStatus, Unit, Window
from tokenward.ledger.recount import CounterRow, Recount
from tokenward.ledger.windows import find_zone, window_bounds
from tokenward.ledger.wording import CREDIT_ID

KEPT_MS: Final = 2 * 86_400_000
"""How long the counters of a window that ended are kept; holds live less."""
FORGET_EVERY_MS: Final = 3_600_000
MODEL_CHARS_MAX: Final = 128


@dataclass(frozen=True, slots=True)
class Counted:
    """What a cap to be counted from `since_ms` on has spent, by the entries up to `upto`."""

    since_ms: int
    end_ms: int
    upto: int
    postings: tuple[Entry, ...]


def check_cap(cap: Cap) -> None:
    """ValueError for a cap that cannot be."""
    parse_subject(cap.subject)
    find_zone(cap.zone)
    if not 0 <= cap.limit <= NUSD_MAX:
        raise ValueError(f"a cap's limit is between 0 and {NUSD_MAX}")
    if len(cap.model) > MODEL_CHARS_MAX or not cap.model.isprintable():
        raise ValueError(f"a model pattern is text of at most {MODEL_CHARS_MAX} characters")


def credit_cap(account: str, amount_nusd: int, at_ms: int) -> Cap:
    """An account's prepaid credit, as the cap it is. ValueError for no amount."""
    if not 0 < amount_nusd <= NUSD_MAX:
        raise ValueError("credit is an amount above zero")
    return Cap(
        id=f"{CREDIT_ID}{account}",
        subject=f"account:{account}",
        window=Window.TOTAL,
        unit=Unit.NUSD,
        limit=amount_nusd,
        created_ms=at_ms,
    )


def check_credit(limit: int) -> None:
    """ValueError for more than a ledger keeps."""
    if limit > NUSD_MAX:
        raise ValueError(f"an account's credit ends at {format_usd(NUSD_MAX)}")


def owner_of(cap: Cap) -> dict[str, str]:
    """Whose cap it is, as an entry says it: account, project, key; the others empty."""
    kind, _, name = cap.subject.partition(":")
    return {"account": "", "project": "", "key": "", kind: name}


def note_change(book: Notebook, kind: str, cap: Cap, since_ms: int, at_ms: int) -> None:
    """Append that the cap was set or removed, so that its counters can be proved."""
    owner = owner_of(cap)
    book.note(
        kind,
        at_ms,
        account=owner["account"],
        project=owner["project"],
        key=owner["key"],
        detail=note_cap(cap, since_ms),
    )


def note_credit(book: Notebook, added: Cap, now: Cap, since_ms: int, why: str) -> None:
    """Append that credit was added, and what it is now."""
    book.note(
        "credit",
        added.created_ms,
        account=owner_of(added)["account"],
        nusd=added.limit,
        detail=note_cap(now, since_ms, why),
    )


def posting(cap: Cap, at_ms: int, model: str, nusd: int, tokens: int, calls: int) -> Entry:
    """What was posted to the cap's subject at one model, as an entry to count."""
    owner = owner_of(cap)
    return Entry(
        0, 0, "overrun", 0, at_ms, owner["account"], owner["project"], owner["key"], model,
        nusd, tokens, calls, 0, 0, 0, 0, "",
    )  # fmt: skip


def counters_of(
    cap: Cap, counted: Counted, newest: Iterable[Entry], held: Iterable[Entry]
) -> list[CounterRow]:
    """Counters of a new cap, from what was counted, what was posted since then and what is
    held."""
    recount = Recount([(cap, counted.since_ms)])
    for entry in (*counted.postings, *newest, *held):
        recount.feed(entry)
    return recount.rows(recount.sums)


def running_windows(caps: Iterable[Cap], now_ms: int) -> list[tuple[str, int]]:
    """Which counter says where each cap stands now: its cap, and the start of its window."""
    return [(cap.id, window_bounds(cap.window, cap.zone, now_ms)[0]) for cap in caps]


def status_of(
    cap: Cap, now_ms: int, sums: dict[tuple[str, int], tuple[int, int, int]]
) -> CapStatus:
    """Where it stands now. `sums` maps cap and window to spent, held and running."""
    start_ms, resets_ms = window_bounds(cap.window, cap.zone, now_ms)
    spent, held, running = sums.get((cap.id, start_ms), (0, 0, 0))
    return CapStatus(
        cap=cap,
        window_start_ms=start_ms,
        spent=spent,
        held=held,
        resets_ms=resets_ms,
        running=running,
    )
