"""`benchmarks/peers/overhead.py`, tiny and with gateways that are installed everywhere."""

import random

import pytest
from benchmarks.peers.overhead import PEERS, USUAL, measure, running


@pytest.mark.req("P-4")
def test_gateways_are_compared_in_one_run_with_the_same_code() -> None:
    assert {"tokenward", "litellm"} <= set(USUAL) <= set(PEERS)
    with running(["tokenward-sqlite"]) as servers:
        found = measure(
            servers,
            random.Random(1),
            pairs=6,
            large_pairs=3,
            turns=2,
            turn_s=0.4,
            warm_up=2,
            calls=32,
            rounds=2,
        )
    assert list(servers) == ["direct", "tokenward-sqlite"]
    assert found["gateways"]["tokenward-sqlite"]["settings"] == "SQLite"
    assert found["small_prompt"]["pairs"] == 6
    assert len(found["small_prompt"]["added_by_tokenward-sqlite_us"]["iqr"]) == 2
    assert found["fixed_rate"]["turns"] == 2
    assert found["saturated"]["tokenward-sqlite"]["calls_a_s"] > 0
    assert found["processes"] == {"tokenward-sqlite": 1}
