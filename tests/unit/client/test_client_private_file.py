"""Files that only their owner can read."""

import os
import stat
from pathlib import Path

import pytest

from tokenward.client import private_file
from tokenward.client.errors import KeepingError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_a_file_and_its_new_folders_are_for_the_owner_alone(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "new" / "newer" / "a.json"
    before = os.umask(umask)
    try:
        private_file.write(path, b"text")
    finally:
        os.umask(before)
    assert (mode(path), mode(path.parent), mode(path.parent.parent)) == (0o600, 0o700, 0o700)
    assert private_file.read(path, 100) == b"text"


def test_a_file_is_replaced_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    private_file.write(path, b"first, and longer")
    private_file.write(path, b"second")
    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]


def test_no_file_is_none_and_removing_none_is_nothing(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "a.json"
    assert private_file.read(path, 100) is None
    private_file.remove(path)


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o620, 0o602, 0o610, 0o644, 0o666, 0o777])
def test_a_file_that_others_can_open_is_refused_and_its_cure_said(
    tmp_path: Path, bits: int
) -> None:
    path = tmp_path / "a.json"
    private_file.write(path, b"text")
    path.chmod(bits)
    with pytest.raises(KeepingError, match=f"chmod 600 {path}"):
        private_file.read(path, 100)


def test_a_mounted_secret_may_be_a_link_and_read_only(tmp_path: Path) -> None:
    private_file.write(tmp_path / "data", b"text")
    (tmp_path / "data").chmod(0o400)
    (tmp_path / "a.json").symlink_to(tmp_path / "data")
    assert private_file.read(tmp_path / "a.json", 100) == b"text"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_another_users_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    private_file.write(path, b"text")
    os.chown(path, 12345, -1)
    with pytest.raises(KeepingError, match="belongs to another user"):
        private_file.read(path, 100)


def test_a_file_too_long_and_a_thing_that_is_no_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    private_file.write(path, b"12345")
    assert private_file.read(path, 5) == b"12345"
    with pytest.raises(KeepingError, match="longer"):
        private_file.read(path, 4)
    with pytest.raises(KeepingError):
        private_file.read(tmp_path, 100)
    with pytest.raises(KeepingError, match="not a file"):
        private_file.read(Path("/dev/null"), 100)


def test_a_place_that_cannot_be_written_says_what_else_there_is(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    path = tmp_path / "file" / "a.json"
    for attempt in (
        lambda: private_file.check_writable(path),
        lambda: private_file.write(path, b"text"),
    ):
        with pytest.raises(KeepingError, match="TOKENWARD_HOME") as refused:
            attempt()
        assert refused.value.__cause__ is None


def test_looking_whether_it_can_be_written_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.json"
    private_file.check_writable(path)
    assert list(path.parent.iterdir()) == []
