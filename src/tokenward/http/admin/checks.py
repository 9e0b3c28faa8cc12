"""What the doctor looks at behind the door: the clock, the keys, the workloads, the ledger."""

from typing import Final

from tokenward.http.admin.office import Check, Office
from tokenward.kernel.moments import rfc3339
from tokenward.keys.access_tokens import fits_kind
from tokenward.keys.records import KeyRecord
from tokenward.keys.workload_rules import Rule
from tokenward.ledger.statement import Head

RELEASED_MS: Final = 1_767_225_600_000
"""2026-01-01: this code did not exist before, so a clock that says so is wrong."""
EXPIRES_SOON_MS: Final = 7 * 86_400_000
UNUSED_MS: Final = 90 * 86_400_000
SHOWN_MAX: Final = 5


def check_clock(office: Office, keys: list[KeyRecord]) -> Check:
    """A clock that was set back opens windows anew and revives expired keys."""
    now_ms = office.clock.now_ms()
    latest_ms = max((key.created_ms for key in keys), default=0)
    if now_ms < max(RELEASED_MS, latest_ms):
        why = f"it says {rfc3339(now_ms)}, which is past; set it, and keep it set by NTP"
        return Check(name="clock", ok=False, why=why)
    return Check(name="clock", ok=True, why=f"it says {rfc3339(now_ms)}")


def check_keys(office: Office, keys: list[KeyRecord]) -> Check:
    """Never fails: keys that end soon or lie unused are worth a look, not an alarm."""
    now_ms = office.clock.now_ms()
    live = [key for key in keys if key.shown_state(now_ms) == "live"]
    ending = [
        key
        for key in live
        if key.expires_ms is not None and key.expires_ms < now_ms + EXPIRES_SOON_MS
    ]
    waiting = [key for key in live if key.caveats.bind != "none" and not key.holder]
    bearers = sum(key.caveats.bind == "none" for key in live)
    unused = [key for key in live if (key.last_used_ms or key.created_ms) < now_ms - UNUSED_MS]
    said = [f"{len(keys)} in all, {len(live)} live, {bearers} of them bearer keys"]
    if ending:
        said.append(f"{_names(ending)} expire within a week")
    if waiting:
        said.append(f"{_names(waiting)} wait for their holder; a code: tokenward key enrol ID")
    if unused:
        said.append(f"{_names(unused)} were not used for 90 days; revoke what nobody needs")
    return Check(name="keys", ok=True, why="; ".join(said))


def check_workloads(office: Office, keys: list[KeyRecord]) -> list[Check]:
    """Whether each rule's key can give a workload tokens; nothing where there are no rules."""
    if not office.rules:
        return []
    known = {key.id: key for key in keys}
    findings = [
        f"rule {rule.name}: {why}"
        for rule in office.rules
        if (why := _why_closed(office, rule, known.get(rule.key_id)))
    ]
    if findings:
        return [Check(name="workload", ok=False, why=_some(findings, "; "))]
    why = f"rules: {len(office.rules)}, each names a live key that gives its workloads tokens"
    return [Check(name="workload", ok=True, why=why)]


async def check_ledger(office: Office) -> Check:
    """Whether it can be read."""
    accounts = len(await office.books.accounts())
    why = f"it can be read, accounts: {accounts}; prove it with --audit"
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
    return Check(name="ledger", ok=False, why=_some(said, "; ")), None


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


def _names(keys: list[KeyRecord]) -> str:
    return _some([key.id for key in keys], ", ")


def _some(texts: list[str], between: str) -> str:
    more = f" and {len(texts) - SHOWN_MAX} more" if len(texts) > SHOWN_MAX else ""
    return between.join(texts[:SHOWN_MAX]) + more
