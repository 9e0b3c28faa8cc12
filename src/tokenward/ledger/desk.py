"""What every store does alike where people set caps and add credit."""

from dataclasses import dataclass
from typing import Final

from tokenward.kernel.money import NUSD_MAX, format_usd
from tokenward.ledger.cap_text import parse_subject
from tokenward.ledger.chain import Entry
from tokenward.ledger.records import Cap, CapStatus, Unit, Window
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


def posting(cap: Cap, at_ms: int, model: str, nusd: int, tokens: int, calls: int) -> Entry:
    """What was posted to the cap's subject at one model, as an entry to count."""
    owner = owner_of(cap)
    return Entry(
        0, 0, "overrun", 0, at_ms, owner["account"], owner["project"], owner["key"], model,
        nusd, tokens, calls, 0, 0, 0, 0, "",
    )  # fmt: skip


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
