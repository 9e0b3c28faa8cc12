"""`POST /oauth/enrolment`: a one-time code binds its key to whoever signs the request."""

from tokenward.http.oauth.denied import Denied, denied_grant, denied_request
from tokenward.http.oauth.holding import (
    MISSING,
    Holder,
    see_holder,
    tell_misuse,
    use_up_proof,
)
from tokenward.http.oauth.visit import Visit
from tokenward.kernel.json_text import JsonObject
from tokenward.kernel.moments import rfc3339
from tokenward.kernel.refusals import Refusal
from tokenward.keys import enrolment
from tokenward.keys.records import KeyRecord
from tokenward.pipeline.guard import Guard

TRIES_MAX = 5
_NEEDS_CERTIFICATE = denied_request(
    "This key is bound to a TLS client certificate: enrol over a connection that shows it.",
    "proof:missing",
)
_BUSY = Denied(
    error="temporarily_unavailable",
    code="enrolment:busy",
    said="The key is being changed by others right now. Try again.",
    status=503,
    retry_after_s=1,
)


async def enrol(guard: Guard, visit: Visit) -> JsonObject | Denied:
    """The key's text, for its holder only. Good once; the same holder may ask again while the
    code is good, because its answer may have been lost."""
    holder = see_holder(guard, visit)
    if isinstance(holder, Denied):
        return holder
    if holder is None:
        return MISSING
    code = visit.form.get("code", "")
    if not code:
        return denied_request("The parameter code is missing: send the enrolment code in it.")
    replayed = await use_up_proof(guard, holder)
    if replayed is not None:
        return replayed
    for _ in range(TRIES_MAX):
        answer = await _try(guard, visit, code, holder)
        if answer is not None:
            return answer
    return _BUSY


async def _try(guard: Guard, visit: Visit, code: str, holder: Holder) -> JsonObject | Denied | None:
    """None: the key was changed in between, so look again."""
    key_id = enrolment.read_code_id(code)
    record = await guard.keys.find(key_id) if key_id is not None else None
    if record is not None and (record.caveats.bind == "mtls") != (holder.kind == "mtls"):
        if record.caveats.bind != "mtls":
            return MISSING
        if not visit.certificate:
            return _NEEDS_CERTIFICATE
        holder = Holder("mtls", visit.certificate)
    enrolled = enrolment.enrol(code, record, holder.thumbprint, guard.pepper, guard.clock.now_ms())
    if isinstance(enrolled, Refusal):
        if enrolled is enrolment.USED and record is not None:
            visit.know(record)
            tell_misuse(guard, visit, record, enrolled.code)
        return denied_grant(enrolled.code, enrolled.message, enrolled.public_code)
    new, key = enrolled
    assert record is not None, "a code without a record enrols nobody"
    visit.know(new)
    visit.record.proof_kind, visit.record.proof_thumbprint = holder.kind, holder.thumbprint
    if new != record and not await guard.keys.replace(record, new, "key:enrolled", ""):
        return None
    return _shown(new, key.reveal())


def _shown(record: KeyRecord, key: str) -> JsonObject:
    return {
        "id": record.id,
        "key": key,
        "bind": record.caveats.bind,
        "thumbprint": record.holder,
        "account": record.account,
        "project": record.project,
        "expires_at": rfc3339(record.expires_ms),
    }
