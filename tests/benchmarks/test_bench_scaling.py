"""`benchmarks/scaling.py`, tiny: every call is counted once, whichever processes took it."""

import random
from contextlib import ExitStack

import pytest
import uvloop
from benchmarks.known_keys import measure_sizes
from benchmarks.scaling import running_fleets, take_turns
from benchmarks.shared_stores import running_stores

import postgres_server

TINY = {"calls": 64, "rounds": 2, "warm_up": 0, "hot_rate": 50, "hot_rate_s": 0.4}


@pytest.mark.req("O-1")
@pytest.mark.parametrize(("engine", "counts"), [("sqlite", (1, 2)), ("postgres", (2,))])
def test_calls_on_one_hot_account_and_on_many_are_each_counted_once(
    engine: str, counts: tuple[int, ...]
) -> None:
    if engine == "postgres":
        _skip_without_postgres()
    with running_fleets(engine, counts, keys=2) as fleets:
        found = uvloop.run(take_turns(fleets, random.Random(1), **TINY))
        for fleet in fleets:
            assert fleet.answered + fleet.refused == 64 + 2 * (64 + 64) + 20
            assert fleet.answered_hot <= 2 * 64 + 20
            fleet.check()
        processes = {fleet.key: len(fleet.rig.family) for fleet in fleets}
    assert {name: row["processes"] for name, row in found.items()} == processes
    for row in found.values():
        for kind in ("spread", "hot"):
            low, high = row[kind]["calls_a_s"]["iqr"]
            assert 0 < low <= row[kind]["calls_a_s"]["median"] <= high
            assert 0 <= row[kind]["machine_used_share"] <= 1
            assert row[kind]["limited_by"]
        assert row["hot_account_at_50_calls_a_s"]["holds_a_s"] > 0
    first = next(iter(found.values()))
    assert first["percent_of_calls_a_s_of_the_first_row"]["median"] == 100


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_keys_written_in_bulk_are_known_to_a_guard_and_their_cost_is_told(engine: str) -> None:
    with ExitStack() as stack:
        urls = None
        if engine == "postgres":
            _skip_without_postgres()
            urls = stack.enter_context(running_stores()).urls()
        asked = {"used_max": 100, "calls": 80, "turns": 2, "is_pinned": False}
        found = measure_sizes((150,), urls, **asked)
    (row,) = found.values()
    assert (*found, row["keys_used"]) == (150, 100)
    assert set(row["cpu_us_a_call"]) == {"one key", "random keys"}
    assert min(row["rss_mb"].values()) > 10
    assert row["start_s"] > 0
    for name in ("list_all_keys", "audit", "reconcile"):
        assert 0 <= row[name]["of_these_refused"] <= row[name]["calls_meanwhile"]


def _skip_without_postgres() -> None:
    if why := postgres_server.why_not():
        pytest.skip(why)  # the wheel has no server for every kind of machine; it says which
