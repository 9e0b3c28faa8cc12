"""`tokenward drill`: which stories, by whose rules, and how it ends."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from tokenward.cli.drill import _report, _why_missed
from tokenward.settings.shape import Policy
from unit.cli.command import PATIENT, Done

HONEST: Final[dict[str, Any]] = {
    "name": "travel",
    "benign": True,
    "owner_calls": 9,
    "owner_refused": 0,
    "owner_held": 0,
    "owner_slowed": 0,
    "actions": [],
}
THEFT: Final[dict[str, Any]] = {
    **HONEST,
    "name": "slow_drip",
    "benign": False,
    "caught": 0,
    "within": 0,
    "slowed": 0,
    "calls": 2,
    "cost_nusd": 0,
    "seconds": 0.1,
    "by": ["novelty"],
    "reasons": [],
    "expected": {"caught": True, "why": "its program is new"},
    "baselines": {},
    "owner_passes": True,
    "undone": None,
    "undos": 0,
}
VALUE: Final[dict[str, Any]] = {
    "false_alarms": {"owner_calls": 9, "refused": 0, "held": 0, "slowed": 0},
    "countries": True,
    "seed": 1,
    "suspect_calls_per_minute": 30,
}


def drilled(folder: Path, *arguments: str) -> Done:
    done = subprocess.run(
        [sys.executable, "-m", "tokenward", "drill", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, **PATIENT},
    )
    return Done(done.returncode, done.stdout, done.stderr)


def test_the_stories_can_be_listed(tmp_path: Path) -> None:
    done = drilled(tmp_path, "--list", "--json")
    names = {each["name"]: each["benign"] for each in done.value}
    assert names["public_repo"] is False
    assert names["sdk_upgrade"] is True


def test_an_unknown_story_is_wrong_usage_that_names_the_nearest(tmp_path: Path) -> None:
    done = drilled(tmp_path, "--story", "public_rep")
    assert done.status == 2
    assert "did you mean 'public_repo'?" in done.err


def test_a_story_that_cannot_be_played_here_is_not_offered(tmp_path: Path) -> None:
    done = drilled(tmp_path, "--story", "poisonin")
    assert done.status == 2
    assert "there is no story 'poisonin'" in done.err
    assert "poisoning" not in done.err


def test_a_report_says_what_the_guard_could_not_know_and_counts_no_thefts_without_any() -> None:
    value = {**VALUE, "stories": [HONEST], "countries": False}
    told = _report(value)
    assert told.startswith(
        "Played without countries and systems (pip install 'tokenward[network]')"
    )
    assert "Caught" not in told
    assert "\nOf 9 honest calls 0 were refused." in told
    held = {**value, "false_alarms": {"owner_calls": 9, "refused": 1, "held": 1, "slowed": 0}}
    assert "1 were refused, 1 for the first use of a dearer model." in _report(held)
    assert _report({**value, "countries": True}).startswith("HONEST CHANGE")


def test_a_report_names_whose_calls_were_refused_and_tells_apart_why() -> None:
    slowed = {**HONEST, "owner_refused": 10, "owner_slowed": 10, "actions": ["throttle"]}
    held = {**THEFT, "caught": 1, "owner_refused": 3, "owner_held": 1, "owner_slowed": 1}
    alarms = {"owner_calls": 18, "refused": 13, "held": 1, "slowed": 11}
    told = _report({**VALUE, "stories": [held, slowed], "false_alarms": alarms})
    assert (
        "Of 18 honest calls 13 were refused, 1 for the first use of a dearer model, 11 slowed, "
        "1 stopped as a stranger's. Seed 1"
    ) in told
    lines = told.splitlines()
    assert ["travel", "9", "10", "10", "throttle"] in [line.split() for line in lines]
    assert "Owner's calls refused in travel: 10 slowed." in lines
    assert (
        "Owner's calls refused in slow_drip: 1 for the first use of a dearer model, 1 slowed, "
        "1 stopped as a stranger's."
    ) in lines
    assert "30 calls in a minute" in lines[-1]
    assert "Owner's" not in _report({**VALUE, "stories": [HONEST]})


def test_a_theft_that_was_only_slowed_is_told_with_its_reasons() -> None:
    slowed = {**THEFT, "slowed": 5, "actions": ["throttle"], "reasons": ["the program is new"]}
    told = _report({**VALUE, "stories": [slowed]})
    assert told.splitlines()[1].split()[:2] == ["slow_drip", "slowed"]
    assert "slow_drip: slowed to 30 calls a minute: the program is new\n" in told
    assert "Caught 0 of the 1 thefts that should be, slowed 1 more; " in told
    stopped = _report({**VALUE, "stories": [{**slowed, "caught": 1, "actions": ["challenge"]}]})
    assert "slowed" not in stopped


def test_what_was_expected_of_a_theft_does_not_explain_why_it_was_missed() -> None:
    told = _report({**VALUE, "stories": [THEFT]})
    assert "no (!)" in told
    assert "slow_drip: expected: its program is new\n" in told
    known = {**THEFT, "expected": {"caught": False, "why": "it looks the same"}}
    assert "slow_drip: it looks the same\n" in _report({**VALUE, "stories": [known]})


def test_the_last_word_on_a_miss_says_which_were_slowed() -> None:
    said = _why_missed(["slow_drip", "hydra"], ["slow_drip"], Policy())
    assert said == "not caught, and should have been: slow_drip (only slowed), hydra"


def test_a_story_of_many_days_is_left_to_the_lab(tmp_path: Path) -> None:
    done = drilled(tmp_path, "--story", "poisoning")
    assert done.status == 2
    assert "tokenward lab evaluate --story poisoning" in done.err


def test_settings_that_are_named_must_be_there(tmp_path: Path) -> None:
    done = drilled(tmp_path, "--config", "other.toml", "--json")
    assert done.status == 1
    assert "other.toml" in done.error["message"]


@pytest.mark.slow
def test_a_guard_that_only_observes_stops_nothing_and_the_drill_says_why(tmp_path: Path) -> None:
    (tmp_path / "tokenward.toml").write_text('[policy]\nmode = "observe"\n', "utf-8")
    done = drilled(tmp_path, "--story", "public_repo", "--json")
    (story,) = json.loads(done.out)["stories"]
    assert done.status == 1
    assert "observe" in json.loads(done.err)["error"]["message"]
    assert story["caught"] == 0
    assert story["calls"] > 20
    assert story["cost_nusd"] > 10**8
    assert story["incidents"] == []
    assert list(tmp_path.iterdir()) == [tmp_path / "tokenward.toml"]


@pytest.mark.slow
def test_the_table_is_for_people_and_no_bar_goes_into_a_pipe(tmp_path: Path) -> None:
    done = drilled(tmp_path, "--story", "slow_drip", "--story", "travel")
    assert done.status == 0
    assert done.err == ""
    assert "Caught 1 of the 1 thefts" in done.out
    assert "HONEST CHANGE" in done.out
    assert "\r" not in done.out
