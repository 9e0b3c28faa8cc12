"""Holders by name: in files, in the system's keystore, in the one file of a container."""

import stat
import subprocess
import sys
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import null
from keyring.errors import KeyringLocked, PasswordDeleteError

from tokenward.client.errors import KeepingError, NotEnrolledError
from tokenward.client.keeping import (
    check_place,
    forget_holder,
    holder_path,
    is_kept,
    list_names,
    load_holder,
    save_holder,
)
from tokenward.client.keystore import find_keystore
from unit.client.holders import KEY, holder


class MemoryKeyring(KeyringBackend):
    """A keystore in memory, as good as a real one."""

    priority = 5

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}
        self.is_locked = False

    def _open(self) -> dict[tuple[str, str], str]:
        if self.is_locked:
            raise KeyringLocked("locked")
        return self.kept

    def get_password(self, service: str, username: str) -> str | None:
        return self._open().get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._open()[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        try:
            del self._open()[service, username]
        except KeyError:
            raise PasswordDeleteError("not there") from None


class PlainKeyring(MemoryKeyring):
    """One that `keyring` does not recommend."""

    priority = 0.5


# `keyring` finds every class there is: other tests in this process must not be offered these.
KeyringBackend._classes -= {MemoryKeyring, PlainKeyring}


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> MemoryKeyring:
    """The system has a keystore."""
    made = MemoryKeyring()
    monkeypatch.setattr(keyring.core, "_keyring_backend", made)
    return made


def test_without_a_keystore_a_holder_is_in_a_file_of_its_owner(home: Path) -> None:
    kept = holder()
    save_holder(kept)
    path = home / "holders" / "default.json"
    assert holder_path() == path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert KEY in path.read_text("utf-8")
    assert load_holder().signer().thumbprint == kept.signer().thumbprint
    forget_holder()
    assert not path.exists()
    forget_holder()


def test_names_are_apart_and_listed(home: Path) -> None:
    assert list_names() == []
    first, second = holder(), holder()
    save_holder(first, "work")
    save_holder(second, "home")
    (home / "holders" / "not a name.json").write_bytes(b"")
    (home / "holders" / "other.txt").write_bytes(b"")
    assert list_names() == ["home", "work"]
    assert load_holder("work").signer().thumbprint == first.signer().thumbprint
    assert load_holder("home").signer().thumbprint == second.signer().thumbprint
    forget_holder("home")
    assert list_names() == ["work"]
    assert (is_kept("work"), is_kept("home")) == (True, False)


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "a b", "x" * 65, "ä", "a\x00"])
def test_a_name_never_leads_elsewhere(name: str) -> None:
    for use in (holder_path, load_holder, check_place, forget_holder):
        with pytest.raises(KeepingError, match="cannot be a holder's name"):
            use(name)


def test_who_is_not_enrolled_is_told_how(home: Path) -> None:
    with pytest.raises(NotEnrolledError, match=r"tokenward agent --guard URL --enrol CODE"):
        load_holder()
    assert not home.exists()


def test_a_broken_file_is_refused_without_showing_it() -> None:
    save_holder(holder())
    path = holder_path()
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(KeepingError, match="tokenward key enrol") as refused:
        load_holder()
    assert KEY not in str(refused.value)


def test_a_keystore_keeps_the_secrets_and_the_file_only_says_so(memory: MemoryKeyring) -> None:
    kept = holder(bind="dpop+body")
    check_place("work")
    assert memory.kept == {}, "looking leaves nothing"
    save_holder(kept, "work")
    said = holder_path("work").read_text("utf-8")
    assert KEY not in said
    assert "PRIVATE" not in said
    ((place, text),) = memory.kept.items()
    assert place == ("tokenward", "work")
    assert KEY in text
    back = load_holder("work")
    assert (back.key.reveal(), back.bind) == (KEY, "dpop+body")
    assert back.signer().thumbprint == kept.signer().thumbprint
    assert list_names() == ["work"]
    forget_holder("work")
    assert (memory.kept, list_names()) == ({}, [])
    forget_holder("work")


def test_a_file_from_before_there_was_a_keystore_stays_good(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    save_holder(holder())
    monkeypatch.setattr(keyring.core, "_keyring_backend", MemoryKeyring())
    assert load_holder().key.reveal() == KEY


def test_a_keystore_that_went_away_is_said(
    memory: MemoryKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_holder(holder())
    memory.kept.clear()
    with pytest.raises(KeepingError, match="it is not there"):
        load_holder()
    monkeypatch.setattr(keyring.core, "_keyring_backend", null.Keyring())
    with pytest.raises(KeepingError, match="no keystore now"):
        load_holder()


def test_a_locked_keystore_is_no_reason_to_write_secrets_elsewhere(memory: MemoryKeyring) -> None:
    save_holder(holder())
    memory.is_locked = True
    for use in (check_place, load_holder, forget_holder, lambda: save_holder(holder(), "new")):
        with pytest.raises(KeepingError, match="TOKENWARD_HOLDER_FILE"):
            use()
    assert list_names() == ["default"]


@pytest.mark.parametrize("backend", [null.Keyring(), PlainKeyring()])
def test_what_is_no_keystore_keeps_nothing(
    backend: KeyringBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyring.core, "_keyring_backend", backend)
    assert find_keystore() is None
    save_holder(holder())
    assert load_holder().key.reveal() == KEY


def test_a_container_names_one_file_whatever_the_name_and_the_keystore(
    memory: MemoryKeyring, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: Path
) -> None:
    file = tmp_path / "run" / "holder.json"
    monkeypatch.setenv("TOKENWARD_HOLDER_FILE", str(file))
    assert list_names() == []
    check_place()
    save_holder(holder(), "any")
    assert load_holder().key.reveal() == KEY
    assert (list_names(), memory.kept, home.exists()) == (["default"], {}, False)
    forget_holder()
    assert not file.exists()


def test_folders_are_found_as_the_desktop_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("TOKENWARD_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert holder_path() == tmp_path / ".config" / "tokenward" / "holders" / "default.json"
    monkeypatch.setenv("XDG_CONFIG_HOME", "not/absolute")
    assert holder_path() == tmp_path / ".config" / "tokenward" / "holders" / "default.json"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert holder_path("x") == tmp_path / "xdg" / "tokenward" / "holders" / "x.json"


def test_without_the_extra_there_is_no_keystore() -> None:
    program = """
import sys
sys.modules["keyring"] = None
from tokenward.client.keystore import find_keystore
print(find_keystore())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("None\n", "")
