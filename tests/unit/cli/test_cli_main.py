"""What every command has in common: help, errors, exit status, --json."""

import json
from pathlib import Path

import pytest

import tokenward
from tokenward.cli.main import VERBS, build_parser
from unit.cli.command import Shell

LEAVES = (
    ("init",),
    ("serve",),
    ("account", "create"),
    ("account", "list"),
    ("credit", "add"),
    ("key", "create"),
    ("key", "list"),
    ("key", "show"),
    ("key", "freeze"),
    ("key", "unfreeze"),
    ("key", "revoke"),
    ("key", "rotate"),
    ("cap", "set"),
    ("cap", "remove"),
    ("cap", "list"),
    ("cap", "reconcile"),
    ("usage",),
    ("incident", "list"),
    ("incident", "show"),
    ("incident", "undo"),
    ("incident", "confirm"),
    ("drill",),
    ("lab", "evaluate"),
    ("events",),
    ("records",),
    ("doctor",),
)


@pytest.mark.parametrize("words", [(), *LEAVES], ids=" ".join)
def test_every_verb_explains_itself(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args([*words, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "--config" in text
    assert "--json" in text


def test_the_help_lists_every_verb_and_none_that_does_not_work(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["--help"])
    text = capsys.readouterr().out
    for verb in VERBS:
        assert f"\n    {verb} " in text
    for later in ("scan", "hunt"):
        assert f"\n    {later} " not in text


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"tokenward {tokenward.__version__}\n"


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["kye"], "did you mean 'key'?"),
        (["key", "creat"], "did you mean 'create'?"),
        (["key", "zzz"], "choose from create, list"),
        (["usage", "--by", "kye"], "did you mean 'key'?"),
        ([], "VERB"),
        (["key"], "VERB"),
        (["key", "create"], "--project"),
        (["key", "create", "--project", "p", "--rpm", "many"], "invalid int value"),
        (["key", "list", "--jsn"], "unrecognized arguments"),
        (["key", "show", "not-an-id"], "not a key"),
        (["cap", "remove", "project:p"], "say which cap"),
        (["cap", "remove", "project:p", "5.00/fortnight"], "is not a cap"),
        (["cap", "list", "team:x"], "a subject is"),
        (["records", "--key", "x"], "not a key"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_is_one_line_and_exit_2(tmp_path: Path, words: list[str], hint: str) -> None:
    shell = Shell(tmp_path)
    plain = shell(*words)
    assert plain.status == 2
    assert plain.out == ""
    assert plain.err.startswith("tokenward: ")
    assert plain.err.count("\n") == 1
    assert hint in plain.err
    as_json = shell(*words, "--json")
    assert as_json.status == 2
    assert as_json.error["code"] == "usage:wrong"
    assert hint in as_json.error["message"]


def test_missing_settings_say_how_to_make_them(tmp_path: Path) -> None:
    done = Shell(tmp_path)("key", "list")
    assert done.status == 1
    assert "tokenward init" in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("is_made", [True, False])
def test_a_folder_in_place_of_the_settings_says_which_file_is_meant(
    tmp_path: Path, is_made: bool
) -> None:
    shell = Shell(tmp_path)
    if is_made:
        assert shell("init", str(tmp_path)).status == 0
    done = shell("--config", str(tmp_path), "key", "list")
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith(
        f"tokenward: {tmp_path} is a folder, and --config names a file. "
        + (f"Name the one in it: --config {shell.config}" if is_made else "There is no ")
    )
    assert is_made or f"tokenward init {tmp_path}" in done.err
    assert done.err.count("\n") == 1


def test_a_bad_setting_is_named(shell: Shell) -> None:
    shell.config.write_text(shell.config.read_text() + "\n[serv]\nport = 1\n")
    done = shell("key", "list", "--json")
    assert (done.status, done.error["code"]) == (1, "fault:settings")
    assert "serv" in done.error["message"]


def test_config_and_json_stand_before_and_after_the_verb(shell: Shell, tmp_path: Path) -> None:
    shell.environ["TOKENWARD_CONFIG"] = str(tmp_path / "elsewhere.toml")
    config = ["--config", str(shell.config)]
    for words in (
        [*config, "--json", "key", "list"],
        ["key", *config, "--json", "list"],
        ["key", "list", *config, "--json"],
        ["--json", "key", "list", *config],
    ):
        done = shell(*words)
        assert (done.status, done.out) == (0, "[]\n")


def test_the_config_of_the_environment_stands_below_the_option(tmp_path: Path) -> None:
    done = Shell(tmp_path)("key", "list", "--config", str(tmp_path / "named.toml"), "--json")
    assert "named.toml" in json.loads(done.err)["error"]["message"]
