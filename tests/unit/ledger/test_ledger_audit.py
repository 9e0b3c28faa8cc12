"""The audit by itself, on chains that no ledger of ours would write."""

import msgspec
import pytest

from ledger_world import NOON_MS, cap
from tokenward.ledger.audit import FINDINGS_MAX, audit
from tokenward.ledger.chain import GENESIS, Entry, chain_hash
from tokenward.ledger.notes import note_cap
from tokenward.ledger.records import Cap, Finding
from tokenward.ledger.statement import Head, Stated, StatedCounter

DAY_START_MS = NOON_MS - 12 * 3_600_000


def entry(seq: int, kind: str, hold: int = 0, nusd: int = 0, **changes: object) -> Entry:
    calls = 0 if kind in ("void", "overrun") else 1
    made = Entry(
        seq, NOON_MS, kind, hold, NOON_MS, "a", "p", "k", "m", nusd, 0, calls, 0, 0, 0, 0, "{}"
    )
    return made._replace(**changes)


def limit(seq: int, nusd: int, kind: str = "cap_set") -> Entry:
    note = msgspec.json.encode(note_cap(limited(nusd), DAY_START_MS)).decode()
    return entry(seq, kind, calls=0, key="", project="", account="", detail=note)


def limited(nusd: int) -> Cap:
    return cap("key:k", "0/day", id="cap:1", limit=nusd)


def run(entries: list[Entry], caps: list[Cap] | None = None, **stated: object) -> list[Finding]:
    digest, chained = GENESIS, []
    for one in entries:
        digest = chain_hash(digest, one)
        chained.append((one, digest))
    values: dict[str, object] = {
        "now_ms": NOON_MS, "head": Head(len(entries), digest), "open_holds": frozenset(),
        "caps": [(one, DAY_START_MS) for one in caps or []], "counters": [], "keys": {},
        "projects": {}, "credits_nusd": {},
    }  # fmt: skip
    return audit(chained, Stated(**{**values, **stated}))  # type: ignore[arg-type]  # Stated's own names


def counter(spent: int, held: int = 0, running: int = 0) -> StatedCounter:
    return StatedCounter("cap:1", DAY_START_MS, spent, held, running)


def test_a_right_chain_has_nothing_to_find() -> None:
    entries = [
        limit(1, 10), entry(2, "hold", 2, 10), entry(3, "void", 2), entry(4, "hold", 4, 10),
        entry(5, "settle", 4, 10), entry(6, "overrun", 4, 3),
    ]  # fmt: skip
    assert run(entries, [limited(10)], counters=[counter(13)]) == []
    assert run([]) == []


def test_a_hold_that_passed_its_cap_is_found_even_if_all_sums_agree() -> None:
    """L1: 6 + 5 of 10, at the moment when the second was taken."""
    entries = [limit(1, 10), entry(2, "hold", 2, 6), entry(3, "hold", 3, 5)]
    entries += [entry(4, "settle", 2, 1), entry(5, "settle", 3, 1)]
    (finding,) = run(entries, [limited(10)], counters=[counter(2)])
    assert finding.why == "hold 3 made it 11 of 10"
    raised = [*entries[:2], limit(3, 11), entry(4, "hold", 4, 5)]
    raised += [entry(5, "settle", 2, 1), entry(6, "settle", 4, 1)]
    assert run(raised, [limited(11)], counters=[counter(2)]) == []


@pytest.mark.parametrize(
    ("ends", "why"),
    [
        ([entry(2, "settle", 1, 5), entry(3, "void", 1)], "ended twice"),
        ([entry(2, "settle", 1, 5), entry(3, "settle", 7, 5)], "never taken"),
        ([entry(2, "settle", 1, 9)], "without an overrun"),
        ([entry(2, "expire", 1, 4)], "less than its full price"),
        ([entry(2, "void", 1, 1)], "cost something"),
        ([entry(2, "settle", 1, 5, model="other")], "another key, model or moment"),
        ([], "the store says ended"),
    ],
)
def test_a_hold_that_ended_wrongly_is_found(ends: list[Entry], why: str) -> None:
    findings = run([entry(1, "hold", 1, 5), *ends])
    assert [f for f in findings if f.check == "holds" and why in f.why], findings


def test_findings_are_bounded() -> None:
    entries = [entry(seq, "void", 1) for seq in range(1, 3_000)]
    assert len(run(entries)) == FINDINGS_MAX
