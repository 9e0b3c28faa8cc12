"""`tokenward init` makes what is missing, closed, and never overwrites."""

import stat
from pathlib import Path

import pytest

from tokenward.settings import load
from unit.cli.command import Shell

SECRETS = ("pepper", "master.key", "admin.token")


def test_init_writes_settings_that_load_and_closed_secrets(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    done = shell("init")
    assert done.status == 0
    assert load(shell.config, {}).data_dir == tmp_path / "data"
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    seen = set()
    for name in SECRETS:
        path = tmp_path / "data" / name
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert len(bytes.fromhex(path.read_text())) == 32
        seen.add(path.read_text())
    assert len(seen) == len(SECRETS)
    for verb in ("export OPENAI_API_KEY", "tokenward key create", "tokenward serve"):
        assert verb in done.out
    assert not any(secret.strip() in done.out for secret in seen)


def test_init_never_overwrites(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    first = shell.json("init")
    assert len(first["created"]) == 5
    kept = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert shell.json("init")["created"] == []
    (tmp_path / "data" / "admin.token").unlink()
    assert [Path(p).name for p in shell.json("init")["created"]] == ["admin.token"]
    for path, content in kept.items():
        assert (path.read_bytes() == content) == (path.name != "admin.token")


def test_init_takes_a_folder_and_makes_it(tmp_path: Path) -> None:
    done = Shell(tmp_path)("init", str(tmp_path / "new" / "place"))
    assert done.status == 0
    assert (tmp_path / "new" / "place" / "data" / "pepper").exists()
    assert f"--config {tmp_path / 'new' / 'place' / 'tokenward.toml'}" in done.out


def test_a_lost_pepper_is_not_replaced_under_records(shell: Shell, tmp_path: Path) -> None:
    assert shell("key", "create", "--project", "p").status == 0
    (tmp_path / "data" / "pepper").unlink()
    done = shell("init", "--json")
    assert (done.status, done.error["code"]) == (1, "init:pepper_missing")
    assert not (tmp_path / "data" / "pepper").exists()


@pytest.mark.req("K-10")
def test_two_inits_share_no_secret(tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert Shell(tmp_path / name)("init").status == 0
    for secret in SECRETS:
        a, b = (tmp_path / name / "data" / secret for name in ("a", "b"))
        assert a.read_bytes() != b.read_bytes()
