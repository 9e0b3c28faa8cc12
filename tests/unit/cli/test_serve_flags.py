"""What stands on the command line of `serve` stands above the settings."""

from argparse import Namespace
from pathlib import Path

from tokenward.cli.serve import _with_flags
from tokenward.settings import load
from tokenward.settings.judgement import rules_by_project


def flags(**given: object) -> Namespace:
    return Namespace(**{"host": None, "port": None, "workers": None, "observe": False, **given})


def test_who_only_observes_stops_nobody_in_any_project(tmp_path: Path) -> None:
    written = tmp_path / "tokenward.toml"
    written.write_text(
        '[admin]\ntoken = "env:ADMIN_TOKEN"\n'
        '[policy.project.mine]\nmode = "enforce"\nkind = "app"\n'
    )
    asked = load(written, {})
    observed = rules_by_project(_with_flags(asked, flags(observe=True)).policy)
    for project in ("mine", "another"):
        assert rules_by_project(_with_flags(asked, flags()).policy)(project).mode == "enforce"
        assert observed(project).mode == "observe"
    assert observed("mine").key_kind == "app", "and nothing else changes"
