"""/metrics in Prometheus' text form, named after OpenTelemetry's GenAI conventions.

Labels are bounded: a model becomes a label only once a provider has answered for it, and only
the first `MODELS_MAX` of them; whoever sends random names makes no new series.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, get_args

import msgspec
from prometheus_client import Gauge, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from tokenward.http.series import Spread, Totals
from tokenward.kernel.conventions import OPERATIONS
from tokenward.kernel.events import Record
from tokenward.policy.verdict import Action

MODELS_MAX: Final = 200
SAMPLES_AT_ONCE: Final = 1000
_HEADS: Final = re.compile(rb"^(?=# HELP )", re.MULTILINE)
SECONDS: Final = (
    0.01,
    0.02,
    0.04,
    0.08,
    0.16,
    0.32,
    0.64,
    1.28,
    2.56,
    5.12,
    10.24,
    20.48,
    40.96,
    81.92,
)
GUARD_SECONDS: Final = (0.0001, 0.0002, 0.0004, 0.0008, 0.0016, 0.0032, 0.0064, 0.0128, 0.1, 1.0)
WHERE: Final = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")
STOPS: Final = tuple(action for action in get_args(Action) if action != "allow")
"""What evidence does. Shown from the start: what a series is born with is no increase to
Prometheus, and the first incident would raise no alarm."""
FAMILY_REVOKED: Final = "family revoked"
"""What the incident of a refresh token that was used twice does."""
TOKENS: Final = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576)


class Metrics:
    """Counts every record; cheap enough for every request."""

    def __init__(self) -> None:
        self.others: Callable[[], Awaitable[list[Shown]]] | None = None
        """What the other processes of this guard count, where there are any."""
        self._models: set[str] = set()
        self._duration = Spread(
            "gen_ai_server_request_duration_seconds",
            "Time of a guarded call, provider included.",
            (*WHERE, "error_type"),
            SECONDS,
        )
        self._first = Spread(
            "gen_ai_server_time_to_first_token_seconds",
            "Time until the first byte of the answer's body.",
            WHERE,
            SECONDS,
        )
        self._tokens = Spread(
            "gen_ai_client_token_usage",
            "Tokens a call, as billed.",
            ("gen_ai_token_type", "gen_ai_provider_name", "gen_ai_request_model"),
            TOKENS,
        )
        self._requests = Totals(
            "tokenward_requests",
            "Requests by what became of them; `refusal` is the refusal's code or empty.",
            ("dialect", "status", "refusal"),
        )
        self._cost = Totals(
            "tokenward_cost_usd",
            "What calls cost, in US dollars.",
            ("gen_ai_request_model",),
        )
        self._guard = Spread(
            "tokenward_guard_seconds",
            "The guard's own time a request, without the provider's.",
            (),
            GUARD_SECONDS,
        )
        self._incidents = Totals(
            "tokenward_incidents", "Incidents opened, by what was done.", ("action",)
        )
        self._would = Totals(
            "tokenward_would",
            "Calls that were let through and only observed, by what evidence would have done.",
            ("action",),
        )
        for action in (*STOPS, FAMILY_REVOKED):
            self._incidents.add((action,), 0)
        for action in STOPS:
            self._would.add((action,), 0)
        self._counted: tuple[Totals | Spread, ...] = (
            self._duration,
            self._first,
            self._tokens,
            self._requests,
            self._cost,
            self._guard,
            self._incidents,
            self._would,
        )
        self._gauges: list[Gauge] = []

    def watch(self, name: str, what: str, value: Callable[[], float]) -> None:
        """A gauge that is read when somebody looks."""
        gauge = Gauge(f"tokenward_{name}", what, registry=None)
        gauge.set_function(value)
        self._gauges.append(gauge)

    def opened(self, action: str) -> None:
        """Count an incident: what it did, a word of the code's own."""
        self._incidents.add((action,))

    def observe(self, record: Record) -> None:
        """Count one request."""
        model = self._model(record)
        if record.would and record.verdict != "refuse":  # what was refused anyway lost nothing
            self._would.add((record.would,))
        self._requests.add((record.dialect, str(record.status), record.refusal))
        self._guard.observe((), record.guard_us / 1_000_000)
        if record.provider_status is None:
            return
        provider = record.provider
        operation = OPERATIONS.get(record.route, record.route)
        error = record.refusal or (str(record.status) if record.status >= 300 else "")
        self._duration.observe((operation, provider, model, error), record.total_ms / 1000)
        if record.ttft_ms is not None:
            self._first.observe((operation, provider, model), record.ttft_ms / 1000)
        if record.input_tokens or record.output_tokens:
            self._tokens.observe(("input", provider, model), record.input_tokens)
            self._tokens.observe(("output", provider, model), record.output_tokens)
        if record.cost_nusd:
            self._cost.add((model,), record.cost_nusd / 1_000_000_000)

    def _model(self, record: Record) -> str:
        if record.provider_status is None or record.provider_status >= 300:
            return record.model if record.model in self._models else ""
        if record.model not in self._models and len(self._models) < MODELS_MAX:
            self._models.add(record.model)
        return record.model if record.model in self._models else "other"

    async def text(self) -> bytes:
        """The exposition, text format 0.0.4: the sums over all processes. Raises `StoreError`
        where the others cannot be asked. Other work goes on while it is written."""
        if self.others is None:
            return await _written(self.pieces())
        summed = _Sums()
        summed.add(self.shown(), is_living=True)
        for is_living, shown in await self.others():
            await asyncio.sleep(0)
            summed.add(shown, is_living)
        return await _written(summed.pieces())

    def pieces(self) -> Iterator[Metric]:
        """What this process counts, some series at a time."""
        for counted in self._counted:
            yield from counted.pieces()
        for gauge in self._gauges:
            yield from gauge.collect()

    def shown(self) -> bytes:
        """What this process counts, for another one of the same guard to add up."""
        families = [
            (
                metric.name,
                metric.type,
                metric.documentation,
                [(each.name, tuple(each.labels.items()), each.value) for each in metric.samples],
            )
            for source in (*self._counted, *self._gauges)
            for metric in source.collect()
        ]
        return msgspec.msgpack.encode(families)


Shown = tuple[bool, bytes]
"""Whether a process lives, and what it counted (`Metrics.shown`)."""
_Labels = tuple[tuple[str, str], ...]
_read_shown: Final = msgspec.msgpack.Decoder(
    list[tuple[str, str, str, list[tuple[str, _Labels, float]]]]
).decode


async def _written(pieces: Iterator[Metric]) -> bytes:
    """The exposition of metrics that come in pieces, each under its one head."""
    blocks: dict[bytes, list[bytes]] = {}
    for piece in pieces:
        for block in _HEADS.split(generate_latest(_Piece(piece)))[1:]:
            what, kind, lines = block.split(b"\n", 2)
            blocks.setdefault(what + b"\n" + kind + b"\n", []).append(lines)
        await asyncio.sleep(0)
    return b"".join(part for head, lines in blocks.items() for part in (head, *lines))


class _Piece(Collector):
    """A piece, as the library takes it."""

    def __init__(self, piece: Metric) -> None:
        self._piece = piece

    def collect(self) -> Iterator[Metric]:
        """Just it."""
        yield self._piece


class _Sums:
    """Counts and gauges of several processes, added up. Of one that is gone only counts remain,
    so that they never go back; a series began when the first of them did."""

    def __init__(self) -> None:
        self._families: dict[str, tuple[str, str, dict[tuple[str, _Labels], float]]] = {}

    def add(self, shown: bytes, is_living: bool) -> None:
        """One process more."""
        for name, kind, what, samples in _read_shown(shown):
            if kind == "gauge" and not is_living:
                continue
            sums = self._families.setdefault(name, (kind, what, {}))[2]
            for sample, labels, value in samples:
                series = (sample, labels)
                if series not in sums:
                    sums[series] = value
                elif sample.endswith("_created"):
                    sums[series] = min(sums[series], value)
                else:
                    sums[series] += value

    def pieces(self) -> Iterator[Metric]:
        """As the exposition wants them, some samples at a time."""
        for name, (kind, what, sums) in self._families.items():
            samples = list(sums.items())
            for start in range(0, max(1, len(samples)), SAMPLES_AT_ONCE):
                metric = Metric(name, what, kind)
                for (sample, labels), value in samples[start : start + SAMPLES_AT_ONCE]:
                    metric.add_sample(sample, dict(labels), value)
                yield metric
