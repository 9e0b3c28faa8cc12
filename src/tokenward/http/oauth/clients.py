"""Which client is it? A client is a key of this guard, and proves it in one of three ways.

With the key itself as its secret (RFC 6749 section 2.3.1), with an assertion that the key's
enrolled holder signed (`private_key_jwt`, RFC 7523), or with the holder's certificate (RFC 8705
section 2). A client that shows none of these is public: only what is bound to the private key it
holds is good for it.
"""

import binascii
from base64 import b64decode
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_plus

from tokenward.binding import wording
from tokenward.http.oauth.denied import Denied, denied_client, denied_proof, denied_request
from tokenward.http.oauth.holding import MISSING, Holder, tell_misuse
from tokenward.http.oauth.service import Service
from tokenward.http.oauth.visit import Visit
from tokenward.kernel import jws
from tokenward.kernel.jwk import PublicKey
from tokenward.kernel.refusals import Refusal
from tokenward.keys import assertions
from tokenward.keys import authenticate as keys
from tokenward.keys.access_tokens import HOLDER, fits_holder, fits_kind, secret_mark
from tokenward.keys.format import digest, read_key_id
from tokenward.keys.records import KeyRecord
from tokenward.pipeline.proving import proofs_in

_WRONG: Final = (
    "This is no client of this guard, or not its secret, assertion or certificate. The client id "
    "is a key's id, and its secret the whole key (tw_sk_…)."
)
UNKNOWN: Final = denied_client("key:unknown", _WRONG, "client:invalid")
_TWO_WAYS: Final = denied_request("The client proves itself in more than one way; use one.")
_NEEDS_CERTIFICATE: Final = denied_proof(wording.NO_CERTIFICATE)
_NOT_ENROLLED: Final = denied_proof(wording.NOT_ENROLLED)
_OTHER_HOLDER: Final = denied_proof(wording.OTHER_HOLDER)


@dataclass(frozen=True, slots=True)
class Client:
    """A client that has proven itself; `got_by` as tokens carry it (`AccessToken.got_by`)."""

    key: KeyRecord
    got_by: str


async def know_client(
    service: Service, visit: Visit, holder: Holder | None
) -> Client | Denied | None:
    """Who asks; None for a public client. An assertion is used up by this. Raises `StoreError`."""
    form = visit.form
    has_basic = _basic(visit) is not None
    has_assertion = "client_assertion" in form or "client_assertion_type" in form
    if has_basic + has_assertion + ("client_secret" in form) > 1:
        return _TWO_WAYS
    if has_assertion:
        client: Client | Denied | None = await _by_assertion(service, visit, holder)
    elif has_basic or "client_secret" in form:
        client = await _by_secret(service, visit)
    else:
        client = await _by_certificate(service, visit)
    if client is None or isinstance(client, Denied):
        return client
    visit.know(client.key)
    return service.count_client(client.key.id) or client


def bound_holder(
    service: Service, visit: Visit, key: KeyRecord, holder: Holder | None
) -> Holder | Denied:
    """The holder that the key's tokens are for: for a bound key its own and nobody else."""
    if key.caveats.bind == "mtls" and visit.certificate:
        holder = Holder("mtls", visit.certificate, holder.proof if holder else None)
    is_bound = key.caveats.bind != "none"
    if is_bound and not key.holder:
        return _NOT_ENROLLED
    if holder is None or not fits_kind(key, holder.kind):
        if is_bound:
            tell_misuse(service.guard, visit, key, MISSING.code)
        return _NEEDS_CERTIFICATE if key.caveats.bind == "mtls" else MISSING
    if not fits_holder(key, holder.kind, holder.thumbprint):
        tell_misuse(service.guard, visit, key, _OTHER_HOLDER.code)
        return _OTHER_HOLDER
    return holder


async def _by_secret(service: Service, visit: Visit) -> Client | Denied:
    form = visit.form
    client_id, secret = _basic(visit) or (form.get("client_id", ""), form["client_secret"])
    if form.get("client_id", client_id) != client_id or read_key_id(secret) != client_id:
        return UNKNOWN
    guard = service.guard
    record = await guard.keys.find(client_id)
    key = keys.authenticate(secret, record, guard.pepper, service.now_ms)
    if isinstance(key, Refusal):
        if record is not None and key.code in keys.PROVEN:
            visit.know(record)
        return _not_usable(key)
    return Client(key, secret_mark(digest(secret, guard.pepper)))


async def _by_assertion(service: Service, visit: Visit, holder: Holder | None) -> Client | Denied:
    form = visit.form
    if form.get("client_assertion_type") != assertions.ASSERTION_TYPE:
        return denied_request(f"client_assertion_type must be {assertions.ASSERTION_TYPE}.")
    try:
        assertion = assertions.read_assertion(form.get("client_assertion", ""))
    except ValueError as error:
        return _bad_assertion(error)
    record = await _find(service, assertion.client_id)
    if record is None or record.caveats.bind == "none" or not record.holder:
        return UNKNOWN
    if form.get("client_id", record.id) != record.id:
        return UNKNOWN
    key = _enrolled_key(service, visit, assertion, holder, record)
    if key is None:
        return UNKNOWN
    replays = service.guard.prover.replays
    since_ms = replays.epoch.since_ms
    try:
        claimed = assertions.check_assertion(
            assertion, key, service.issuer, service.now_ms, since_ms
        )
    except ValueError as error:
        return _bad_assertion(error)
    if not await replays.claim(claimed.replay_key, claimed.until_ms, since_ms):
        return denied_client("client:replayed", "This client assertion was used before.")
    return _of_holder(service, record)


def _enrolled_key(
    service: Service,
    visit: Visit,
    assertion: assertions.Assertion,
    holder: Holder | None,
    record: KeyRecord,
) -> PublicKey | None:
    """The guard keeps only the thumbprint of a key's holder. The public key itself comes with the
    request, in the header of the assertion or of the DPoP proof, and must have that thumbprint."""
    jwk = assertion.jwk
    if jwk is None and holder is not None and holder.proof is not None:
        shown = jws.read_compact(proofs_in(visit.header_list)[0].strip(b" \t"), 4096).header["jwk"]
        jwk = shown if isinstance(shown, dict) else None
    if jwk is None:
        return None
    try:
        key = service.keys.read(jwk)
    except ValueError:
        return None
    return key if fits_holder(record, "dpop", key.thumbprint) else None


async def _by_certificate(service: Service, visit: Visit) -> Client | Denied | None:
    """Whoever shows another certificate is a public client and not turned away here, because a
    refresh token that is redeemed with it must end its family."""
    if not visit.certificate:
        return None
    record = await _find(service, visit.form.get("client_id", ""))
    if record is None or record.caveats.bind != "mtls":
        return None
    is_its = fits_holder(record, "mtls", visit.certificate)
    return _of_holder(service, record) if is_its else None


def _of_holder(service: Service, record: KeyRecord) -> Client | Denied:
    state = keys.usable(record, service.now_ms)
    return _not_usable(state) if isinstance(state, Refusal) else Client(record, HOLDER)


async def _find(service: Service, key_id: str) -> KeyRecord | None:
    return await service.guard.keys.find(key_id) if key_id else None


def _basic(visit: Visit) -> tuple[str, str] | None:
    """Client id and secret of `Authorization: Basic`, both form-encoded inside (RFC 6749 2.3.1);
    two empty ones where it cannot be read, None where it is not there."""
    scheme, _, given = visit.headers.get(b"authorization", b"").strip(b" \t").partition(b" ")
    if scheme.lower() != b"basic":
        return None
    try:
        text = b64decode(given.strip(b" \t"), validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    client_id, _, secret = text.partition(":")
    return unquote_plus(client_id), unquote_plus(secret)


def _not_usable(refusal: Refusal) -> Denied:
    """What a frozen or expired key is told, once it has shown its secret."""
    if refusal.public_code:
        return denied_client(refusal.code, _WRONG, "client:invalid")
    return denied_client(refusal.code, refusal.message)


def _bad_assertion(error: ValueError) -> Denied:
    return denied_client("client:assertion", f"The client assertion is not good: {error}.")
