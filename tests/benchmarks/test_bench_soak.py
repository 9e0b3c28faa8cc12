"""`benchmarks/soak.py` for some seconds, and how it tells growth from going up and down."""

import random

import pytest
import uvloop
from benchmarks.flatness import Slack, judge
from benchmarks.mixture import GOOD
from benchmarks.soak import run, soaked, table

SLACKS = {"rss_mb": Slack(5.0)}


def samples(*values: float) -> list[dict[str, float]]:
    """One every ten seconds."""
    return [{"at_s": 10.0 * at, "rss_mb": value} for at, value in enumerate(values)]


@pytest.mark.req("O-5")
def test_what_grows_all_the_time_is_not_flat() -> None:
    found = judge(samples(*(100 + 0.5 * n for n in range(60))), SLACKS)["rss_mb"]
    assert not found["is_flat"]
    assert found["grew"] == pytest.approx(0.5 * 29)
    assert found["growth_an_hour"] == pytest.approx(0.05 * 3600)


@pytest.mark.req("O-5")
def test_what_only_goes_up_and_down_is_flat_and_so_is_what_filled_up_before_half_time() -> None:
    dice = random.Random(1)
    assert judge(samples(*(100 + dice.uniform(-8, 8) for _ in range(60))), SLACKS)["rss_mb"][
        "is_flat"
    ]
    filled = [100 + min(n, 20) for n in range(60)]
    assert judge(samples(*filled), SLACKS)["rss_mb"]["is_flat"]
    assert judge(samples(*(100.0 - n for n in range(60))), SLACKS)["rss_mb"]["is_flat"]


def test_a_saw_that_does_not_climb_is_flat_and_one_that_climbs_is_not() -> None:
    saw = [100 + n % 5 for n in range(60)]
    assert judge(samples(*saw), SLACKS)["rss_mb"]["is_flat"]
    climbing = [100 + n % 5 + n / 3 for n in range(60)]
    assert not judge(samples(*climbing), SLACKS)["rss_mb"]["is_flat"]


def test_slack_grows_with_what_there_is_and_with_the_processes_that_have_it() -> None:
    growing = samples(*(1_000 + n for n in range(60)))
    assert not judge(growing, {"rss_mb": Slack(5.0)})["rss_mb"]["is_flat"]
    assert judge(growing, {"rss_mb": Slack(5.0, share=0.05)})["rss_mb"]["is_flat"]
    each = {"rss_mb": Slack(5.0, of_each_process=True)}
    assert not judge(growing, each, processes=2)["rss_mb"]["is_flat"]
    assert judge(growing, each, processes=8)["rss_mb"]["is_flat"]


def test_a_few_samples_say_nothing() -> None:
    with pytest.raises(AssertionError, match="say nothing"):
        judge(samples(1, 2, 3), SLACKS)


@pytest.mark.slow
@pytest.mark.req("O-5")
def test_a_short_soak_counts_every_call_leaves_nothing_held_and_proves_its_ledger() -> None:
    lines: list[str] = []
    with soaked(workers=2) as guard:
        found = uvloop.run(
            run(
                guard,
                minutes=0.3,
                calls_a_s=20,
                look_every_s=0.5,
                change_every_s=1.0,
                tell=lines.append,
            )
        )
    answers = found["answers"]
    assert set(answers) == set(GOOD)
    assert all(sum(told.values()) > 0 for told in answers.values()), answers
    assert found["unexpected"] == {}
    assert found["calls"] == sum(sum(told.values()) for told in answers.values())
    of_admins = sum(answers["revoked meanwhile"].values())
    assert of_admins == 2 * found["admin_changes"]
    assert found["calls"] - of_admins + found["calls_left_out"] == (20 * 18)
    assert found["guard_processes"] == 3
    assert len(lines) == len(found["samples"])
    assert all(sample["processes"] == 3 for sample in found["samples"])
    afterwards = found["afterwards"]
    assert (afterwards["open_holds"], afterwards["running_calls"]) == (0, 0)
    assert afterwards["caps_agree"]
    assert afterwards["ledger_is_proved"]
    judged = {"rss_mb", "open_files", "threads", "open_holds", "running_calls", "wal_mb"}
    assert set(found["second_half"]) == judged
    assert len(table(found).splitlines()) == 1 + len(judged)
    assert found["is_flat"] == (found["why_not"] == [])
