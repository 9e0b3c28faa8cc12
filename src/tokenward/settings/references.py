"""Where is the secret? Settings name a place; the secret itself never stands in the file."""

import re
from collections.abc import Mapping
from pathlib import Path
from stat import S_IRWXO, S_ISREG
from typing import Final

from tokenward.kernel.errors import SettingsError
from tokenward.kernel.secret import Secret

SECRET_CHARS_MAX: Final = 16_384
NONE: Final = "none"
LATER: Final = ("vault:", "aws-sm:", "azure-kv:", "gcp-sm:")

_REFERENCE: Final = re.compile(r"none|env:[A-Za-z_][A-Za-z0-9_]*|file:[^\x00]+")
_ONE_WORD: Final = re.compile(r"[\x21-\x7e]+")


def check_reference(reference: str, what: str) -> None:
    """ValueError unless it is `env:NAME`, `file:PATH` or `none`; never repeats what it is."""
    if _REFERENCE.fullmatch(reference):
        return
    if reference.startswith(LATER):
        raise ValueError(f"{what}: {', '.join(LATER)} are not part of this version; {_HOW}")
    raise ValueError(
        f"{what} is not a reference. If a secret is written there, take it out of the file (and "
        f"consider it leaked); {_HOW}"
    )


_HOW: Final = "write env:NAME for an environment variable, file:PATH for a file, or none"


def resolve_secret(
    reference: str, base_dir: Path, environ: Mapping[str, str], what: str
) -> Secret | None:
    """Fetch the secret that `reference` names; None for `none`.

    `what` says whose secret it is, for errors and as the label. A file's path is relative to
    `base_dir` (the folder of the settings); it holds one line and must not be readable by all.
    Raises SettingsError, which says what to do and never shows what was found.
    """
    try:
        check_reference(reference, what)
    except ValueError as error:
        raise SettingsError(str(error)) from None
    if reference == NONE:
        return None
    kind, _, name = reference.partition(":")
    if kind == "env":
        text, where = _from_environ(name, environ, what), f"environment variable {name}"
    else:
        text, where = _from_file(base_dir / name, what), f"file {name}"
    if len(text) > SECRET_CHARS_MAX or _ONE_WORD.fullmatch(text) is None:
        raise SettingsError(
            f"{what}: the {where} must hold one word of printable ASCII characters and nothing "
            f"else, at most {SECRET_CHARS_MAX} of them"
        )
    return Secret(text, what)


def _from_environ(name: str, environ: Mapping[str, str], what: str) -> str:
    text = environ.get(name, "").strip()
    if not text:
        raise SettingsError(
            f"{what}: the environment variable {name} is not set. Set it before the start: "
            f"export {name}=…"
        )
    return text


def _from_file(path: Path, what: str) -> str:
    try:
        status = path.stat()
        if not S_ISREG(status.st_mode):
            raise SettingsError(f"{what}: {path} is not a file")
        if status.st_mode & S_IRWXO:
            raise SettingsError(
                f"{what}: everybody on this machine can read or change {path}. "
                f"Close it first: chmod 600 {path}"
            )
        with path.open("rb") as file:
            text = file.read(SECRET_CHARS_MAX + 2)
    except PermissionError:
        raise SettingsError(
            f"{what}: this user may not read {path}. Run tokenward as the user who owns it, or "
            "refer to another place in the settings"
        ) from None
    except OSError as error:
        raise SettingsError(
            f"{what}: the file {path} cannot be read: {error.strerror}. Write the secret into it "
            "and close it with chmod 600, or refer to another place in the settings"
        ) from None
    return text.decode("latin-1").strip()
