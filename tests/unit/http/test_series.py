"""Counts by labels look to Prometheus as its own classes' would."""

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from tokenward.http.metrics import TOKENS
from tokenward.http.series import Spread, Totals

AMOUNTS = (0, 0.5, 1, 4, 4.0001, 16, 1_048_576, 1_048_577, 1e12)


def lines(registry: CollectorRegistry) -> list[str]:
    """The exposition, without the moments at which series began."""
    text = generate_latest(registry).decode().splitlines()
    return [line.partition("_created")[0] if "_created" in line else line for line in text]


@pytest.fixture
def ours() -> CollectorRegistry:
    return CollectorRegistry(auto_describe=True)


@pytest.fixture
def theirs() -> CollectorRegistry:
    return CollectorRegistry(auto_describe=False)


def test_totals_are_shown_as_a_counter(ours: CollectorRegistry, theirs: CollectorRegistry) -> None:
    totals = Totals("spent_usd", "What was\nspent.", ("model", "why"))
    ours.register(totals)
    counter = Counter("spent_usd", "What was\nspent.", ("model", "why"), registry=theirs)
    assert lines(ours) == lines(theirs), "before anything was counted"
    for labels in (("b", 'a "quoted" one'), ("a", ""), ("b", 'a "quoted" one'), ("ü", "\\")):
        totals.add(labels)
        counter.labels(*labels).inc()
        totals.add(labels, 0.1)
        counter.labels(*labels).inc(0.1)
    assert lines(ours) == lines(theirs)


def test_a_spread_is_shown_as_a_histogram(
    ours: CollectorRegistry, theirs: CollectorRegistry
) -> None:
    spread = Spread("tokens", "Tokens.", ("sort", "model"), TOKENS)
    ours.register(spread)
    histogram = Histogram("tokens", "Tokens.", ("sort", "model"), buckets=TOKENS, registry=theirs)
    assert lines(ours) == lines(theirs), "before anything was counted"
    for amount in AMOUNTS:
        for labels in (("out", "m"), ("in", "m")):
            spread.observe(labels, amount)
            histogram.labels(*labels).observe(amount)
    assert lines(ours) == lines(theirs)


def test_a_spread_without_labels_is_shown_from_the_start(
    ours: CollectorRegistry, theirs: CollectorRegistry
) -> None:
    spread = Spread("wait_seconds", "Waits.", (), (0.0001, 0.5))
    ours.register(spread)
    histogram = Histogram("wait_seconds", "Waits.", buckets=(0.0001, 0.5), registry=theirs)
    assert lines(ours) == lines(theirs)
    spread.observe((), 0.5)
    histogram.observe(0.5)
    assert lines(ours) == lines(theirs)


def test_a_series_keeps_the_moment_it_began(ours: CollectorRegistry) -> None:
    totals, spread = Totals("calls", "Calls.", ("model",)), Spread("s", "S.", ("model",), (1.0,))
    ours.register(totals)
    ours.register(spread)
    totals.add(("m",))
    spread.observe(("m",), 1)
    names = ("calls_created", "s_created")
    began = [ours.get_sample_value(name, {"model": "m"}) for name in names]
    assert all(moment is not None and moment > 1e9 for moment in began)
    totals.add(("m",))
    spread.observe(("m",), 1)
    assert began == [ours.get_sample_value(name, {"model": "m"}) for name in names]


def test_two_metrics_of_one_name_are_refused(ours: CollectorRegistry) -> None:
    ours.register(Totals("calls", "Calls.", ()))
    with pytest.raises(ValueError, match="Duplicated"):
        Gauge("calls", "Calls.", registry=ours)
