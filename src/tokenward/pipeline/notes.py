"""What is written down about a request while it passes: one `Record` at its end."""

import traceback

from tokenward.kernel.clock import Clock
from tokenward.kernel.conversation import Conversation
from tokenward.kernel.events import Record
from tokenward.kernel.refusals import Refusal
from tokenward.kernel.signals import Signals
from tokenward.keys.format import PREFIX
from tokenward.keys.records import KeyRecord
from tokenward.pipeline.judging import Judged
from tokenward.pipeline.relay import Passage
from tokenward.pipeline.stages import Arrived, Bound, Held, Metered, Read, Settled


class Notes:
    """Collects the record step by step. Times: `sent` and `headed` frame the provider's share."""

    __slots__ = (
        "_began_s",
        "_first_byte_s",
        "_record",
        "_resumed_s",
        "_sent_s",
        "body",
        "fault",
        "has_started",
        "said",
    )

    def __init__(self, arrived: Arrived, clock: Clock) -> None:
        self._began_s = clock.monotonic_s()
        self._sent_s: float | None = None
        self._resumed_s: float | None = None
        self._first_byte_s: float | None = None
        self.has_started = False
        self.fault = ""
        self.body = b""
        """What came, for a look at a call that is refused as unreadable."""
        self.said: Conversation | None = None
        """What was said in it, until it is scored."""
        agent = arrived.headers.get(b"user-agent", b"")[:256]
        self._record = Record(
            ts=arrived.at_ms,
            request_id=arrived.request_id,
            dialect=arrived.route.dialect,
            route=arrived.route.operation,
            model=without_keys(arrived.model_in_path[:256]),
            client_ip=arrived.client_ip,
            user_agent=without_keys(agent.decode("latin-1")),
        )

    def know(self, key: KeyRecord) -> None:
        """Step 1."""
        self._record.key = key.id
        self._record.account = key.account
        self._record.project = key.project

    def suspect(self, evidence: str) -> None:
        """A sign of theft: its class and what it was."""
        self._record.evidence += (evidence,)

    def bind(self, bound: Bound) -> None:
        """Step 2."""
        self._record.proof_kind = bound.proof_kind
        self._record.proof_thumbprint = bound.thumbprint

    def read(self, read: Read) -> None:
        """Step 3."""
        record, ask = self._record, read.ask
        record.model, record.stream = without_keys(ask.model), ask.stream
        record.provider, record.max_tokens = read.provider.name, ask.output_asked

    def hold(self, held: Held) -> None:
        """Step 4."""
        if held.hold is not None:
            self._record.held_nusd = held.hold.amount_nusd
        if held.output_limit is not None:
            self._record.max_tokens = held.output_limit

    def score(self, call: Signals, judged: Judged) -> None:
        """Step 5: what was seen of the caller, and what it amounts to."""
        self.body, self.said = b"", None
        record, content, verdict = self._record, call.content, judged.verdict
        record.client, record.client_fingerprint = call.client.family, call.client.fingerprint
        record.country, record.network = call.network.country, call.network.place
        record.network_kind = call.network.kind
        record.system_hash, record.tools_hash = content.system, content.tools
        record.prefix_hash, record.script = content.prefix, content.script
        record.unknown_signals = call.unknown
        if judged.opinion.total:
            record.log_e = round(judged.opinion.total, 2)
        record.evidence += tuple(
            f"{finding.kind} {finding.detector}: {finding.reason}" for finding in verdict.findings
        )
        if not verdict.acts and verdict.action != "allow":
            record.would = verdict.action

    def send(self, now_s: float) -> None:
        """The request leaves for the provider."""
        self._sent_s = now_s

    def answer(self, status: int, provider_request_id: bytes) -> None:
        """The provider's head is there."""
        self._record.provider_status = status
        self._record.provider_request_id = provider_request_id.decode("latin-1")

    def resume(self, now_s: float, passage: Passage) -> None:
        """The provider's part is over."""
        self._resumed_s, self._first_byte_s = now_s, passage.first_byte_s
        self.has_started = passage.has_started

    def meter(self, metered: Metered) -> None:
        """Step 8."""
        record, usage, answered = self._record, metered.usage, metered.answered
        record.outcome = answered.outcome.value
        record.status = answered.status
        record.model_answered = answered.reading.model[:256]
        interruption = answered.interruption
        if interruption is not None:
            record.refusal = interruption.code
            self._name_incident(interruption)
        if usage is not None:
            record.input_tokens = usage.input_tokens
            record.cached_tokens = usage.cached_tokens
            record.cache_write_tokens = usage.cache_write_5m + usage.cache_write_1h
            record.output_tokens = usage.output_tokens
            record.reasoning_tokens = usage.reasoning
            record.service_tier = usage.service_tier
        if metered.charge is not None:
            record.is_estimate = metered.charge.is_estimate
            record.doubts = metered.doubts

    def settle(self, settled: Settled) -> None:
        """Step 9."""
        if settled.settlement is not None:
            self._record.cost_nusd = settled.settlement.cost_nusd
        self._record.verdict = "allow"

    def refuse(self, refusal: Refusal) -> None:
        """A "no" at any step; of an answer that was begun only the fault is noted."""
        self._name_incident(refusal)
        if self.has_started and self._record.status:
            return
        self._record.refusal = refusal.code
        self._record.status = refusal.status
        self._record.verdict = "refuse"

    def _name_incident(self, refusal: Refusal) -> None:
        """Under which incident the call was held back, or its answer stopped."""
        self._record.incident = str(dict(refusal.facts).get("incident") or "")

    @staticmethod
    def describe(bug: Exception) -> str:
        """Where one of our own bugs stands: file, line and type, never a value (S-5)."""
        frames = traceback.extract_tb(bug.__traceback__)
        last = frames[-1] if frames else None
        at = f" at {last.filename.rpartition('/')[2]}:{last.lineno}" if last else ""
        return f"{type(bug).__name__}{at}"

    def record(self, clock: Clock) -> Record:
        """The finished record. `guard_us` is everything that was not the provider's time."""
        record, now_s = self._record, clock.monotonic_s()
        record.fault = self.fault
        total_s = now_s - self._began_s
        theirs_s = 0.0
        if self._sent_s is not None:
            theirs_s = (self._resumed_s or now_s) - self._sent_s
            if self._first_byte_s is not None:
                record.ttft_ms = round((self._first_byte_s - self._began_s) * 1000)
        record.total_ms = round(total_s * 1000)
        record.guard_us = max(0, round((total_s - theirs_s) * 1_000_000))
        return record


def without_keys(text: str) -> str:
    """What a caller said about itself, up to one of our keys: put in a wrong place by mistake, it
    must not be kept there (S-5)."""
    return text.partition(PREFIX)[0]
