"""What every verb works with: where the settings are, where words go, who answers commands."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import msgspec

from tokenward.cli.admin_client import Command, Said, ask_guard
from tokenward.settings import Settings, load


class CommandError(Exception):
    """Raised when a command was refused or failed; says so in one line."""

    def __init__(self, message: str, code: str = "command:failed", status: int = 1) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """One run of the command. `config` is the settings file; `as_json` says who is reading."""

    config: Path
    as_json: bool
    environ: Mapping[str, str]
    out: TextIO
    err: TextIO

    def settings(self) -> Settings:
        """The settings in force. Raises SettingsError that names what is wrong."""
        if not self.config.is_file():
            if self.config.is_dir():
                raise CommandError(_folder(self.config), "settings:missing")
            raise CommandError(
                f"There is no {self.config}. Make one here: tokenward init, or name it: --config",
                "settings:missing",
            )
        return load(self.config, self.environ)

    def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        wait_s: float = 30.0,
    ) -> Any:
        """What the admin API answers, from the running guard or, without one, from here.

        Names that are None or "" are left out. Raises CommandError with its reason for a refusal.
        """
        command = Command(
            method=method,
            path=path,
            body=None if body is None else _given(body),
            query=_given(query or {}),
            wait_s=wait_s,
        )
        said: Said = ask_guard(self.settings(), self.environ, command)
        if said.status == 401:
            raise CommandError(
                "The running guard has another admin token than [admin] token in "
                f"{self.config}. Use its settings, or start it again with these.",
                "admin:unauthorized",
            )
        if said.status >= 400:
            error = said.value["error"]
            raise CommandError(error["message"], error["code"], 2 if said.status == 400 else 1)
        return said.value

    def tell(self, value: Any, screen: Callable[[Any], str]) -> None:
        """The one answer of a command: the value as JSON, or as a screen for people."""
        text = msgspec.json.encode(value).decode() if self.as_json else screen(value)
        self.out.write(text + "\n")

    def note(self, text: str) -> None:
        """A word beside the answer, for people only."""
        if not self.as_json:
            self.err.write(text + "\n")


def _folder(config: Path) -> str:
    inside = config / "tokenward.toml"
    what_to_do = (
        f"Name the one in it: --config {inside}"
        if inside.is_file()
        else f"There is no {inside}. Make it: tokenward init {config}"
    )
    return f"{config} is a folder, and --config names a file. {what_to_do}"


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, "", [])}
