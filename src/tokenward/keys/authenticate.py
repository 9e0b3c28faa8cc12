"""Who is calling? The key a request carries, held against the record of that key.

A stranger learns nothing: no key, two keys, a malformed, unknown, revoked or wrong one all get
the same answer, and an unknown id costs the same work as a wrong secret. Whether a key is frozen
or expired is told only to whoever has shown its secret.
"""

import hmac
from typing import Final

from tokenward.kernel.moments import rfc3339
from tokenward.kernel.refusals import Refusal
from tokenward.kernel.secret import Secret
from tokenward.keys.format import digest, mask, read_key_id
from tokenward.keys.records import OLD_SECRETS_MAX, KeyRecord, OldSecret

KEY_HEADERS: Final = (b"x-api-key", b"x-goog-api-key", b"api-key")
"""Where SDKs put keys, beside `Authorization: Bearer`."""
SCHEMES: Final = frozenset((b"bearer", b"dpop"))


def _stranger(code: str) -> Refusal:
    return Refusal(
        code,
        401,
        "No valid tokenward key came with this request, so nothing was sent to a provider. Send a "
        "live key (tw_sk_…) as `Authorization: Bearer`, `x-api-key`, `x-goog-api-key` or "
        "`api-key`, in one place or the same in all.",
        public_code="key:invalid",
    )


MALFORMED: Final = _stranger("key:malformed")
UNKNOWN: Final = _stranger("key:unknown")
REVOKED: Final = _stranger("key:revoked")

PROVEN: Final = frozenset(("key:frozen", "key:expired", "key:revoked"))
"""Refusals of `authenticate` that only whoever has the key's secret can meet."""

_NOBODY: Final = OldSecret(digest=bytes(32), until_ms=0)


def presented_key(headers: dict[bytes, bytes]) -> str | Refusal | None:
    """The key text a request carries (names in lower case); None if it carries none.

    Refuses when two places carry different ones: guessing which is meant would let a proxy and
    the guard see different callers. An `Authorization` that is neither `Bearer` nor `DPoP`
    carries no key, an empty header neither.
    """
    found = {_of_scheme(headers.get(b"authorization", b""))}
    found.update(headers.get(name, b"").strip(b" \t") for name in KEY_HEADERS)
    found.discard(b"")
    if not found:
        return None
    if len(found) > 1:
        return MALFORMED
    return found.pop().decode("latin-1")


def authenticate(
    text: str | None, record: KeyRecord | None, pepper: Secret, now_ms: int
) -> KeyRecord | Refusal:
    """Does `text` open the key of `record`, and may that key be used now?

    `text` is what `presented_key` found; `record` what the store has under the id that
    `read_key_id` found in it, None if nothing. The digest covers the whole text, so a text can
    only open the very key it is. One HMAC and a fixed number of comparisons each time.
    """
    if text is None or read_key_id(text) is None:
        return MALFORMED
    is_opened = _opens(digest(text, pepper), record, now_ms)
    if record is None or not is_opened:
        return UNKNOWN
    return usable(record, now_ms)


def usable(record: KeyRecord, now_ms: int) -> KeyRecord | Refusal:
    """May the key be used now? Told only to whoever has shown its secret, or a token for it."""
    state = record.shown_state(now_ms)
    if state == "live":
        return record
    if state == "frozen":
        return _frozen(record)
    if state == "expired":
        return _expired(record)
    return REVOKED


def is_dpop(headers: dict[bytes, bytes]) -> bool:
    """Whether the key came as `Authorization: DPoP` (RFC 9449 section 7.1)."""
    scheme, _, _ = headers.get(b"authorization", b"").strip(b" \t").partition(b" ")
    return scheme.lower() == b"dpop"


def _of_scheme(authorization: bytes) -> bytes:
    scheme, _, text = authorization.strip(b" \t").partition(b" ")
    return text.strip(b" \t") if scheme.lower() in SCHEMES else b""


def _opens(shown: bytes, record: KeyRecord | None, now_ms: int) -> bool:
    """Compares with every secret there could be, so that time tells nothing about the record."""
    current = record.digest if record is not None else _NOBODY.digest
    old = record.old_secrets if record is not None else ()
    assert len(old) <= OLD_SECRETS_MAX, "a rotation keeps a few old secrets at most"
    is_open = hmac.compare_digest(shown, current) & (record is not None)
    for secret in (*old, *[_NOBODY] * (OLD_SECRETS_MAX - len(old))):
        is_open |= hmac.compare_digest(shown, secret.digest) & (now_ms < secret.until_ms)
    return is_open


def _frozen(record: KeyRecord) -> Refusal:
    word, _, rest = record.frozen_why.partition(" ")
    incident = rest.partition(":")[0] if word == "incident" else ""
    if incident:  # `keys.accusation.why_frozen`
        return frozen_by(incident)
    return Refusal(
        "key:frozen",
        403,
        f"Key {mask(record.id)} is frozen: nothing is sent with it until somebody unfreezes it. "
        f"If it should work: tokenward key unfreeze {record.id}",
    )


def frozen_by(incident: str) -> Refusal:
    """A key that was stopped because of what was done with it."""
    return Refusal(
        "key:frozen",
        403,
        f"This key was frozen: it is used in a way that looks like theft (incident {incident}). "
        "Nothing was sent and nothing is charged. If it is no theft: tokenward incident undo "
        f"{incident}",
        facts=way_out(incident),
    )


def way_out(incident: str) -> tuple[tuple[str, str | int | None], ...]:
    """What a refusal says for programs, of an incident that can be undone."""
    return (
        ("incident", incident),
        ("way_out", f"tokenward incident undo {incident}"),
        ("way_out_api", f"POST /admin/v1/incidents/{incident}/undo"),
    )


def _expired(record: KeyRecord) -> Refusal:
    return Refusal(
        "key:expired",
        401,
        f"Key {mask(record.id)} expired at {rfc3339(record.expires_ms)} and stays so. "
        f"Ask for a new one: tokenward key create --project {record.project}",
    )
