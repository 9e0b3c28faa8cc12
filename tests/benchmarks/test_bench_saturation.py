"""`benchmarks/saturation.py` sweeps over rates and tells where latency bends."""

import random

import pytest
import uvloop
from benchmarks.rig import Rig
from benchmarks.saturation import KNEE_TIMES, LIMITS_MS, frontier, knee, saturate, sweep

P99_MS = {100: 0.9, 500: 1.2, 1_000: 3.0, 1_500: 3.6, 2_000: 40.0, 2_500: 9.0, 3_000: 400.0}


@pytest.mark.req("O-6")
def test_the_knee_is_the_last_rate_before_p99_is_several_times_that_of_the_lowest() -> None:
    found = knee(P99_MS)
    assert (found["up_to_calls_a_s"], found["bent_at_calls_a_s"]) == (1_500, 2_000)
    assert found["times_p99_of_the_lowest_rate"] == KNEE_TIMES
    assert knee({100: 1.0, 200: 1.0})["bent_at_calls_a_s"] is None
    assert knee({})["up_to_calls_a_s"] is None


@pytest.mark.req("P-3")
def test_the_frontier_ends_where_a_limit_is_first_passed() -> None:
    assert frontier(P99_MS) == {1: 100, 5: 1_500, 10: 1_500, 50: 2_500, 100: 2_500}
    assert frontier({100: 1_000.0}) == dict.fromkeys(LIMITS_MS)


@pytest.mark.req("O-6", "P-3")
def test_a_sweep_tells_every_rate_that_was_kept_up_with_and_the_first_that_was_not(
    rig: Rig,
) -> None:
    too_many = 200_000  # for five thousandths of a second: a thousand calls show as much
    calls_before, dice = rig.calls(), random.Random(1)
    lost = uvloop.run(sweep(rig, dice, rates=(too_many,), rate_s=0.005, warm_up=0))
    assert lost["not_kept_up_with_calls_a_s"] == too_many
    assert lost["latency_us_at_calls_a_s"] == {}
    rates = (10, 20)
    found = uvloop.run(sweep(rig, dice, rates=rates, rate_s=0.5, rounds=2, warm_up=0))
    kept = found["latency_us_at_calls_a_s"]
    assert list(kept) == list(rates[: len(kept)])
    for row in kept.values():
        assert row["p50"] <= row["p95"] <= row["p99"]
        low, high = row["p99_of_rounds"]["iqr"]
        assert low <= row["p99_of_rounds"]["median"] <= high
    assert set(found["calls_a_s_at_p99_ms"]) == set(LIMITS_MS)
    rig.check()
    assert rig.calls() >= calls_before + 1_000


@pytest.mark.req("P-3")
def test_saturation_counts_cpu_and_calls_round_by_round(rig: Rig) -> None:
    calls_before = rig.calls()
    found = uvloop.run(saturate(rig, calls=100, rounds=3, warm_up=64))
    assert len(found["rounds"]["calls_a_s"]) == len(found["rounds"]["cpu_us_a_call"]) == 3
    assert found["calls_a_s"] in found["rounds"]["calls_a_s"]
    assert found["relay_cpu_us_a_call"] is None or found["relay_cpu_us_a_call"] > 0
    assert rig.calls() == calls_before + 64 + 3 * 100
