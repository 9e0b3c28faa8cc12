"""Holders for tests, and what a guard would see in their proofs, read by `joserfc`."""

from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey

from tokenward.client.holder import Bind, Holder, draw_private_key
from tokenward.kernel import jwk, jws
from tokenward.kernel.secret import Secret

GUARD = "https://guard.test"
KEY = "tw_sk_AbCdEf0123450123456789ABCDEFGHIJKLMNOPQRSTUV1O4WGs"
KEY_ID = "AbCdEf012345"
NOW_S = 1_795_263_600.0


def holder(
    guard_url: str = GUARD, bind: Bind = "dpop", private_key: jwk.PrivateKey | None = None
) -> Holder:
    """One that was enrolled at `guard_url`."""
    return Holder(
        guard_url=guard_url,
        key_id=KEY_ID,
        key=Secret(KEY, f"key {KEY_ID}"),
        bind=bind,
        private_key=private_key or draw_private_key(),
        created_ms=1_795_263_600_000,
    )


@dataclass(frozen=True)
class Seen:
    """A proof whose signature is good."""

    header: dict[str, Any]
    claims: dict[str, Any]
    thumbprint: str


def verified(proof: str) -> Seen:
    """Verified by the key in its header with a library that nobody here wrote."""
    header = jws.read_compact(proof.encode(), 4096).header
    shown: Any = header["jwk"]
    key = ECKey.import_key(shown) if shown["kty"] == "EC" else OKPKey.import_key(shown)
    token = jwt.decode(proof, key, algorithms=[str(header["alg"])])
    return Seen(dict(token.header), dict(token.claims), key.thumbprint())
