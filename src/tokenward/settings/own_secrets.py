"""The guard's own secrets, which `tokenward init` makes; without them nothing starts."""

from collections.abc import Mapping
from typing import Final

from tokenward.kernel.errors import SettingsError
from tokenward.kernel.secret import Secret
from tokenward.settings.references import resolve_secret
from tokenward.settings.shape import Settings

PEPPER: Final = "pepper"
MASTER_KEY: Final = "master.key"
PREVIOUS_MASTER_KEY: Final = "master.key.previous"


def read_pepper(settings: Settings) -> Secret:
    """The server's secret under which keys are hashed. Raises SettingsError if there is none."""
    folder = settings.data_dir
    if not folder.is_dir():
        raise SettingsError(
            f"There is no data folder {folder}, where keys and ledger are kept. Make it: tokenward "
            "init; or, if this guard has one already, correct server.data_dir"
        )
    try:
        is_there = (folder / PEPPER).exists()
    except PermissionError:
        raise SettingsError(
            f"This user may not look into {folder}. Run tokenward as the user who owns it"
        ) from None
    if not is_there:
        raise SettingsError(
            f"There is no {PEPPER} in {folder}, and keys are hashed under it. Make it: tokenward "
            "init; or, if there are keys already, bring it back from your backup"
        )
    secret = resolve_secret(f"file:{PEPPER}", folder, {}, "the pepper of this guard")
    assert secret is not None, "a file reference resolves to a secret or an error"
    return secret


def read_master_keys(settings: Settings) -> tuple[Secret, ...]:
    """What the guard signs with, derived from the first; the second, if it is there, is the one
    before a change: what it signed is still good. Raises SettingsError if there is none."""
    folder = settings.data_dir
    if not (folder / MASTER_KEY).exists():
        raise SettingsError(
            f"There is no {MASTER_KEY} in {folder}, and access tokens are signed with it. Make it: "
            "tokenward init; or bring it back from your backup"
        )
    names = [MASTER_KEY]
    if (folder / PREVIOUS_MASTER_KEY).exists():
        names.append(PREVIOUS_MASTER_KEY)
    found = [resolve_secret(f"file:{name}", folder, {}, f"the {name}") for name in names]
    return tuple(secret for secret in found if secret is not None)


def read_admin_token(settings: Settings, environ: Mapping[str, str]) -> Secret:
    """What opens the admin API. Raises SettingsError if there is none."""
    reference = settings.admin.token or "none"
    kind, _, name = reference.partition(":")
    path = settings.base_dir / name
    if kind == "file" and path.parent == settings.data_dir and not path.exists():
        raise SettingsError(f"There is no {path}, which admin.token names. Make it: tokenward init")
    token = resolve_secret(reference, settings.base_dir, environ, "admin.token")
    if token is None:
        raise SettingsError(
            "admin.token is not set, and no guard starts without it: set [admin] token = "
            '"file:data/admin.token", which `tokenward init` writes, or "env:TOKENWARD_ADMIN_TOKEN"'
        )
    return token
