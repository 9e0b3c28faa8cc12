"""The drill: real client programs, a real guard, and thieves that are stopped before they spend."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from unit.cli.command import PATIENT

STORIES = ("public_repo", "relay_panel", "v1_dear_models")


@pytest.fixture(scope="module")
def value(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the drill of three stories says. It fails where one is not caught."""
    chosen = [part for name in STORIES for part in ("--story", name)]
    done = subprocess.run(
        [sys.executable, "-m", "tokenward", "drill", "--json", *chosen],
        cwd=tmp_path_factory.mktemp("drill"),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, **PATIENT},
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def story(value: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in value["stories"] if each["name"] == name)
    return found


@pytest.mark.slow
@pytest.mark.req("K-7")
@pytest.mark.parametrize("name", STORIES)
def test_the_thief_is_stopped_in_time_and_the_reasons_can_be_read(
    value: dict[str, Any], name: str
) -> None:
    played = story(value, name)
    assert (played["caught"], played["within"], played["seeds"]) == (1, 1, 1)
    assert played["by"]
    assert "E2" in played["classes"]
    assert all(len(reason.split()) > 3 for reason in played["reasons"])
    assert played["baselines"]["cap"]["cost_nusd"] > 100 * max(played["cost_nusd"], 10**6)


@pytest.mark.slow
def test_the_trial_of_a_found_key_is_caught_before_the_first_costly_call(
    value: dict[str, Any],
) -> None:
    played = story(value, "public_repo")
    assert played["probe_caught"] == 1
    assert "probe" in played["by"]


@pytest.mark.slow
def test_a_go_relay_that_claims_a_python_sdk_is_seen_through_on_the_wire(
    value: dict[str, Any],
) -> None:
    played = story(value, "relay_panel")
    assert "go-relay (recorded)" in played["programs"]
    assert any("Go's net/http" in reason for reason in played["reasons"])


@pytest.mark.slow
@pytest.mark.req("K-8")
def test_the_first_use_of_a_dear_model_is_held_before_the_first_dollar(
    value: dict[str, Any],
) -> None:
    played = story(value, "v1_dear_models")
    assert (played["calls"], played["cost_nusd"]) == (0, 0)
    assert {"hold", "challenge"} & set(played["actions"])
    assert any("costs about" in reason for reason in played["reasons"])


@pytest.mark.slow
def test_owners_go_on_and_an_undo_gives_back_what_was_stopped(value: dict[str, Any]) -> None:
    alarms = value["false_alarms"]
    assert alarms["refused"] == alarms["held"] <= 1, "but for a dearer model, which is asked about"
    assert value["false_alarms"]["owner_calls"] >= 30
    for played in value["stories"]:
        assert played["owner_passes"] is not False
        assert played["undone"] is True
        assert (played["owner_passes"] is None) == ("freeze" in played["actions"])


@pytest.mark.slow
def test_a_thief_who_is_only_slowed_is_told_as_slowed_and_gives_up(tmp_path: Path) -> None:
    """Rates so low that no stranger is challenged, and a pace that every thief is above."""
    (tmp_path / "tokenward.toml").write_text(
        "[policy]\nfalse_challenges_per_key_month = 0.000001\n"
        "false_freezes_per_key_month = 0.000001\nsuspect_calls_per_minute = 1\n",
        "utf-8",
    )
    done = subprocess.run(
        [sys.executable, "-m", "tokenward", "drill", "--json", "--story", "slow_drip"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, **PATIENT},
    )
    assert done.returncode == 1
    assert "slow_drip (only slowed)" in json.loads(done.stderr)["error"]["message"]
    played = story(json.loads(done.stdout), "slow_drip")
    assert (played["caught"], played["actions"]) == (0, ["throttle"])
    assert 5 <= played["slowed"] <= 10, "a minute may begin meanwhile"
    assert played["sent"] == played["slowed"] + played["calls"] < 40
    assert played["other_refusals"] == {}
    assert played["reasons"]
    assert (played["owner_passes"], played["undone"]) == (True, True)


def test_no_folder_of_a_drill_is_left(tmp_path: Path) -> None:
    environ = {**os.environ, **PATIENT, "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "tokenward", "drill", "--story", "slow_drip"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=environ,
    )
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("tokenward-drill-*")) == []
