"""What each step makes. A step takes what the step before made, so none can be left out.

Arrived → Known → Bound → Read → Held → Scored → Cleared → Answered → Metered → Settled
"""

from collections.abc import Awaitable, Callable
from enum import StrEnum

from msgspec import Struct

from tokenward.binding.certificates import Certificate
from tokenward.binding.dpop import Proof
from tokenward.kernel.refusals import Refusal
from tokenward.kernel.signals import Signals
from tokenward.kernel.usage import Usage
from tokenward.keys.access_tokens import AccessToken
from tokenward.keys.records import KeyRecord
from tokenward.ledger.records import Charge, Hold, Settlement
from tokenward.limits.interfaces import Place
from tokenward.pipeline.interfaces import Answer, Provider
from tokenward.pipeline.judging import Judged
from tokenward.pipeline.remembering import Remembered
from tokenward.prices.book import ModelPrice
from tokenward.providers.ask import Ask, Request, Route
from tokenward.providers.interfaces import Dialect, Reading


class Arrived(Struct, frozen=True, kw_only=True):
    """A request at the door: its head is read, its body is not."""

    request_id: str
    at_ms: int
    route: Route
    dialect: Dialect
    model_in_path: str
    path: str
    query: bytes
    headers: dict[bytes, bytes]
    header_list: tuple[tuple[bytes, bytes], ...]
    wire_names: tuple[bytes, ...] = ()
    """The names in `header_list` as the caller wrote them; () where the server does not know."""
    ja4: str = ""
    """The caller's TLS, as a trusted proxy has measured it."""
    is_forwarded: bool = False
    """The connection is one of a trusted proxy, which may have written the head anew."""
    client_ip: str
    certificate: Certificate | None = None
    """The caller's TLS certificate (RFC 8705), None without one."""
    read_body: Callable[[], Awaitable[bytes | Refusal]]
    has_come: Callable[[], Awaitable[bool]]
    """Whether the body is here: then reading it waits for nobody. Answers at once, or nearly."""


class Known(Struct, frozen=True, kw_only=True):
    """Step 1: the key is real, live and in its time.

    `presented` is the credential's text; `is_dpop` says that it came as `Authorization: DPoP`.
    `bind` and `holder` are what step 2 must see shown: the key's own or its access token's.
    """

    arrived: Arrived
    key: KeyRecord
    presented: str
    is_dpop: bool
    bind: str
    holder: str
    token: AccessToken | None = None
    """What was presented, where it is not the key itself."""

    @property
    def names(self) -> tuple[str, ...]:
        """By which the call can be cut while it runs: its key, first, and its token."""
        return (self.key.id, *(self.token.names if self.token is not None else ()))


class Bound(Struct, frozen=True, kw_only=True):
    """Step 2: whoever calls has shown what the key's binding demands (`none` demands nothing).
    `thumbprint` is the holder's; `body` is there if the proof covers it. `unused` is a good proof
    that is used up in step 4, together with the limits of the key: until then nothing waits."""

    known: Known
    proof_kind: str
    thumbprint: str = ""
    body: bytes | None = None
    unused: Proof | None = None


class Read(Struct, frozen=True, kw_only=True):
    """Step 3: what is asked, of whom, at which price (None: it has none)."""

    bound: Bound
    request: Request
    ask: Ask
    provider: Provider
    price: ModelPrice | None


class Held(Struct, frozen=True, kw_only=True):
    """Step 4: within its limits (its place is taken) and its money is reserved.

    `hold` is None on routes that cost nothing. `output_limit` is what the provider must be told
    because the caller set no limit and a cap applies, else None.
    """

    read: Read
    place: Place
    hold: Hold | None
    output_limit: int | None


class Scored(Struct, frozen=True, kw_only=True):
    """Step 5: who this looks like, and what policy makes of it. `remembered` is what the guard
    knows of the key, for learning once the call has ended well."""

    held: Held
    call: Signals
    judged: Judged
    remembered: Remembered

    @property
    def key(self) -> KeyRecord:
        """The key as it was when the call came."""
        return self.held.read.bound.known.key


class Cleared(Struct, frozen=True, kw_only=True):
    """Step 6: may be sent: the verdict allows it, and the key was looked at again."""

    scored: Scored

    @property
    def read(self) -> Read:
        """What is asked, of whom."""
        return self.scored.held.read

    @property
    def held(self) -> Held:
        """What was reserved for it."""
        return self.scored.held


class Outcome(StrEnum):
    """How the forwarding ended, as far as money is concerned."""

    COMPLETE = "complete"
    """The provider's answer was read to its end, as HTTP or its dialect marks it."""
    REJECTED = "rejected"
    """The provider answered with an error or a redirect, which is not followed: it did not do
    the work and does not bill it."""
    UNSENT = "unsent"
    """Nothing reached the provider."""
    WITHHELD = "withheld"
    """The guard's own last look kept it back: nothing was sent."""
    BROKEN = "broken"
    """Sent, and the answer never came, broke off or did not end in time."""
    CUT = "cut"
    """The key was frozen or revoked while the answer ran, or the guard is stopping."""
    HUNG_UP = "hung_up"
    """The caller left and the rest of the answer did not come within the time given for it."""


class Answered(Struct, frozen=True, kw_only=True):
    """Step 7: the provider has answered. `tail` is the last piece, kept back until money is
    settled, so that a caller's next call never waits for money that is already free.
    `refusal` is what the caller must be told because nothing of an answer was sent to it;
    `interruption` is why an answer that was begun is not whole; `may_tell`: it is told as a last
    event. `rest` is the provider's answer whose last word was said but whose end was not read yet.
    `said` is the beginning of what the model said, as far as it was heard.
    """

    cleared: Cleared
    outcome: Outcome
    reading: Reading
    status: int
    tail: bytes
    may_tell: bool = False
    refusal: Refusal | None = None
    interruption: Refusal | None = None
    rest: Answer | None = None
    said: str = ""


class Metered(Struct, frozen=True, kw_only=True):
    """Step 8: what the call cost. `charge` None: nothing is due, the hold is voided."""

    answered: Answered
    charge: Charge | None
    usage: Usage | None
    doubts: tuple[str, ...] = ()


class Settled(Struct, frozen=True, kw_only=True):
    """Step 9: the hold has ended, durably; None where there was none."""

    metered: Metered
    settlement: Settlement | None
