"""Which private key does the client hold? Every token is bound to it, so every grant asks first."""

from dataclasses import dataclass
from typing import Final, Literal

from tokenward.binding import wording
from tokenward.binding.dpop import Proof, Shown
from tokenward.http.oauth.denied import Denied, denied_proof
from tokenward.http.oauth.visit import Visit
from tokenward.kernel.events import Event
from tokenward.keys.records import KeyRecord
from tokenward.pipeline.guard import Guard
from tokenward.pipeline.proving import proofs_in, use_up

Kind = Literal["dpop", "mtls"]


@dataclass(frozen=True, slots=True)
class Holder:
    """Who asks: the thumbprint of a public key (`dpop`) or of a certificate (`mtls`). `proof` is
    good and not used up yet."""

    kind: Kind
    thumbprint: str
    proof: Proof | None = None


def see_holder(guard: Guard, visit: Visit) -> Holder | Denied | None:
    """The key that the request's proof is by, else its certificate; None where it shows neither.

    A proof counts before a certificate: who sends one wants to be known by it.
    """
    proofs = proofs_in(visit.header_list)
    if not proofs:
        return Holder("mtls", visit.certificate) if visit.certificate else None
    shown = Shown(proofs=proofs, method=visit.method, path=visit.path)
    proof = guard.prover.dpop.check(shown, guard.clock.now_ms())
    if not isinstance(proof, Proof):
        return denied_proof(proof)
    return Holder("dpop", proof.thumbprint, proof)


async def use_up_proof(guard: Guard, holder: Holder) -> Denied | None:
    """None for the first use of the holder's proof; asked before any token is touched, so that a
    request which is sent twice changes nothing. Raises `StoreError`."""
    if holder.proof is None:
        return None
    refusal = await use_up(guard.prover, holder.proof)
    return None if refusal is None else denied_proof(refusal)


MISSING: Final = Denied(
    error="invalid_dpop_proof",
    code=wording.MISSING.code,
    said="Every token of this guard is bound to a private key, and the request shows none: send a "
    "DPoP proof (RFC 9449) with it, or connect with a TLS client certificate (RFC 8705).",
)


def tell_misuse(guard: Guard, visit: Visit, key: KeyRecord, reason: str) -> None:
    """What people hear of somebody who has what only the key's holder should have."""
    visit.suspect(reason)
    facts: dict[str, str | int | None] = {
        "class": "E1",
        "reason": reason,
        "account": key.account,
        "project": key.project,
        "client_ip": visit.record.client_ip,
        "request_id": visit.record.request_id,
    }
    guard.tell(Event(ts=visit.at_ms, kind="key:misused", subject=f"key:{key.id}", facts=facts))
