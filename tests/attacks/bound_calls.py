"""A right call with a bound key, to be spoiled in one place before it is sent."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from attacks.probe import (
    Answer,
    Entrance,
    Key,
    admin,
    ask,
    assert_refused,
    new_key,
    nothing_happens,
)
from guard import GuardProcess
from holder import Holder, b64, claims_for, digest_of, dumped
from standin import StandinProcess

CAP = "5.00/day"
CHALLENGE = 'DPoP error="{error}", error_description="'
ALGORITHMS = ', algs="ES256 Ed25519 EdDSA"'
RECORDED_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundKey:
    """A key and whoever holds it."""

    key: Key
    holder: Holder
    bind: str


def new_bound_key(
    guard: GuardProcess,
    bind: str = "dpop",
    algorithm: str = "ES256",
    cap: str = CAP,
    **wishes: Any,
) -> BoundKey:
    """A key that is bound to a new private key."""
    holder = Holder(algorithm)
    key = new_key(guard, bind=bind, thumbprint=holder.thumbprint, caps=[cap], **wishes)
    return BoundKey(key=key, holder=holder, bind=bind)


@dataclass(slots=True, kw_only=True)
class Call:
    """What will be sent. `proofs` None: one, made of `header` and `claims`, signed by `sign`."""

    entrance: Entrance
    holder: Holder
    credential: str
    target: str
    url: str
    header: dict[str, Any]
    claims: dict[str, Any]
    sign: Callable[[bytes], bytes]
    body: bytes
    authorization: list[tuple[str, str]]
    more: list[tuple[str, str]] = field(default_factory=list)
    proofs: list[str | bytes] | None = None
    is_chunked: bool = False

    @property
    def signed(self) -> str:
        """The first two parts of the proof."""
        return f"{b64(dumped(self.header))}.{b64(dumped(self.claims))}"

    @property
    def proof(self) -> str:
        """The proof as it stands now."""
        return f"{self.signed}.{b64(self.sign(self.signed.encode()))}"

    def headers(self) -> list[tuple[str, str | bytes]]:
        """All of them, in the order of the wire."""
        proofs = [self.proof] if self.proofs is None else self.proofs
        return [
            ("content-type", "application/json"),
            *self.authorization,
            *(("dpop", proof) for proof in proofs),
            *self.more,
        ]

    def send(self, guard: GuardProcess) -> Answer:
        """Send it, as often as one likes."""
        body = (self.body[at : at + 50] for at in range(0, len(self.body), 50))
        return ask(
            guard.base_url,
            "POST",
            self.target,
            self.headers(),
            body if self.is_chunked else self.body,
        )


Spoil = Callable[[Call], object]


def nonce_of(guard: GuardProcess, bound: BoundKey, entrance: Entrance) -> str:
    """The guard's nonce of now, from the answer to a call without a proof."""
    headers = [("authorization", f"DPoP {bound.key.text}"), ("content-type", "application/json")]
    answer = ask(guard.base_url, "POST", entrance.path, headers, b"{}")
    return answer.headers["dpop-nonce"]


def right_call(
    guard: GuardProcess,
    bound: BoundKey,
    entrance: Entrance,
    *,
    nonce: str = "",
    base_url: str = "",
    body: dict[str, Any] | None = None,
) -> Call:
    """A call that would be taken as it is. `base_url`: the guard's public one, where it has one."""
    data = json.dumps(entrance.body if body is None else body).encode()
    url = (base_url or guard.base_url) + entrance.path
    covers_body = bound.bind == "dpop+body"
    claims = claims_for(
        "POST",
        url,
        credential=bound.key.text,
        nonce=nonce or nonce_of(guard, bound, entrance),
        body=data if covers_body else None,
    )
    return Call(
        entrance=entrance,
        holder=bound.holder,
        credential=bound.key.text,
        target=entrance.path,
        url=url,
        header=bound.holder.header(),
        claims=claims,
        sign=bound.holder.sign,
        body=data,
        authorization=[("authorization", f"DPoP {bound.key.text}")],
        more=[("content-digest", digest_of(data))] if covers_body else [],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """How a wrong proof is refused. `error` is the standard's; `evidence` that of theft, if any."""

    code: str
    error: str
    evidence: str = ""


MISSING = Said(code="proof:missing", error="invalid_token", evidence="E1 proof:missing")
INVALID = Said(code="proof:invalid", error="invalid_dpop_proof")
OTHER = Said(code="proof:invalid", error="invalid_token", evidence="E1 proof:invalid")
UNBOUND = Said(code="proof:invalid", error="invalid_token")
NO_NONCE = Said(code="proof:stale", error="use_dpop_nonce")
OUT_OF_TIME = Said(code="proof:stale", error="invalid_dpop_proof")
REPLAYED = Said(code="proof:replayed", error="invalid_dpop_proof", evidence="E1 proof:replayed")


def assert_said(guard: GuardProcess, answer: Answer, call: Call, said: Said) -> None:
    """The refusal on the wire, in the dialect's envelope, and what the record says of it."""
    assert_refused(answer, call.entrance, said.code, 401)
    challenge = answer.headers["www-authenticate"]
    assert challenge.startswith(CHALLENGE.format(error=said.error)), challenge
    assert challenge.endswith(ALGORITHMS), challenge
    assert answer.headers["x-should-retry"] == "false"
    record = record_of(guard, answer)
    assert record["refusal"] == said.code
    assert record["status"] == 401
    proofs = [each for each in record.get("evidence", []) if each.startswith("E1 ")]
    assert proofs == ([said.evidence] if said.evidence else [])
    assert not record.get("held_nusd")
    assert not record.get("cost_nusd")
    assert not record.get("proof_thumbprint")


def record_of(guard: GuardProcess, answer: Answer) -> dict[str, Any]:
    """What the guard wrote down of the call that got this answer."""
    request_id = answer.headers["x-request-id"]
    until = time.monotonic() + RECORDED_S
    while True:
        for record in admin(guard, "GET", "/records?limit=20").json:
            if record["request_id"] == request_id:
                return dict(record)
        assert time.monotonic() < until, "the call was not recorded"
        time.sleep(0.01)


@contextmanager
def refused_for_nothing(
    guard: GuardProcess, standin: StandinProcess, bound: BoundKey
) -> Iterator[None]:
    """Within it nothing reaches the provider and no money moves."""
    with nothing_happens(guard, standin, bound.key):
        yield


def netloc_of(url: str) -> str:
    """Host and port."""
    return urlsplit(url).netloc
