"""Step 2: has the caller shown that it holds what the credential is bound to?

Used by the gateway and by the token endpoints: one door for proofs, one order of checks. The key
is known before its proof is looked at, so strangers learn nothing, and a proof is used up last,
when everything else about it is good.

Whether it was used before is asked together with the limits of the key, in one round trip, where
nothing waits between the two: a key with limits, and its body is here. Else at once, because until
a body has come somebody else could use the proof. What the caller is told is the same: a replay
comes before whatever step 3 and 4 have to say.
"""

import hmac

from tokenward.binding import wording
from tokenward.binding.certificates import check_certificate
from tokenward.binding.digest import HEADER as DIGEST_HEADER
from tokenward.binding.digest import check_digest
from tokenward.binding.dpop import Proof, Shown
from tokenward.kernel.events import Event
from tokenward.kernel.refusals import Refusal
from tokenward.keys.records import KeyRecord
from tokenward.limits.interfaces import UNLIMITED, KeyLimits, Place
from tokenward.limits.local import ANYWHERE
from tokenward.pipeline.guard import Guard, Prover
from tokenward.pipeline.interfaces import Reply
from tokenward.pipeline.notes import Notes
from tokenward.pipeline.stages import Bound, Known

NONCE_HEADER = b"dpop-nonce"
_THEFT = frozenset((wording.MISSING, wording.NO_CERTIFICATE, wording.REPLAYED,
                    wording.OTHER_HOLDER, wording.OTHER_CERTIFICATE))  # fmt: skip
"""Refusals that somebody else's copy of the credential meets: evidence E1."""


async def prove(guard: Guard, known: Known, reply: Reply, notes: Notes) -> Bound | Refusal:
    """Bound, or why not. Raises `StoreError` when it cannot know whether a proof was used."""
    bound = await _prove(guard, known, reply)
    if isinstance(bound, Refusal):
        return _heed(guard, known, bound, notes)
    if bound.unused is None:
        notes.bind(bound)
    return bound


async def enter(guard: Guard, bound: Bound, notes: Notes) -> Place | Refusal:
    """Step 4: a place among the running calls of the key, if it is within its limits; nobody is
    asked about a key without any. Uses up the proof that is still unused, in the same step."""
    key, proof = bound.known.key, bound.unused
    limits = _limits_of(key)
    if proof is None:
        return ANYWHERE if limits == UNLIMITED else await guard.limiter.enter(key.id, limits)
    place = await guard.admission.admit(
        key.id, limits, proof.replay_key, proof.until_ms, proof.since_ms
    )
    if place == wording.REPLAYED:
        return _heed(guard, bound.known, wording.REPLAYED, notes)
    notes.bind(bound)
    return place


async def use_up_even_so(guard: Guard, bound: Bound, refusal: Refusal, notes: Notes) -> Refusal:
    """What a call is told that is refused before its limits are asked: its proof is good for no
    other, and that it was used before comes first."""
    if bound.unused is None:
        return refusal
    replayed = await _use_up(guard, bound.known, bound.unused)
    if replayed is not None:
        return _heed(guard, bound.known, replayed, notes)
    notes.bind(bound)
    return refusal


async def _prove(guard: Guard, known: Known, reply: Reply) -> Bound | Refusal:
    if known.bind == "none":
        return wording.NOT_BOUND if known.is_dpop else Bound(known=known, proof_kind="none")
    if known.bind == "mtls":
        return _prove_certificate(known, guard.clock.now_ms())
    reply.add_header(NONCE_HEADER, guard.prover.nonces.current(guard.clock.now_ms()).encode())
    if not known.holder:
        return wording.NOT_ENROLLED
    if not known.is_dpop:
        return wording.MISSING
    arrived = known.arrived
    shown = Shown(
        proofs=proofs_in(arrived.header_list),
        method=arrived.route.method,
        path=arrived.path,
        credential=known.presented,
        thumbprint=known.holder,
    )
    proof = guard.prover.dpop.check(shown, guard.clock.now_ms())
    if isinstance(proof, Refusal):
        return proof
    covers_body = known.bind == "dpop+body" or proof.content_digest is not None
    body = await arrived.read_body() if covers_body else None
    refusal = body if isinstance(body, Refusal) else None
    if isinstance(body, bytes):
        header = arrived.headers.get(DIGEST_HEADER)
        refusal = check_digest(proof.content_digest, header, body)
    if refusal is not None:
        return refusal
    has_limits = _limits_of(known.key) != UNLIMITED
    unused = proof if has_limits and (body is not None or await arrived.has_come()) else None
    if unused is None:
        refusal = await _use_up(guard, known, proof)
        if refusal is not None:
            return refusal
    assert not isinstance(body, Refusal), "it was returned"
    return Bound(
        known=known, proof_kind="dpop", thumbprint=proof.thumbprint, body=body, unused=unused
    )


async def _use_up(guard: Guard, known: Known, proof: Proof) -> Refusal | None:
    """None for the first use of a call's proof on any gateway."""
    place = await guard.admission.admit(
        known.key.id, UNLIMITED, proof.replay_key, proof.until_ms, proof.since_ms
    )
    return place if isinstance(place, Refusal) else None


def _limits_of(key: KeyRecord) -> KeyLimits:
    return KeyLimits(key.caveats.rpm, key.caveats.tpm, key.caveats.concurrency)


async def use_up(prover: Prover, proof: Proof) -> Refusal | None:
    """None for the first use of a token endpoint's proof in any process; those of calls are used
    up by `Admission`. Raises `StoreError`."""
    is_first = await prover.replays.claim(proof.replay_key, proof.until_ms, proof.since_ms)
    return None if is_first else wording.REPLAYED


def proofs_in(header_list: tuple[tuple[bytes, bytes], ...]) -> tuple[bytes, ...]:
    """The `DPoP` header fields, each by itself: two are one too many."""
    return tuple(value for name, value in header_list if name == b"dpop")


def _prove_certificate(known: Known, now_ms: int) -> Bound | Refusal:
    shown = known.arrived.certificate
    if not known.holder:
        return wording.NOT_ENROLLED
    if shown is None:
        return wording.NO_CERTIFICATE
    if not hmac.compare_digest(shown.thumbprint, known.holder):
        return wording.OTHER_CERTIFICATE
    if known.is_dpop:
        return wording.invalid("the credential is bound to a certificate: send it as Bearer")
    refusal = check_certificate(shown, now_ms)
    if refusal is not None:
        return refusal
    return Bound(known=known, proof_kind="mtls", thumbprint=shown.thumbprint)


def _heed(guard: Guard, known: Known, refusal: Refusal, notes: Notes) -> Refusal:
    """The refusal; where somebody else's copy of the credential would meet it, it is told."""
    if refusal in _THEFT:
        notes.suspect(f"E1 {refusal.code}")
        guard.tell(_misuse(known, refusal))
    return refusal


def _misuse(known: Known, refusal: Refusal) -> Event:
    """What people hear of a copied credential that somebody tries."""
    arrived = known.arrived
    return Event(
        ts=arrived.at_ms,
        kind="key:misused",
        subject=f"key:{known.key.id}",
        facts={
            "class": "E1",
            "reason": refusal.code,
            "account": known.key.account,
            "project": known.key.project,
            "client_ip": arrived.client_ip,
            "request_id": arrived.request_id,
        },
    )
