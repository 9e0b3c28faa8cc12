"""What the endpoints work with; `app.py` puts it together."""

from dataclasses import dataclass
from typing import Final, Protocol

from tokenward.http.oauth.denied import Denied, denied_rate
from tokenward.kernel.ids import Dice, base62_text
from tokenward.kernel.jwk import PublicKeys
from tokenward.kernel.refusals import Refusal
from tokenward.keys.families import Lifetimes
from tokenward.keys.workload import Workload
from tokenward.limits.rates import Rates
from tokenward.pipeline.cutting import TOKEN_REVOKED
from tokenward.pipeline.guard import Guard

CLIENT_RPM: Final = 120
"""Requests a minute of one client to all endpoints together."""
JTI_CHARS: Final = 20


class Workloads(Protocol):
    """Who is it that another issuer has signed for?"""

    async def verify(
        self, subject_token: str, subject_token_type: str, now_ms: int
    ) -> Workload | Refusal:
        """The key that stands for it. A good token is used up by asking."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """`dice` must be fit for secrets. `keys` are public keys that were read before."""

    guard: Guard
    dice: Dice
    keys: PublicKeys
    rates: Rates
    lifetimes: Lifetimes
    workloads: Workloads
    client_rpm: int = CLIENT_RPM

    @property
    def now_ms(self) -> int:
        """Unix ms."""
        return self.guard.clock.now_ms()

    @property
    def issuer(self) -> str:
        """Our own name: the first public URL, never the Host header."""
        return self.guard.tokens.issuer

    def draw_jti(self) -> str:
        """A new token's name."""
        return base62_text(self.dice, JTI_CHARS)

    def cut_revoked(self, name: str) -> None:
        """Cut the running calls of what is revoked by now: also where the disk was too late to say
        so, because memory refuses it already."""
        if self.guard.grants.is_revoked((name,)):
            self.guard.running.cut_key(name, TOKEN_REVOKED)

    def count_client(self, key_id: str) -> Denied | None:
        """None unless this client comes too often."""
        now_s = self.guard.clock.monotonic_s()
        refusal = self.rates.take_request(f"client:{key_id}", self.client_rpm, now_s)
        return None if refusal is None else denied_rate("This client", refusal)
