"""`tokenward init`: settings, a data folder and secrets; never overwrites."""

import os
import secrets
from argparse import Namespace
from pathlib import Path
from typing import Any, Final

from tokenward.cli.desk import CommandError, Desk
from tokenward.cli.parser import Verbs
from tokenward.settings import example_text, load

SECRET_BYTES: Final = 32
PEPPER: Final = "pepper"
MASTER_KEY: Final = "master.key"
ADMIN_TOKEN: Final = "admin.token"  # noqa: S105 - a file's name
_RECORDS: Final = "*.db"


def add(verbs: Verbs) -> None:
    """The verb."""
    init = verbs.add(
        "init",
        "write settings, secrets and a data folder",
        "What is there already is left as it is.",
    )
    init.add_argument("dir", metavar="DIR", nargs="?", help="default: this folder")
    init.set_defaults(run=_init)


def _init(args: Namespace, desk: Desk) -> None:
    config = Path(args.dir) / "tokenward.toml" if args.dir else desk.config
    created: list[Path] = []
    config.parent.mkdir(parents=True, exist_ok=True)
    _write_new(config, example_text(), 0o644, created)
    data_dir = config.parent / load(config, desk.environ).server.data_dir
    if not (data_dir / PEPPER).exists() and any(data_dir.glob(_RECORDS)):
        raise CommandError(
            f"{data_dir} has records but no {PEPPER}: a new one would make every key unknown. "
            "Bring it back from your backup.",
            "init:pepper_missing",
        )
    if not data_dir.exists():
        data_dir.mkdir(mode=0o700, parents=True)
        created.append(data_dir)
    for name in (PEPPER, MASTER_KEY, ADMIN_TOKEN):
        _write_new(data_dir / name, secrets.token_hex(SECRET_BYTES) + "\n", 0o600, created)
    value = {
        "config": str(config),
        "data_dir": str(data_dir),
        "created": [str(path) for path in created],
    }
    desk.tell(value, lambda shown: _screen(shown, config))


def _write_new(path: Path, text: str, mode: int, created: list[Path]) -> None:
    """Write a file that is not there yet, readable from its first byte on by `mode` only."""
    try:
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        return
    with os.fdopen(number, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    created.append(path)


def _screen(value: dict[str, Any], config: Path) -> str:
    made = value["created"]
    lines = [f"  {path}" for path in made] or ["  nothing: everything was there already"]
    flag = "" if config == Path("tokenward.toml") else f" --config {config}"
    return "\n".join(
        [
            "Written:",
            *lines,
            "",
            "Next, with your provider's key:",
            "  export OPENAI_API_KEY=sk-…",
            f"  tokenward key create --project demo --cap 5.00/day{flag}",
            f"  tokenward serve{flag}",
        ]
    )
