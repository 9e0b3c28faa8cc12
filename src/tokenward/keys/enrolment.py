"""Who holds this key? A one-time code binds a key to the public key of its holder, once.

The code is worth nothing once it is used: the key's text travels sealed under it, and opens only
calls that the enrolled private key has signed.
"""

import hmac
from dataclasses import replace
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tokenward.kernel.ids import Dice
from tokenward.kernel.refusals import Refusal
from tokenward.kernel.secret import Secret
from tokenward.keys.format import ENROLMENT_PREFIX, digest, draw_secret, mask, read_key_id
from tokenward.keys.records import Enrolment, KeyRecord

CODE_LIFETIME_MS: Final = 3_600_000
_LABEL: Final = b"tokenward enrolment"
# Each code seals one text, so one nonce is enough for all of them.
_NONCE: Final = bytes(12)

WRONG: Final = Refusal(
    "enrolment:invalid",
    400,
    "This is no enrolment code that is good now: it is mistyped, was used, or is more than an hour "
    "old. Ask for a new one: tokenward key enrol ID",
)
USED: Final = Refusal(
    "enrolment:used",
    400,
    WRONG.message,
    public_code="enrolment:invalid",
)


def offer(
    record: KeyRecord, key: Secret, dice: Dice, pepper: Secret, now_ms: int
) -> tuple[KeyRecord, Secret]:
    """The record of a key that waits for its holder, and the code to give to that holder."""
    code = draw_secret(record.id, dice, ENROLMENT_PREFIX)
    enrolment = Enrolment(
        digest=digest(code.reveal(), pepper),
        until_ms=now_ms + CODE_LIFETIME_MS,
        sealed=_box(code).encrypt(_NONCE, key.reveal().encode("ascii"), _LABEL),
    )
    return replace(record, holder="", enrolment=enrolment), code


def read_code_id(code: str) -> str | None:
    """The id of the key that a well-formed code is for."""
    return read_key_id(code, ENROLMENT_PREFIX)


def enrol(
    code: str, record: KeyRecord | None, thumbprint: str, pepper: Secret, now_ms: int
) -> tuple[KeyRecord, Secret] | Refusal:
    """Bind the key to `thumbprint`; the record to keep, and the key's text for its holder.

    The same holder may ask again with the same code while it is good: its answer may have been
    lost. For anybody else it is used up (`enrolment:used`: one of the two was not meant).
    """
    enrolment = record.enrolment if record is not None else None
    shown = digest(code, pepper) if read_code_id(code) is not None else b""
    is_code = hmac.compare_digest(shown, enrolment.digest if enrolment is not None else bytes(32))
    if record is None or enrolment is None or not is_code:
        return WRONG
    if record.holder and not hmac.compare_digest(record.holder, thumbprint):
        return USED
    if now_ms >= enrolment.until_ms or record.shown_state(now_ms) in ("revoked", "expired"):
        return WRONG
    secret = Secret(code, f"{ENROLMENT_PREFIX}{record.id}…")
    try:
        text = _box(secret).decrypt(_NONCE, enrolment.sealed, _LABEL).decode("ascii")
    except InvalidTag:  # written by something else than `offer`
        return WRONG
    return replace(record, holder=thumbprint), Secret(text, mask(record.id))


def _box(code: Secret) -> AESGCM:
    return AESGCM(code.mac(_LABEL))
