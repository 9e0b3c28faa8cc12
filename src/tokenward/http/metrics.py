"""/metrics in Prometheus' text form, named after OpenTelemetry's GenAI conventions.

Labels are bounded: a model becomes a label only once a provider has answered for it, and only
the first `MODELS_MAX` of them; whoever sends random names makes no new series.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Final, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from tokenward.kernel.conventions import OPERATIONS
from tokenward.kernel.events import Record

MODELS_MAX: Final = 200
SERIES_MAX: Final = 4096
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
TOKENS: Final = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576)


M = TypeVar("M", Counter, Histogram)


def _series(metric: M) -> Callable[..., M]:
    """The metric's own look-up by labels, remembered: it takes a lock and reads every label."""
    return lru_cache(maxsize=SERIES_MAX)(metric.labels)


class Metrics:
    """Counts every record; cheap enough for every request."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=False)

        self._models: set[str] = set()
        self._duration = _series(
            Histogram(
                "gen_ai_server_request_duration_seconds",
                "Time of a guarded call, provider included.",
                (*WHERE, "error_type"),
                buckets=SECONDS,
                registry=self.registry,
            )
        )
        self._first = _series(
            Histogram(
                "gen_ai_server_time_to_first_token_seconds",
                "Time until the first byte of the answer's body.",
                WHERE,
                buckets=SECONDS,
                registry=self.registry,
            )
        )
        self._tokens = _series(
            Histogram(
                "gen_ai_client_token_usage",
                "Tokens a call, as billed.",
                ("gen_ai_token_type", "gen_ai_provider_name", "gen_ai_request_model"),
                buckets=TOKENS,
                registry=self.registry,
            )
        )
        self._requests = _series(
            Counter(
                "tokenward_requests",
                "Requests by what became of them; `refusal` is the refusal's code or empty.",
                ("dialect", "status", "refusal"),
                registry=self.registry,
            )
        )
        self._cost = _series(
            Counter(
                "tokenward_cost_usd",
                "What calls cost, in US dollars.",
                ("gen_ai_request_model",),
                registry=self.registry,
            )
        )
        self._guard = Histogram(
            "tokenward_guard_seconds",
            "The guard's own time a request, without the provider's.",
            buckets=GUARD_SECONDS,
            registry=self.registry,
        )
        self._add_gauge = partial(Gauge, registry=self.registry)

    def watch(self, name: str, what: str, value: Callable[[], float]) -> None:
        """A gauge that is read when somebody looks."""
        self._add_gauge(f"tokenward_{name}", what).set_function(value)

    def observe(self, record: Record) -> None:
        """Count one request."""
        model = self._model(record)
        self._requests(record.dialect, str(record.status), record.refusal).inc()
        self._guard.observe(record.guard_us / 1_000_000)
        if record.provider_status is None:
            return
        where = (record.provider, model)
        operation = OPERATIONS.get(record.route, record.route)
        error = record.refusal or (str(record.status) if record.status >= 300 else "")
        self._duration(operation, *where, error).observe(record.total_ms / 1000)
        if record.ttft_ms is not None:
            self._first(operation, *where).observe(record.ttft_ms / 1000)
        if record.input_tokens or record.output_tokens:
            self._tokens("input", *where).observe(record.input_tokens)
            self._tokens("output", *where).observe(record.output_tokens)
        if record.cost_nusd:
            self._cost(model).inc(record.cost_nusd / 1_000_000_000)

    def _model(self, record: Record) -> str:
        if record.provider_status is None or record.provider_status >= 300:
            return record.model if record.model in self._models else ""
        if record.model not in self._models and len(self._models) < MODELS_MAX:
            self._models.add(record.model)
        return record.model if record.model in self._models else "other"

    def text(self) -> bytes:
        """The exposition, text format 0.0.4."""
        return generate_latest(self.registry)
