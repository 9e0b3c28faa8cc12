"""The world of the demonstration, in a folder that is gone afterwards."""

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from tokenward.lab.processes import Processes

PROVIDER_KEY: Final = "sk-standin-provider-key-of-the-demo"
_MODELS: Final = {"openai": '["gpt-*"]', "anthropic": '["claude-*"]', "gemini": '["gemini-*"]'}
_POLICY: Final = '[policy.project.observed]\nmode = "observe"\n'


class DemoError(Exception):
    """Raised when a part of the demonstration cannot be started; says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Where everything is. `provider_url` is the stand-in, which nobody but the guard should
    know; the unguarded half of the story knows it."""

    guard_url: str
    provider_url: str
    processes: Processes

    @property
    def folder(self) -> Path:
        """Where the guard has its settings and its records."""
        return self.processes.folder

    def ask(self, *command: str) -> Any:
        """One command of the command line, as a user would type it, with `--json`."""
        return json.loads(self.processes.command("--json", *command))

    def bill(self) -> dict[str, Any]:
        """What the stand-in provider says it charged."""
        with urllib.request.urlopen(
            f"{self.provider_url}/_standin/bill?last=0", timeout=10
        ) as said:
            totals: dict[str, Any] = json.load(said)["totals"]
            return totals

    def forget_bill(self) -> None:
        """A new page for the next part of the story."""
        request = urllib.request.Request(f"{self.provider_url}/_standin/reset", method="POST")
        urllib.request.urlopen(request, timeout=10).close()


@contextmanager
def built_world(port: int) -> Iterator[World]:
    """Start a stand-in and a guard in front of it; stop both at the end."""
    with TemporaryDirectory(prefix="tokenward-demo-") as name:
        processes = Processes(folder=Path(name), credential=PROVIDER_KEY, failure=DemoError)
        with processes.standin() as provider_url:
            processes.write_settings(provider_url, _MODELS, _POLICY)
            with processes.guard(port) as guard_url:
                yield World(guard_url=guard_url, provider_url=provider_url, processes=processes)
