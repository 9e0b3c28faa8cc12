"""A file that only its owner can read; written whole or not at all."""

import os
import stat
import tempfile
from pathlib import Path
from typing import Final

from tokenward.client.errors import KeepingError

FOLDER_MODE: Final = 0o700
_FOREIGN_BITS: Final = 0o077


def read(path: Path, bytes_max: int) -> bytes | None:
    """What stands in it; None if there is no such file.

    Raises KeepingError when others may read it or own it, or it is longer than `bytes_max`.
    A link is followed: containers mount their secrets as links.
    """
    try:
        with path.open("rb") as file:
            _check_owner(path, os.fstat(file.fileno()))
            text = file.read(bytes_max + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeepingError(
            f"{path} cannot be read ({error.strerror}). Run this as the user who owns it"
        ) from None
    if len(text) > bytes_max:
        raise KeepingError(f"{path} is longer than any file of tokenward. Is it the right file?")
    return text


def write(path: Path, text: bytes) -> None:
    """Put `text` there in one step, mode 0600, its folder 0700. Raises KeepingError."""
    try:
        _make_folder(path.parent)
        number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(number, "wb") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _unwritable(path, error) from None


def check_writable(path: Path) -> None:
    """Raises KeepingError if `write` could not put a file there now."""
    try:
        _make_folder(path.parent)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}."):
            pass
    except OSError as error:
        raise _unwritable(path, error) from None


def remove(path: Path) -> None:
    """Away with it; nothing happens when it is not there. Raises KeepingError."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(path, error) from None


def _make_folder(folder: Path) -> None:
    """With every missing folder above it, each for this user only."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(FOLDER_MODE, exist_ok=True)


def _check_owner(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise KeepingError(f"{path} is not a file. Is it the right path?")
    if found.st_mode & _FOREIGN_BITS:
        raise KeepingError(
            f"Others on this machine may read {path}, and a private key is kept in it. Close it: "
            f"chmod 600 {path}; if somebody may have read it, enrol anew: tokenward key enrol ID"
        )
    if found.st_uid not in (os.geteuid(), 0):
        raise KeepingError(
            f"{path} belongs to another user, who can change it. Take it over (chown), or run this "
            "as its owner"
        )


def _unwritable(path: Path, error: OSError) -> KeepingError:
    return KeepingError(
        f"{path} cannot be written ({error.strerror}). Make its folder writable for this user, or "
        "choose another place: TOKENWARD_HOME names a folder, TOKENWARD_HOLDER_FILE a file"
    )
