"""`benchmarks/streams.py` and `benchmarks/memory.py`, tiny."""

import random

import pytest
import uvloop
from benchmarks.memory import grow
from benchmarks.rig import Rig
from benchmarks.streams import first_pieces, many


@pytest.mark.req("P-3")
def test_first_pieces_and_gaps_are_told_in_quantiles_direct_and_guarded(rig: Rig) -> None:
    calls_before = rig.calls()
    first = first_pieces(rig, random.Random(1), pairs=4)
    assert first["pairs"] == 4
    for name in ("relayed", "guarded"):
        assert len(first[f"added_by_{name}_us"]["iqr"]) == 2
    at_once = uvloop.run(many(rig, random.Random(1), at_once=2, turns=2, streams=4, calls=8))
    for what in ("first_piece", "gap"):
        for name in ("direct", "guarded"):
            row = at_once[f"{name}_{what}_us"]
            assert row["p50"] <= row["p95"] <= row["p99"]
    guarded = 1 + 4 + (4 + 2 * 4) + (4 + 2 * 8)
    assert rig.spent_nusd()["key"] > 0
    assert rig.calls() == calls_before + guarded


@pytest.mark.req("O-5", "P-3")
def test_memory_is_told_idle_steady_at_its_most_and_recovered(rig: Rig) -> None:
    found = uvloop.run(grow(rig, after_calls=(64, 128), rush_calls=64, rests_s=(0.1, 0.2)))
    assert set(found["after_calls"]) == {64, 128}
    assert set(found["recovered"]) == {"after 0.1 s", "after 0.2 s"}
    sizes_mb = [found["idle"], found["steady"], found["most_in_a_rush_of_large_prompts"]]
    assert all(size > 10 for size in (*sizes_mb, *found["recovered"].values()))
