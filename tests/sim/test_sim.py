"""Many worlds, each of which must be clean; and every kind of fault must have struck in some.

`make soak` runs 10,000. A bad seed is made small and put into `seeds.txt`, where it stays.
"""

from collections.abc import Callable

import pytest

from chance import soak
from sim.plan import FEATURES, Plan, draw, read
from sim.seeds import Tally, judge, kept

EACH = 50
"""Worlds to a test, so that several processes can share them."""
SOAK_EACH = 500
SHOWN = ("B-1", "B-2", "B-3", "F-1", "K-1", "K-2", "M-4", "M-5", "M-6", "M-7", "O-1", "O-4")


Report = Callable[[str, object], None]


def clean(plan: Plan) -> None:
    """Fails with all that is wrong, and how to see it again."""
    wrong, _ = judge(plan)
    assert not wrong, told(plan, wrong)


def told(plan: Plan, wrong: list[str]) -> str:
    """What is wrong with a world, and how to see it again."""
    return "\n".join((f"PYTHONPATH=tests .venv/bin/python -m sim {plan}", *wrong))


def all_clean(first: int, count: int, record_property: Report) -> None:
    """Worlds of that many seeds, in which together every feature did something: a fault that never
    strikes has tested nothing."""
    tally, bad = Tally(), []
    for seed in range(first, first + count):
        wrong, _ = judge(draw(seed), tally)
        if wrong:
            bad.append(told(draw(seed), wrong))
    print(f"{count - len(bad)} of {count} worlds clean: {tally}")
    record_property("worlds", count)
    record_property("clean worlds", count - len(bad))
    assert not bad, "\n\n".join(bad)
    assert [feature for feature in FEATURES if not tally.fired[feature]] == []


@pytest.mark.req(*SHOWN)
@pytest.mark.parametrize("first", range(0, 200, EACH))
def test_every_world_keeps_every_promise(first: int, record_property: Report) -> None:
    all_clean(first, EACH, record_property)


@pytest.mark.parametrize("first", [soak(n, limit_s=3600) for n in range(0, 10_000, SOAK_EACH)])
def test_ten_thousand_worlds_keep_every_promise(first: int, record_property: Report) -> None:
    all_clean(first, SOAK_EACH, record_property)


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
