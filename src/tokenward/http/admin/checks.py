"""What the doctor looks at behind the door: the clock, the keys, the workloads, the ledger."""

from collections.abc import Sequence
from typing import Final

from tokenward.http.admin.office import Check, Office
from tokenward.kernel.moments import rfc3339
from tokenward.keys.access_tokens import fits_kind
from tokenward.keys.records import Census, KeyRecord
from tokenward.keys.workload_rules import Rule
from tokenward.ledger.statement import Head

RELEASED_MS: Final = 1_767_225_600_000
"""2026-01-01: this code did not exist before, so a clock that says so is wrong."""
EXPIRES_SOON_MS: Final = 7 * 86_400_000
UNUSED_MS: Final = 90 * 86_400_000
SHOWN_MAX: Final = 5


async def count_keys(office: Office) -> Census:
    """All keys, counted by the store: there may be a million."""
    now_ms = office.clock.now_ms()
    return await office.keys.census(now_ms, now_ms + EXPIRES_SOON_MS, now_ms - UNUSED_MS)


def check_clock(office: Office, keys: Census) -> Check:
    """A clock that was set back opens windows anew and revives expired keys."""
    now_ms = office.clock.now_ms()
    if now_ms < max(RELEASED_MS, keys.latest_ms):
        why = f"it says {rfc3339(now_ms)}, which is past; set it, and keep it set by NTP"
        return Check(name="clock", ok=False, why=why)
    return Check(name="clock", ok=True, why=f"it says {rfc3339(now_ms)}")


def check_keys(keys: Census) -> Check:
    """Never fails: keys that end soon or lie unused are worth a look, not an alarm."""
    said = [f"{keys.count} in all, {keys.live} live, {keys.bearers} of them bearer keys"]
    for some, what in (
        (keys.ending, "expire within a week"),
        (keys.waiting, "wait for their holder; a code: tokenward key enrol ID"),
        (keys.unused, "were not used for 90 days; revoke what nobody needs"),
    ):
        if some.count:
            said.append(f"{_some(some.ids, some.count, ', ')} {what}")
    return Check(name="keys", ok=True, why="; ".join(said))


async def check_workloads(office: Office) -> list[Check]:
    """Whether each rule's key can give a workload tokens; nothing where there are no rules."""
    if not office.rules:
        return []
    findings = [
        f"rule {rule.name}: {why}"
        for rule in office.rules
        if (why := _why_closed(office, rule, await office.keys.find(rule.key_id)))
    ]
    if findings:
        return [Check(name="workload", ok=False, why=_some(findings, len(findings), "; "))]
    why = f"rules: {len(office.rules)}, each names a live key that gives its workloads tokens"
    return [Check(name="workload", ok=True, why=why)]


async def check_ledger(office: Office) -> Check:
    """Whether it can be read."""
    head = await office.books.head()
    why = f"it can be read, entries: {head.seq}; prove it with --audit"
    return Check(name="ledger", ok=True, why=why)


async def prove_ledger(office: Office, kept: Head | None) -> tuple[Check, Head | None]:
    """Proves chain, holds and balances from the entries alone (L6, L7), and that the `kept` head
    is still in the chain. With the head that is proven now; None if nothing is, or is there."""
    head = await office.books.head()
    known = {one for one in (kept, head) if one is not None and one.seq > 0}
    findings = await office.books.audit(tuple(known))
    if not findings:
        why = "proven: the chain, every hold and every balance follow from the entries"
        if kept is not None:
            why += f"; entry {kept.seq} and all before it are those of the head you kept"
        return Check(name="ledger", ok=True, why=why), head if head.seq > 0 else None
    said = [f"{one.check} {one.subject}: {one.why}" for one in findings]
    return Check(name="ledger", ok=False, why=_some(said, len(said), "; ")), None


def _why_closed(office: Office, rule: Rule, key: KeyRecord | None) -> str:
    """Why every exchange by this rule is refused, and what to do; "" if it is not."""
    if key is None:
        return (
            f"there is no key {rule.key_id}; name one of tokenward key list, start the guard anew"
        )
    state = key.shown_state(office.clock.now_ms())
    if state == "frozen":
        return f"its key is frozen; tokenward key unfreeze {key.id}"
    if state != "live":
        return f"its key {key.id} is {state} for ever; name a live one, start the guard anew"
    if not office.sees_certificates and not fits_kind(key, "dpop"):
        return (
            f"its key {key.id} is bound by certificate, and nobody can show this guard one; name "
            "a key with --bind dpop, or set server.tls_client_ca or client_certificate_header"
        )
    return ""


def _some(texts: Sequence[str], count: int, between: str) -> str:
    """The first few of so many."""
    shown = texts[:SHOWN_MAX]
    more = f" and {count - len(shown)} more" if count > len(shown) else ""
    return between.join(shown) + more
