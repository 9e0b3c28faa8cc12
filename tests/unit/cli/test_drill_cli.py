"""`tokenward drill`: which stories, by whose rules, and how it ends."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tokenward.cli.drill import _report
from unit.cli.command import PATIENT, Done


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
    honest = {"name": "travel", "benign": True, "owner_calls": 9, "owner_refused": 0, "actions": []}
    alarms = {"owner_calls": 9, "refused": 0, "held": 0}
    value = {"stories": [honest], "false_alarms": alarms, "countries": False, "seed": 1}
    told = _report(value)
    assert told.startswith(
        "Played without countries and systems (pip install 'tokenward[network]')"
    )
    assert "Caught" not in told
    assert "\nOf 9 honest calls 0 were refused." in told
    held = {**value, "false_alarms": {"owner_calls": 9, "refused": 1, "held": 1}}
    assert "1 were refused, 1 for the first use of a dearer model." in _report(held)
    assert _report({**value, "countries": True}).startswith("HONEST CHANGE")


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
