"""Who is the caller? A key of a guard and the private key that it is bound to."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from tokenward.client.address import origin_of
from tokenward.client.signer import Signer
from tokenward.kernel import jwk
from tokenward.kernel.secret import Secret

Bind = Literal["dpop", "dpop+body"]

HOLDER_BYTES_MAX: Final = 16_384
_JTI_BYTES: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Holder:
    """What enrolment leaves at the caller. Printing it shows neither of its secrets.

    `guard_url` is the address it was enrolled at, without a slash at its end: nothing is signed
    for another host. `key` is the text of the guard's key (`tw_sk_…`), worth nothing without
    `private_key`.
    """

    guard_url: str
    key_id: str
    key: Secret
    bind: Bind
    private_key: jwk.PrivateKey
    created_ms: int

    @property
    def binds_body(self) -> bool:
        """Whether each proof must also name the body it is for."""
        return self.bind == "dpop+body"

    def signer(self, now_s: Callable[[], float] = time.time) -> Signer:
        """What signs for this holder; `now_s` is Unix time in seconds."""
        return Signer(
            self.private_key, binds_body=self.binds_body, now_s=now_s, draw_id=draw_proof_id
        )


def draw_private_key() -> jwk.PrivateKey:
    """A new P-256 key, for ES256: what every verifier of RFC 9449 takes."""
    return ec.generate_private_key(ec.SECP256R1())


def draw_proof_id() -> str:
    """A `jti` of 128 random bits."""
    return secrets.token_urlsafe(_JTI_BYTES)


class _Written(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A holder as it is kept: JSON, the private key as PKCS #8 in PEM."""

    version: Literal[1]
    guard_url: str
    key_id: str
    key: str
    bind: Bind
    private_key: str
    created_ms: int


def write_holder(holder: Holder) -> bytes:
    """The text to keep. It holds both secrets."""
    pem = holder.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    written = _Written(
        version=1,
        guard_url=holder.guard_url,
        key_id=holder.key_id,
        key=holder.key.reveal(),
        bind=holder.bind,
        private_key=pem.decode("ascii"),
        created_ms=holder.created_ms,
    )
    return msgspec.json.encode(written)


def read_holder(text: bytes) -> Holder:
    """What `write_holder` wrote; ValueError, which shows nothing of it, for anything else."""
    try:
        written = msgspec.json.decode(text, type=_Written)
        loaded = load_pem_private_key(written.private_key.encode("utf-8"), password=None)
        origin_of(written.guard_url)
    except (ValueError, TypeError, UnsupportedAlgorithm, msgspec.DecodeError):
        raise ValueError("it is not a holder as tokenward writes it") from None
    return Holder(
        guard_url=written.guard_url,
        key_id=written.key_id,
        key=Secret(written.key, f"key {written.key_id}"),
        bind=written.bind,
        private_key=_checked(loaded),
        created_ms=written.created_ms,
    )


def _checked(key: object) -> jwk.PrivateKey:
    if isinstance(key, ed25519.Ed25519PrivateKey) or (
        isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1)
    ):
        return key
    raise ValueError("its private key is of a kind that cannot sign proofs")
