"""Secrets by reference: fetched only when asked for, never shown."""

import os
from pathlib import Path

import pytest

from tokenward.kernel.errors import SettingsError
from tokenward.settings import resolve_secret


def write(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def problem(reference: str, base_dir: Path, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(SettingsError) as error:
        resolve_secret(reference, base_dir, environ or {}, "provider openai's credential")
    message = str(error.value)
    assert message.startswith("provider openai's credential")
    assert "canary" not in message
    return message


def test_none_is_no_secret(tmp_path: Path) -> None:
    assert resolve_secret("none", tmp_path, {}, "x") is None


@pytest.mark.req("K-3")
def test_a_secret_comes_from_the_environment_and_cannot_be_printed(tmp_path: Path) -> None:
    secret = resolve_secret("env:API_KEY", tmp_path, {"API_KEY": " sk-canary\n"}, "the credential")
    assert secret is not None
    assert secret.reveal() == "sk-canary"
    assert repr(secret) == "<secret the credential>"


def test_a_secret_comes_from_a_file_beside_the_settings(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    path = write(tmp_path / "data/admin.token", b"sk-canary\r\n")
    for reference in ("file:data/admin.token", f"file:{path}"):
        secret = resolve_secret(reference, tmp_path, {}, "x")
        assert secret is not None
        assert secret.reveal() == "sk-canary"


@pytest.mark.parametrize("environ", [{}, {"API_KEY": ""}, {"API_KEY": "  "}, {"api_key": "canary"}])
def test_a_variable_that_is_not_set_says_how_to_set_it(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    assert "export API_KEY=" in problem("env:API_KEY", tmp_path, environ)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o601, 0o777])
def test_a_file_that_everybody_can_open_is_refused(tmp_path: Path, mode: int) -> None:
    path = write(tmp_path / "token", b"canary", mode)
    assert f"chmod 600 {path}" in problem("file:token", tmp_path)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o440])
def test_a_file_of_the_owner_or_a_group_is_accepted(tmp_path: Path, mode: int) -> None:
    write(tmp_path / "token", b"word", mode)
    assert resolve_secret("file:token", tmp_path, {}, "x") is not None


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    assert "chmod 600" in problem("file:token", tmp_path)


def test_what_is_not_a_plain_file_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert "is not a file" in problem("file:pipe", tmp_path)
    assert "is not a file" in problem("file:.", tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"canary canary",
        b"canary\ncanary",
        b"canary\r\nx-injected: 1",
        b"canary\x00",
        b"canary\xff",
        "canary\u00e9".encode(),
        b"canary" * 5_000,
    ],
)
def test_a_secret_is_one_plain_word(tmp_path: Path, content: bytes) -> None:
    write(tmp_path / "token", content)
    assert "one word" in problem("file:token", tmp_path)


@pytest.mark.parametrize("reference", ["sk-canary", "", "env:", "env:A-B", "file:", "vault:canary"])
def test_what_is_no_reference_is_refused_and_never_repeated(tmp_path: Path, reference: str) -> None:
    assert "env:NAME" in problem(reference, tmp_path)
