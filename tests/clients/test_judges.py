"""Other people's judges find the same through the guard as straight at the provider."""

from pathlib import Path
from typing import Any

import pytest

from guard import GuardProcess
from judges import COMPLY, canary, comply
from standin import StandinProcess
from tab import Tab
from vendor import node_modules


def verdict(result: dict[str, Any]) -> tuple[Any, ...]:
    """What must not change; times may."""
    return result["status"], result.get("errors"), result.get("warnings")


@pytest.mark.parametrize("form", COMPLY)
def test_llm_comply_finds_the_same_through_the_guard(
    form: str, guard: GuardProcess, standin: StandinProcess
) -> None:
    tab = Tab(guard, standin)
    direct = comply(form, standin.base_url, standin.credential)
    through = comply(form, guard.base_url, tab.key)
    assert {name: verdict(result) for name, result in through.items()} == {
        name: verdict(result) for name, result in direct.items()
    }
    assert sum(result["status"] == "passed" for result in through.values()) >= 8
    assert tab.spent_nusd() > 0


@pytest.mark.slow
def test_compatcanary_scores_the_same_through_the_guard(
    guard: GuardProcess, standin: StandinProcess, tmp_path: Path
) -> None:
    tab, modules = Tab(guard, standin), node_modules()
    direct = canary(modules, standin.base_url, standin.credential, tmp_path / "direct.json")
    through = canary(modules, guard.base_url, tab.key, tmp_path / "through.json")
    assert through["score"] == direct["score"] == 100
    assert tab.spent_nusd() > 0
