"""`tokenward incident` without a guard: the same admin API, in the command's own process."""

import pytest

from unit.cli.command import Shell


def test_no_incident_is_told_plainly(shell: Shell) -> None:
    assert shell.json("incident", "list") == []
    assert shell("incident", "list").out.startswith("No incidents")


@pytest.mark.parametrize("name", ["inc_0", "../keys", "inc_0?x", "é"])
def test_an_unknown_incident_is_refused(shell: Shell, name: str) -> None:
    done = shell("incident", "show", name, "--json")
    assert (done.status, done.error["code"]) in {(1, "incident:unknown"), (1, "route:unknown")}


def test_an_odd_limit_is_wrong_usage(shell: Shell) -> None:
    assert shell("incident", "list", "--limit", "0", "--json").error["code"] == "request:invalid"
