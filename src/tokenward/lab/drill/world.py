"""The processes of a drill: a stand-in provider, and a guard that can be stopped and started."""

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import urlsplit

from tokenward.lab.drill.networks import write_networks
from tokenward.lab.drill.programs import ADDRESS
from tokenward.lab.drill.rendering import LISTED

_CREDENTIAL: Final = "sk-standin-provider-key-of-the-drill"
_VARIABLE: Final = "DRILL_PROVIDER_KEY"
_DIALECTS: Final = {"openai": 'gpt-*", "o*", "text-embedding-*', "anthropic": "claude-*"}
_STOP_S: Final = 30.0
_ASK_S: Final = 30.0


class DrillError(Exception):
    """Raised when the drill cannot be played; says why in one line."""


@dataclass(slots=True)
class World:
    """Where everything is. `guard_url` is another one after each start."""

    folder: Path
    provider_url: str
    guard_url: str = ""
    _guard: "subprocess.Popen[str] | None" = field(default=None)

    @property
    def settings_file(self) -> Path:
        """The settings of the drill's guard."""
        return self.folder / "tokenward.toml"

    def start(self) -> None:
        """Start the guard and wait until it is ready."""
        self._guard, ready = _start(
            self.folder, ["-m", "tokenward", "--json", "serve", "--port", "0"]
        )
        self.guard_url = json.loads(ready)["url"]

    def stop(self) -> None:
        """Stop the guard as an operator does: running calls end, what was learned is kept."""
        if self._guard is not None:
            _stop(self._guard)
            self._guard = None

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        """What the admin API answers. Raises DrillError for a refusal."""
        token = (self.folder / "data" / "admin.token").read_text("ascii").strip()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        text = None if body is None else json.dumps(body)
        status, said = _ask(self.guard_url, method, f"/admin/v1{path}", text, headers)
        value = json.loads(said)
        if status >= 400:  # never the whole answer: it may hold a key
            raise DrillError(f"the guard refused {method} {path}: {value['error']['message']}")
        return value

    def bill_nusd(self) -> int:
        """What the stand-in provider has charged so far, by its own count."""
        _, said = _ask(self.provider_url, "GET", "/_standin/bill?last=0", None, {})
        return int(json.loads(said)["totals"]["cost_nusd"])


def _ask(
    url: str, method: str, path: str, body: str | None, headers: dict[str, str]
) -> tuple[int, bytes]:
    at = urlsplit(url)
    link = http.client.HTTPConnection(at.hostname or "", at.port, timeout=_ASK_S)
    try:
        link.request(method, path, body, headers)
        answer = link.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as gone:
        raise DrillError(f"there is no answer to {method} {path}: {gone}") from None
    finally:
        link.close()


@contextmanager
def built_world(policy: str) -> Iterator[World]:
    """A stand-in that runs and a guard that does not yet, in a folder that is gone afterwards.
    `policy` is the text of the guard's `[policy]` tables."""
    with TemporaryDirectory(prefix="tokenward-drill-") as name:
        folder = Path(name)
        models = [f"--model={model}={price}" for model, price in LISTED.items()]
        command = ["-m", "tokenward.lab.standin", "--port=0", f"--credential={_CREDENTIAL}"]
        standin, ready = _start(folder, [*command, *models])
        try:
            world = World(folder, ready.rpartition(" ")[2])
            _write_settings(world, policy)
            try:
                yield world
            finally:
                world.stop()
        finally:
            _stop(standin)


def _write_settings(world: World, policy: str) -> None:
    done = subprocess.run(  # noqa: S603 - this program itself, with arguments of our own
        [sys.executable, "-m", "tokenward", "init", str(world.folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode != 0:
        raise DrillError(f"tokenward init: {done.stderr.strip()}")
    providers = "\n".join(
        f'[[provider]]\nname = "{dialect}"\ndialect = "{dialect}"\n'
        f'base_url = "{world.provider_url}"\ncredential = "env:{_VARIABLE}"\n'
        f'models = ["{models}"]\n'
        for dialect, models in _DIALECTS.items()
    )
    text = (
        f'[server]\ntrusted_proxies = ["127.0.0.1"]\nclient_address_header = "{ADDRESS}"\n'
        f"\n{providers}\n{write_networks(world.folder)}\n{policy}\n"
        '[admin]\ntoken = "file:data/admin.token"\n'
    )
    world.settings_file.write_text(text, "utf-8")


def _start(folder: Path, arguments: list[str]) -> "tuple[subprocess.Popen[str], str]":
    """Start a Python process that says in one line that it is ready; the process and the line."""
    with (folder / "drill.log").open("a+", encoding="utf-8") as log:
        process = subprocess.Popen(  # noqa: S603 - this program itself, with arguments of our own
            [sys.executable, *arguments],
            cwd=folder,
            env={**os.environ, _VARIABLE: _CREDENTIAL},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        assert process.stdout is not None, "its standard output is a pipe"
        line = process.stdout.readline().strip()
        if line:
            return process, line
        _stop(process)
        log.seek(0)
        said = log.read().strip().rpartition("\n")[2]
    raise DrillError(said or f"{arguments[1]} did not start")


def _stop(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
