"""The system's keystore (macOS Keychain, Secret Service, KWallet, Windows), through `keyring`."""

from typing import Final, Protocol, cast

from tokenward.client.errors import KeepingError

SERVICE: Final = "tokenward"
_PROBE: Final = "write test"  # no holder can be called that
_PRIORITY_MIN: Final = 1
"""What `keyring` itself recommends: below are no keystore at all and plain-text files."""


class Keystore(Protocol):
    """A backend of `keyring`, as far as it is used."""

    def get_password(self, service: str, username: str) -> str | None: ...
    def set_password(self, service: str, username: str, password: str) -> None: ...
    def delete_password(self, service: str, username: str) -> None: ...


def find_keystore() -> Keystore | None:
    """The keystore of this system; None without the extra `keyring`, or where there is none."""
    try:
        import keyring
    except ImportError:
        return None
    backend = keyring.get_keyring()
    return cast(Keystore, backend) if backend.priority >= _PRIORITY_MIN else None


def put(keystore: Keystore, name: str, text: str) -> None:
    """Keep `text` under that name. Raises KeepingError."""
    from keyring.errors import KeyringError

    try:
        keystore.set_password(SERVICE, name, text)
    except (KeyringError, OSError, RuntimeError) as error:
        raise _unusable(error) from None


def get(keystore: Keystore, name: str) -> str | None:
    """What is kept under that name. Raises KeepingError."""
    from keyring.errors import KeyringError

    try:
        return keystore.get_password(SERVICE, name)
    except (KeyringError, OSError, RuntimeError) as error:
        raise _unusable(error) from None


def drop(keystore: Keystore, name: str) -> None:
    """Keep it no longer; nothing happens when it was not there. Raises KeepingError."""
    from keyring.errors import KeyringError, PasswordDeleteError

    try:
        keystore.delete_password(SERVICE, name)
    except PasswordDeleteError:
        if get(keystore, name) is not None:
            raise _unusable(RuntimeError("it refuses to delete")) from None
    except (KeyringError, OSError, RuntimeError) as error:
        raise _unusable(error) from None


def check_usable(keystore: Keystore) -> None:
    """Raises KeepingError if nothing can be kept there now. May ask the user to unlock it."""
    put(keystore, _PROBE, _PROBE)
    drop(keystore, _PROBE)


def _unusable(error: Exception) -> KeepingError:
    return KeepingError(
        f"The system's keystore cannot be used ({type(error).__name__}). Unlock it; or keep the "
        "private key in a file instead: PYTHON_KEYRING_BACKEND=keyring.backends.fail.Keyring, or "
        "name the file in TOKENWARD_HOLDER_FILE"
    )
