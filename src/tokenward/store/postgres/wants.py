"""What a batch must know of the books before its rules can be applied without asking."""

from tokenward.ledger.records import Hold, HoldAsk
from tokenward.store.postgres.known_caps import Owner


class Wants:
    """Collected from all operations of a batch, so that one round trip brings it.

    `calls`: owners and moments whose counters are moved. `holds`: those to be ended, with the
    request each was taken for. `repeats`: idempotency keys with the key of the guard they belong
    to. `past_ms`: holds that are past their time by then, or whose gateway is gone.
    """

    __slots__ = ("calls", "holds", "past_ms", "repeats")

    def __init__(self) -> None:
        self.calls: set[tuple[Owner, int]] = set()
        self.holds: dict[int, str] = {}
        self.repeats: set[tuple[str, str]] = set()
        self.past_ms: int | None = None

    def take(self, ask: HoldAsk) -> None:
        """A hold will be taken."""
        self.calls.add(((ask.account, ask.project, ask.key, ask.model), ask.at_ms))
        if ask.idempotency:
            self.repeats.add((ask.key, ask.idempotency))

    def end(self, hold: Hold) -> None:
        """A hold will be ended."""
        self.holds[hold.id] = hold.request_id

    def sweep(self, past_ms: int) -> None:
        """Holds will be closed that nobody ends."""
        self.past_ms = max(past_ms, self.past_ms or 0)
