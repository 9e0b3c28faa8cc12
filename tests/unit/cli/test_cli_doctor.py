"""What the doctor says of rules that no key is judged by, and of files that tell networks apart."""

import pytest

from tokenward.cli.doctor import PROJECTS_MAX
from unit.cli.command import Shell


def rules(shell: Shell, *projects: str) -> None:
    tables = "".join(f'[policy.project."{name}"]\nkind = "app"\n' for name in projects)
    shell.config.write_text(shell.config.read_text("utf-8") + "\n" + tables, "utf-8")


def checks(shell: Shell) -> dict[str, tuple[bool, str]]:
    """Name → whether it is good, and why."""
    value = shell("doctor", "--json").value
    return {each["name"]: (each["ok"], each["why"]) for each in value["checks"]}


def test_a_project_with_rules_and_without_a_key_is_told_and_is_no_fault(shell: Shell) -> None:
    shell.json("key", "create", "--project", "shop", "--cap", "none")
    assert "projects" not in checks(shell), "there are no rules"
    rules(shell, "shop")
    assert checks(shell)["projects"] == (True, "all that are named in [policy.project] have keys")
    rules(shell, "shp")
    good, why = checks(shell)["projects"]
    assert good
    assert why.startswith("no key belongs to project 'shp': ")
    assert "'shop'" not in why
    assert "tokenward key list" in why
    shell.json("key", "create", "--project", "shp", "--cap", "none")
    assert checks(shell)["projects"] == (True, "all that are named in [policy.project] have keys")


def test_of_many_projects_without_a_key_the_first_are_named(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules(shell, *(f"p{number}" for number in range(8)))
    assert (
        "no key belongs to projects 'p0', 'p1', 'p2', 'p3', 'p4' and 3 more: "
        in (checks(shell)["projects"][1])
    )
    assert PROJECTS_MAX > 8
    shell.json("key", "create", "--project", "p0", "--cap", "none")
    monkeypatch.setattr("tokenward.cli.doctor.PROJECTS_MAX", 1)
    assert checks(shell)["projects"] == (True, "the first 1 of the 8 in [policy.project] have keys")


def test_a_list_that_names_no_network_tells_no_kind_and_is_named(shell: Shell) -> None:
    for name in ("vpns", "tor"):
        (shell.folder / f"{name}.txt").write_text("# nothing came\n", "ascii")
    (shell.folder / "hosts.txt").write_text("198.51.100.0/24\n", "ascii")
    text = shell.config.read_text("utf-8")
    empty = '\n[network]\nvpns = ["vpns.txt"]\ntor = ["tor.txt"]\n'
    kept = text.replace("\n[network]\n", empty)
    assert kept != text
    shell.config.write_text(kept, "utf-8")
    good, told = checks(shell)["networks"]
    assert good, "the guard starts with it"
    assert "kinds no" in told
    assert "network.vpns (vpns.txt), network.tor (tor.txt) name no network: get it anew" in told
    more = text.replace("\n[network]\n", f'{empty}datacenters = ["hosts.txt"]\n')
    shell.config.write_text(more, "utf-8")
    assert "kinds yes" in checks(shell)["networks"][1]


@pytest.mark.parametrize(
    ("setting", "file", "why"),
    [
        ("datacenters", "gone.txt", "cannot be read: No such file or directory"),
        ("tor", "tokenward.toml", "is not a network like"),
        ("vpns", "data", "is not a file"),
        ("asn_db", "tokenward.toml", "is not an MMDB file, or not a whole one"),
        ("country_db", "gone.mmdb", "cannot be read: No such file or directory"),
        ("kind_db", "data", "is not a file"),
    ],
)
def test_files_of_networks_that_cannot_be_used_are_named_with_their_setting(
    shell: Shell, setting: str, file: str, why: str
) -> None:
    value = f'"{file}"' if setting.endswith("_db") else f'["{file}"]'
    text = shell.config.read_text("utf-8")
    assert f"\n#{setting} = " in text
    shell.config.write_text(text.replace(f"\n#{setting} = ", f"\n{setting} = {value} # "), "utf-8")
    good, told = checks(shell)["networks"]
    assert not good
    assert told.startswith(f"network.{setting}: ")
    assert file in told
    assert why in told
