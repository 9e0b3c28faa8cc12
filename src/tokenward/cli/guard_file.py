"""Where does the running guard listen? `guard.json` in the data folder says so while it runs."""

import os
import tempfile
from pathlib import Path
from typing import Final

import msgspec

NAME: Final = "guard.json"
_FROM_HERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - read, not bound


class GuardAddress(msgspec.Struct, frozen=True):
    """A guard that is ready. `certificate` is the SHA-256 of the one it shows (`x5t#S256`), ""
    where it speaks plain HTTP."""

    pid: int
    host: str
    port: int
    certificate: str = ""

    @property
    def host_from_here(self) -> str:
        """Where to reach it on this machine when it listens on every address."""
        return _FROM_HERE.get(self.host, self.host)

    @property
    def url(self) -> str:
        """The base URL for people and clients on this machine."""
        host = self.host_from_here
        shown = f"[{host}]" if ":" in host else host
        return f"{'https' if self.certificate else 'http'}://{shown}:{self.port}"


def write(data_dir: Path, address: GuardAddress) -> None:
    """Say where this guard listens, in one atomic step."""
    number, name = tempfile.mkstemp(dir=data_dir, prefix=NAME)
    with os.fdopen(number, "wb") as file:
        file.write(msgspec.json.encode(address))
    Path(name).replace(data_dir / NAME)


def read(data_dir: Path) -> GuardAddress | None:
    """The guard's address; None if none says so. It may be stale after a crash."""
    try:
        return msgspec.json.decode((data_dir / NAME).read_bytes(), type=GuardAddress)
    except (OSError, msgspec.DecodeError):
        return None


def remove(data_dir: Path, pid: int | None = None) -> None:
    """The guard no longer listens; with `pid`, only if the file speaks of that process."""
    found = read(data_dir)
    if pid is None or (found is not None and found.pid == pid):
        (data_dir / NAME).unlink(missing_ok=True)
