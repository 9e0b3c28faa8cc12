"""Prove the books from the entries alone (L1, L3, L6, L7).

Independent of the code that keeps the balances: it shares the shape of an entry and the
arithmetic of windows with it, and adds everything up by itself, in one pass, in memory that
grows with keys, caps and open holds but not with entries.
"""

from collections.abc import Iterable
from typing import Final

from tokenward.ledger.audit_caps import CapAudit
from tokenward.ledger.audit_owners import OwnerAudit
from tokenward.ledger.chain import ENDING_KINDS, GENESIS, Entry, chain_hash
from tokenward.ledger.records import Finding
from tokenward.ledger.statement import Stated

FINDINGS_MAX: Final = 1000


def audit(entries: Iterable[tuple[Entry, bytes]], stated: Stated) -> list[Finding]:
    """Everything that is wrong, at most 1,000 findings; an empty list is the proof.

    `entries` come with the hash each carries, ascending.
    """
    auditor = Auditor(stated)
    for entry, digest in entries:
        if not auditor.see(entry, digest):
            break
    return auditor.conclude()


class Auditor:
    """The same for whoever brings the entries one by one: `see` each, then `conclude`."""

    def __init__(self, stated: Stated) -> None:
        self._stated = stated
        self._chain, self._holds = _ChainAudit(stated), _HoldAudit(stated)
        self._caps, self._owners = CapAudit(stated.caps), OwnerAudit()
        self._findings: list[Finding] = []

    def see(self, entry: Entry, digest: bytes) -> bool:
        """The next entry with the hash it carries; False: more would not be told."""
        findings = self._findings
        findings += self._chain.see(entry, digest)
        findings += self._holds.see(entry)
        findings += self._caps.see(entry)
        findings += self._owners.see(entry)
        return len(findings) < FINDINGS_MAX

    def conclude(self) -> list[Finding]:
        """Everything that is wrong, at most 1,000 findings."""
        stated, findings = self._stated, self._findings
        if len(findings) < FINDINGS_MAX:
            findings += self._chain.conclude()
            findings += self._holds.conclude()
            findings += self._caps.conclude(stated.counters, stated.now_ms)
            findings += self._owners.conclude(stated.keys, stated.projects, stated.credits_nusd)
        return findings[:FINDINGS_MAX]


class _ChainAudit:
    """No entry changed, inserted or taken away, from the first to the last."""

    def __init__(self, stated: Stated) -> None:
        self._head = stated.head
        self._known: dict[int, set[bytes]] = {}
        for head in stated.known:
            self._known.setdefault(head.seq, set()).add(head.hash)
        self._seq = 0
        self._hash = GENESIS

    def see(self, entry: Entry, digest: bytes) -> Iterable[Finding]:
        if entry.seq != self._seq + 1:
            yield _chain(entry.seq, f"follows entry {self._seq}; entries between are gone")
        if chain_hash(self._hash, entry) != digest:
            yield _chain(entry.seq, "its hash does not follow from it and the entry before")
        known = self._known.pop(entry.seq, {digest})
        if known != {digest}:
            yield _chain(entry.seq, "its hash differs from the one that was kept elsewhere")
        # The stored hash goes on, so that one changed entry is one finding and not all after it.
        self._seq, self._hash = entry.seq, digest

    def conclude(self) -> Iterable[Finding]:
        if (self._seq, self._hash) != self._head:
            yield _chain(
                self._head.seq,
                f"the chain was written up to here and ends at entry {self._seq}; "
                "entries at its end are gone or were added from outside",
            )
        for seq in self._known:
            yield _chain(seq, "was there when its hash was kept elsewhere, and is gone")


class _HoldAudit:
    """Each hold ends exactly once, as what it was, and never for more than was held."""

    def __init__(self, stated: Stated) -> None:
        self._stated = stated.open_holds
        self._open: dict[int, Entry] = {}

    def see(self, entry: Entry) -> Iterable[Finding]:
        if entry.kind == "hold":
            self._open[entry.seq] = entry
            if entry.hold != entry.seq:
                yield _hold(entry, "is not its own number")
        elif entry.kind in ENDING_KINDS:
            hold = self._open.pop(entry.hold, None)
            if hold is None:
                yield _hold(entry, "ended twice, or was never taken")
                return
            if hold[4:9] != entry[4:9]:
                yield _hold(entry, "ended for another key, model or moment than it was taken for")
            if entry.nusd > hold.nusd or entry.tokens > hold.tokens:
                yield _hold(entry, "ended for more than was held, without an overrun")
            if entry.kind == "expire" and entry.nusd != hold.nusd:
                yield _hold(entry, "expired for less than its full price")
            if entry.kind == "void" and (entry.nusd, entry.tokens, entry.calls) != (0, 0, 0):
                yield _hold(entry, "was voided and cost something")

    def conclude(self) -> Iterable[Finding]:
        for seq in sorted(self._stated ^ self._open.keys()):
            says = "open" if seq in self._stated else "ended"
            yield Finding(
                check="holds", subject=f"hold {seq}", why=f"the store says {says}, the entries not"
            )


def _chain(seq: int, why: str) -> Finding:
    return Finding(check="chain", subject=f"entry {seq}", why=why)


def _hold(entry: Entry, why: str) -> Finding:
    return Finding(check="holds", subject=f"hold {entry.hold}", why=f"{why} (entry {entry.seq})")
