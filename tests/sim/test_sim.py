"""Many worlds, each of which must be clean; and every kind of fault must have struck in some.

`make soak` runs 10,000. A bad seed is made small and put into `seeds.txt`, where it stays.
"""

import pytest

from chance import soak
from sim.plan import FEATURES, Plan, draw, read
from sim.seeds import Tally, judge, kept

EACH = 50
"""Worlds to a test, so that several processes can share them."""
SOAK_EACH = 500
SHOWN = ("B-1", "B-2", "B-3", "F-1", "K-1", "K-2", "M-4", "M-5", "M-6", "M-7", "O-1", "O-4")


def clean(plan: Plan, tally: Tally | None = None) -> None:
    """Fails with all that is wrong, and how to see it again."""
    print(f"PYTHONPATH=tests .venv/bin/python -m sim {plan}")
    wrong, _ = judge(plan, tally)
    assert not wrong, f"{plan}\n" + "\n".join(wrong)


def all_clean(first: int, count: int) -> None:
    """Worlds of that many seeds, in which together every feature did something: a fault that never
    strikes has tested nothing."""
    tally = Tally()
    for seed in range(first, first + count):
        clean(draw(seed), tally)
    print(tally)
    assert [feature for feature in FEATURES if not tally.fired[feature]] == []


@pytest.mark.req(*SHOWN)
@pytest.mark.parametrize("first", range(0, 200, EACH))
def test_every_world_keeps_every_promise(first: int) -> None:
    all_clean(first, EACH)


@pytest.mark.parametrize("first", [soak(n, limit_s=3600) for n in range(0, 10_000, SOAK_EACH)])
def test_ten_thousand_worlds_keep_every_promise(first: int) -> None:
    all_clean(first, SOAK_EACH)


@pytest.mark.parametrize("text", kept())
def test_what_was_bad_once_is_good(text: str) -> None:
    clean(read(text))


def test_the_same_seed_tells_the_same_story() -> None:
    for seed in (1, 3, 34):
        assert judge(draw(seed))[1] == judge(draw(seed))[1]


def test_a_plan_can_be_written_down_and_read_again() -> None:
    for seed in range(50):
        plan = draw(seed)
        assert read(str(plan)) == plan
        assert all(read(str(less)) == less for less in plan.smaller())
