"""Counts by labels, kept as plain numbers and shown to Prometheus when somebody looks.

Its own classes take a lock for every number, which a process with one event loop does not need;
what is shown is the same, names and order too.
"""

import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import INF, floatToGoString

SERIES_AT_ONCE: Final = 50
Labels = tuple[str, ...]
"""The values of a metric's labels, in the order of their names."""


class Totals(Collector):
    """What only grows, added up by labels."""

    def __init__(self, name: str, what: str, labels: Labels) -> None:
        self._name = name
        self._what = what
        self._labels = labels
        self._began_s: dict[Labels, float] = {}
        self._sums: dict[Labels, float] = {}

    def add(self, labels: Labels, amount: float = 1.0) -> None:
        """So much more; `amount` >= 0."""
        if labels not in self._sums:
            self._began_s[labels] = time.time()
            self._sums[labels] = 0.0
        self._sums[labels] += amount

    def collect(self) -> Iterator[Metric]:
        """As the exposition wants it."""
        return _whole(self.pieces())

    def pieces(self) -> Iterator[Metric]:
        """The same, some series at a time."""
        for some in _some(self._sums):
            metric = Metric(self._name, self._what, "counter")
            for values in some:
                labels = dict(zip(self._labels, values, strict=True))
                metric.add_sample(f"{self._name}_total", labels, self._sums[values])
                metric.add_sample(f"{self._name}_created", labels, self._began_s[values])
            yield metric


class _Series:
    """How often each bucket was hit, and what was observed in all."""

    __slots__ = ("began_s", "hits", "total")

    def __init__(self, buckets: int) -> None:
        self.began_s = time.time()
        self.hits = [0] * buckets
        self.total = 0.0


class Spread(Collector):
    """How amounts are spread over buckets, by labels. `bounds` are the highest amounts of all
    buckets but the last, >= 0 and rising."""

    def __init__(self, name: str, what: str, labels: Labels, bounds: tuple[float, ...]) -> None:
        self._name = name
        self._what = what
        self._labels = labels
        self._bounds = bounds
        self._edges = tuple(
            # As prometheus_client writes it: 1048576 is 1.048576e+06.
            floatToGoString(bound)  # type: ignore[no-untyped-call]  # the library has no types here
            for bound in (*bounds, INF)
        )
        self._series: dict[Labels, _Series] = {}
        if not labels:
            self._begin(())

    def observe(self, labels: Labels, amount: float) -> None:
        """Count one amount."""
        series = self._series.get(labels) or self._begin(labels)
        series.hits[bisect_left(self._bounds, amount)] += 1
        series.total += amount

    def _begin(self, labels: Labels) -> _Series:
        series = self._series[labels] = _Series(len(self._edges))
        return series

    def collect(self) -> Iterator[Metric]:
        """As the exposition wants it."""
        return _whole(self.pieces())

    def pieces(self) -> Iterator[Metric]:
        """The same, some series at a time."""
        for some in _some(self._series):
            metric = Metric(self._name, self._what, "histogram")
            for values in some:
                self._show(values, metric)
            yield metric

    def _show(self, values: Labels, metric: Metric) -> None:
        labels, series = dict(zip(self._labels, values, strict=True)), self._series[values]
        hits = 0.0
        for edge, hit in zip(self._edges, series.hits, strict=True):
            hits += hit
            metric.add_sample(f"{self._name}_bucket", {**labels, "le": edge}, hits)
        metric.add_sample(f"{self._name}_count", labels, hits)
        metric.add_sample(f"{self._name}_sum", labels, series.total)
        metric.add_sample(f"{self._name}_created", labels, series.began_s)


def _some(series: Iterable[Labels]) -> Iterator[list[Labels]]:
    """Those there are now, some at a time; at least once, for a metric without any is shown too."""
    labels = list(series)
    for start in range(0, max(1, len(labels)), SERIES_AT_ONCE):
        yield labels[start : start + SERIES_AT_ONCE]


def _whole(pieces: Iterator[Metric]) -> Iterator[Metric]:
    """One metric of all its pieces."""
    metric = next(pieces)
    for piece in pieces:
        metric.samples += piece.samples
    yield metric
