"""Where is the holder's private key kept? In the system's keystore, else in a file of its owner.

One file a name, `NAME.json` of mode 0600 in a folder of mode 0700. Where the system has a
keystore, the secrets are there and the file only says so; a file that was written without one
stays good. TOKENWARD_HOLDER_FILE names a file that is used whatever the name and the keystore:
for containers and CI.
"""

import os
from pathlib import Path
from typing import Final

from tokenward.client import keystore, private_file
from tokenward.client.errors import KeepingError, NotEnrolledError
from tokenward.client.holder import HOLDER_BYTES_MAX, Holder, read_holder, write_holder
from tokenward.kernel.names import check_name, valid_name

DEFAULT_NAME: Final = "default"
FILE_VARIABLE: Final = "TOKENWARD_HOLDER_FILE"
_IN_KEYSTORE: Final = b'{"version":1,"kept":"keystore"}'


def load_holder(name: str = DEFAULT_NAME) -> Holder:
    """The holder kept under `name`. Raises NotEnrolledError, or KeepingError: why not."""
    path = holder_path(name)
    text = private_file.read(path, HOLDER_BYTES_MAX)
    if text is None:
        raise NotEnrolledError(
            f"Nobody is enrolled as {name!r} here: there is no {path}. Enrol with the code that "
            "came with the key: tokenward agent --guard URL --enrol CODE, or "
            "tokenward.client.enrol(URL, CODE)"
        )
    if text == _IN_KEYSTORE:
        text = _read_keystore(name, path)
    try:
        return read_holder(text)
    except ValueError as error:
        raise KeepingError(
            f"The holder {name!r} ({path}) cannot be used: {error}. Bring it back from where you "
            "copied it, or enrol anew: tokenward key enrol ID"
        ) from None


def save_holder(holder: Holder, name: str = DEFAULT_NAME) -> None:
    """Keep it under `name`, in place of what was there. Raises KeepingError."""
    path = holder_path(name)
    text = write_holder(holder)
    store = _keystore()
    if store is not None:
        keystore.put(store, name, text.decode("utf-8"))
        text = _IN_KEYSTORE
    private_file.write(path, text)


def check_place(name: str = DEFAULT_NAME) -> None:
    """Raises KeepingError if `save_holder` would; ask before a code is spent."""
    private_file.check_writable(holder_path(name))
    store = _keystore()
    if store is not None:
        keystore.check_usable(store)


def is_kept(name: str = DEFAULT_NAME) -> bool:
    """Whether something is kept under that name, usable or not."""
    return holder_path(name).exists()


def list_names() -> list[str]:
    """The names under which holders are kept here, in order."""
    if os.environ.get(FILE_VARIABLE):
        return [DEFAULT_NAME] if is_kept() else []
    found = holder_path(DEFAULT_NAME).parent.glob("*.json")
    return sorted(path.stem for path in found if valid_name(path.stem))


def forget_holder(name: str = DEFAULT_NAME) -> None:
    """Keep it no longer; nothing happens when there is none. Raises KeepingError.

    The guard does not hear of it: to end the key, `tokenward key revoke ID`.
    """
    path = holder_path(name)
    store = _keystore()
    if store is not None:
        keystore.drop(store, name)
    private_file.remove(path)


def holder_path(name: str = DEFAULT_NAME) -> Path:
    """The file of that name. Raises KeepingError for a name that no file can have."""
    if named := os.environ.get(FILE_VARIABLE):
        return Path(named)
    try:
        check_name(name, "a holder's name")
    except ValueError as error:
        raise KeepingError(str(error)) from None
    return home_folder() / "holders" / f"{name}.json"


def home_folder() -> Path:
    """$TOKENWARD_HOME, else `tokenward` in the folder for settings ($XDG_CONFIG_HOME, ~/.config).

    Raises KeepingError for a user without a home.
    """
    if home := os.environ.get("TOKENWARD_HOME"):
        return Path(home)
    settings = os.environ.get("XDG_CONFIG_HOME", "")
    if settings.startswith("/"):  # a relative one is to be ignored (XDG Base Directory, section 2)
        return Path(settings) / "tokenward"
    try:
        return Path.home() / ".config" / "tokenward"
    except RuntimeError:
        raise KeepingError(
            "This user has no home folder. Say where to keep the private key: TOKENWARD_HOME names "
            "a folder, TOKENWARD_HOLDER_FILE a file"
        ) from None


def _keystore() -> keystore.Keystore | None:
    return None if os.environ.get(FILE_VARIABLE) else keystore.find_keystore()


def _read_keystore(name: str, path: Path) -> bytes:
    store = _keystore()
    text = None if store is None else keystore.get(store, name)
    if text is None:
        raise KeepingError(
            f"{path} says that the holder {name!r} is in the system's keystore, and it is not "
            "there, or there is no keystore now (the extra `keyring`). Open the keystore, or enrol "
            "anew: tokenward key enrol ID"
        )
    return text.encode("utf-8")
