"""`benchmarks/overhead.py` compares pairs, in random order, with everything on."""

import random
import time
from itertools import cycle, product

import pytest
from benchmarks.overhead import in_turn, lines_of, measure
from benchmarks.rig import Rig

from benchmarks import options

QUANTILES = ("p50", "p95", "p99")
NOTICED_S = 20.0


class Told:
    """Says how long its calls take and writes down that they were made."""

    def __init__(self, name: str, took_s: list[float], order: list[str]) -> None:
        self._name, self._took_s, self._order = name, cycle(took_s), order

    def call_s(self) -> float:
        self._order.append(self._name)
        return next(self._took_s)

    def close(self) -> None:
        self._order.append(f"{self._name} closed")


@pytest.mark.req("P-1")
def test_each_round_goes_over_all_in_random_order_and_its_differences_count() -> None:
    order: list[str] = []
    lines = {
        "direct": Told("direct", [0.001, 0.003], order),
        "guarded": Told("guarded", [0.002, 0.005], order),
    }
    found = in_turn(lines, 40, random.Random(1), warm_up=0)
    assert order[-2:] == ["direct closed", "guarded closed"]
    rounds = [tuple(order[at : at + 2]) for at in range(0, 80, 2)]
    assert {frozenset(each) for each in rounds} == {frozenset(lines)}
    assert len(set(rounds)) == 2, "both orders occur"
    # 1 ms and 2 ms more, by turns: paired, not the difference of the medians
    assert found["added_by_guarded_us"]["median"] == 1_500
    assert found["added_by_guarded_us"]["iqr"] == [1_000, 2_000]
    assert found["pairs"] == 40


@pytest.mark.req("P-4")
def test_each_of_several_has_its_own_difference_from_direct() -> None:
    order: list[str] = []
    lines = {
        "direct": Told("direct", [0.001], order),
        "ours": Told("ours", [0.002], order),
        "theirs": Told("theirs", [0.009], order),
    }
    found = in_turn(lines, 12, random.Random(1), warm_up=0)
    assert found["added_by_ours_us"]["median"] == 1_000
    assert found["added_by_theirs_us"]["median"] == 8_000
    assert len({tuple(order[at : at + 3]) for at in range(0, 36, 3)}) > 2


@pytest.mark.req("P-1")
def test_a_machine_that_is_in_use_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "BUSY_SHARE_MAX", -1.0)
    monkeypatch.setattr(options, "LOOKS", 1)
    with pytest.raises(SystemExit, match="of this machine is in use"):
        options.refuse_busy()


@pytest.mark.req("P-1", "P-2", "P-3")
def test_added_latency_is_told_for_small_bound_and_large_calls(rig: Rig) -> None:
    found = measure(rig, random.Random(1), share=0.004, rate=50)
    for row in (
        "small_prompt",
        "small_prompt_dpop",
        "prompt_of_50000_tokens",
        "prompt_of_100000_tokens",
    ):
        for name in ("direct_us", "guarded_us", "added_by_guarded_us"):
            assert [*sorted(found[row][name][q] for q in QUANTILES)] == [
                found[row][name][q] for q in QUANTILES
            ]
        low, high = found[row]["added_by_guarded_us"]["iqr"]
        assert low <= found[row]["added_by_guarded_us"]["median"] <= high
    for each, name in product(QUANTILES, ("added_by_relayed_us", "added_by_guarded_us")):
        low, high = found["fixed_rate"][name][each]["iqr"]
        assert low <= found["fixed_rate"][name][each]["median"] <= high
    small, large, huge = found["request_bytes"].values()
    assert small < 1_000 < 200_000 < large < 400_000 < huge
    assert found["guard_processes"] == 1
    assert any("settled" in what for what in found["on"])
    assert any("scored" in what for what in found["on"])


@pytest.mark.req("P-2")
def test_what_is_said_to_be_on_is_on_for_every_call(rig: Rig) -> None:
    before, calls_before, calls = rig.spent_nusd(), rig.calls(), 8
    in_turn(lines_of(rig), calls, random.Random(1), warm_up=0)
    after = rig.spent_nusd()
    risen = {kind: after[kind] - before[kind] for kind in after}
    assert risen["key"] == risen["project"] == risen["account"] > 0
    assert rig.calls() == calls_before + calls
    until_s = time.monotonic() + NOTICED_S
    while len(records := rig.admin("GET", "/records?limit=1000")) < calls_before + calls:
        assert time.monotonic() < until_s, "a call has no record"
        time.sleep(0.02)
    assert {record["verdict"] for record in records[:calls]} == {"allow"}
