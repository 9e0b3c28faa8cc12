"""What a user is told who may not use the data folder."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import tokenward.app  # noqa: F401 - loaded by who may read it, before somebody else needs it
from unit.cli.command import Shell

NOBODY = 65534


@pytest.fixture
def shell() -> Iterator[Shell]:
    """Settings and data that another user could reach but for their modes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        made = Shell(folder, {"OPENAI_API_KEY": "sk-not-real"})
        assert made("init").status == 0
        yield made


@contextmanager
def closed(path: Path) -> Iterator[None]:
    """As somebody who may not use `path`: root, whom no mode stops, becomes somebody else."""
    mode = path.stat().st_mode
    if os.geteuid() == 0:
        os.seteuid(NOBODY)
    else:
        path.chmod(0)
    try:
        yield
    finally:
        if os.getuid() == 0:
            os.seteuid(0)
        path.chmod(mode)


@pytest.mark.parametrize("words", [("serve", "--port", "0"), ("key", "list"), ("init",)])
def test_a_folder_of_another_user_is_said_in_one_line_with_the_way_out(
    shell: Shell, words: tuple[str, ...]
) -> None:
    with closed(shell.folder / "data"):
        done = shell(*words)
    assert (done.status, done.out) == (1, "")
    assert done.err.count("\n") == 1
    assert str(shell.folder / "data") in done.err
    assert "Run tokenward as the user who owns it" in done.err


def test_the_doctor_says_it_too_and_still_looks_at_the_rest(shell: Shell) -> None:
    with closed(shell.folder / "data"):
        done = shell("doctor", "--json")
    assert (done.status, done.err) == (1, "")
    wrong = {check["name"]: check["why"] for check in done.value["checks"] if not check["ok"]}
    assert set(wrong) == {"secrets", "records"}
    assert all("as the user who owns it" in why for why in wrong.values())


def test_a_secret_of_another_user_is_not_told_to_be_written_anew(shell: Shell) -> None:
    (shell.folder / "data").chmod(0o755)
    with closed(shell.folder / "data" / "pepper"):
        done = shell("key", "list")
    assert done.status == 1
    assert "this user may not read" in done.err
    assert "Write the secret" not in done.err
