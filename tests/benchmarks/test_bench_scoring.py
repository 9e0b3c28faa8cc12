"""`benchmarks/scoring.py` and `benchmarks/pasts.py`, tiny: what they count, never a time."""

import json
import subprocess
import sys
from typing import Any

import pytest
from benchmarks.callers import MIXTURE
from benchmarks.pasts import STATED, Lived, fullest, live, size_of
from benchmarks.scoring import PARTS, QUICK, Cost, told

from house.source import ROOT
from tokenward.detectors.past import BYTES_MAX, Origin, Past, pack, unpack
from tokenward.pipeline.remembering import FOLD_MAX

SPREAD = ("p50", "p95", "p99", "max")


def quick(name: str) -> dict[str, Any]:
    """What the benchmark says, run tiny in a process of its own: it tunes the interpreter."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", "--quick"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def scoring() -> dict[str, Any]:
    return quick("scoring")


@pytest.fixture(scope="module")
def pasts() -> dict[str, Any]:
    return quick("pasts")


def test_every_case_of_scoring_tells_each_part_of_so_many_calls(scoring: dict[str, Any]) -> None:
    cases = scoring["cases"]
    assert {case: row["calls"] for case, row in cases.items()} == QUICK
    for row in cases.values():
        assert tuple(row["us"]) == PARTS
        for spread in row["us"].values():
            assert [spread[name] for name in SPREAD] == sorted(spread.values())
            assert spread["p50"] > 0


def test_owners_calls_are_usual_to_the_guard_and_strangers_are_not(scoring: dict[str, Any]) -> None:
    cases = scoring["cases"]
    for case in ("familiar", "familiar_50_kb", "worst_800_kb"):
        assert (cases[case]["usual"], cases[case]["refused"]) == (QUICK[case], 0), case
    assert (cases["stranger"]["usual"], cases["stranger"]["refused"]) == (0, QUICK["stranger"])
    assert cases["hostile_head"]["usual"] == 0
    mixed = cases["mixture"]
    assert mixed["usual"] + mixed["refused"] == mixed["calls"]
    assert 0 < mixed["refused"] < 4 * MIXTURE["stranger"] * mixed["calls"]


def test_scoring_runs_with_all_that_is_known_of_networks_and_says_whether_it_met_its_target(
    scoring: dict[str, Any],
) -> None:
    assert min(scoring["networks"][name] for name in ("datacenter", "vpn", "systems")) > 0
    assert scoring["kept_addresses"]["misses"] > 0
    assert scoring["kept_heads"]["misses"] > 0
    assert len(scoring["collections"]) == 3
    assert scoring["required_of_mixture_us"] == {"p50": 150, "p99": 500}
    mixed = scoring["cases"]["mixture"]["us"]
    for said, part in (("is_met", "in_all"), ("is_met_by_cpu", "cpu")):
        assert scoring[said] == (mixed[part]["p50"] <= 150 and mixed[part]["p99"] <= 500)


def test_costs_are_told_by_part_in_microseconds() -> None:
    row = told([Cost((at * 1_000,) * len(PARTS), at % 2 == 0, at == 99) for at in range(101)])
    assert (row["calls"], row["usual"], row["refused"]) == (101, 51, 1)
    assert row["us"]["in_all"] == {"p50": 50.0, "p95": 95.0, "p99": 99.0, "max": 100.0}


def test_pasts_of_keys_are_counted_packed_stored_and_in_memory(pasts: dict[str, Any]) -> None:
    assert pasts["keys"] == 500
    assert 0 < pasts["owners"] <= 12
    packed = pasts["packed_bytes"]
    assert set(packed) <= {"all", "developer", "app", "public"}
    assert 100 < packed["all"]["p50"] <= packed["all"]["p95"] <= packed["all"]["max"] <= BYTES_MAX
    assert pasts["stored"]["database_bytes_a_key"] > 0.8 * packed["all"]["p50"]
    assert pasts["times"]["find_ms"]["p50"] > 0
    assert pasts["times"][f"fold_of_{FOLD_MAX}_ms"]["p50"] > 0


def test_memory_keeps_as_many_keys_as_it_may_and_a_key_in_use_takes_more(
    pasts: dict[str, Any],
) -> None:
    memory = pasts["memory"]
    assert memory["keys"] == 100
    sizes = [memory[name]["bytes_a_key"]["p50"] for name in ("recalled", "in_use")]
    assert 0 < sizes[0] < sizes[1] < pasts["at_most"]["in_memory_bytes"]


def test_what_the_documents_state_of_pasts_is_held_against_what_was_found(
    pasts: dict[str, Any],
) -> None:
    page = (ROOT / "docs" / "explanation" / "evidence.md").read_text("utf-8")
    low, high = STATED["packed_typically"]
    assert f"{low / 1_000:g} to {high / 1_000:g} kB in the store" in page
    assert f"{STATED['in_memory_in_use'] // 1_000} kB" in page
    assert f"{STATED['keys_in_memory_at_most']:,}" in page
    judged = pasts["is_as_stated"]
    assert judged["packed_at_most"]
    assert judged["keys_in_memory_at_most"]
    assert len(judged) == 5


def test_the_fullest_past_is_whole_and_within_the_limit() -> None:
    full = fullest()
    assert BYTES_MAX * 0.8 < len(pack(full)) <= BYTES_MAX
    again = unpack(pack(full))
    assert again is not None
    assert pack(again) == pack(full)


def test_owners_are_lived_alike_each_time_and_differ() -> None:
    lived = [live(number) for number in range(6)]
    assert lived == [live(number) for number in range(6)]
    some = [each for each in lived if isinstance(each, Lived)]
    assert len({each.blob for each in some}) == len(some) >= 3
    assert all(each.calls for each in some)


def test_a_walk_counts_what_an_object_holds_once() -> None:
    text = "x" * 1_000
    assert size_of([text, text]) == size_of([text, None])
    assert size_of(Past(origins={text: Origin(1, 2)})) > size_of(Past()) + 1_000
