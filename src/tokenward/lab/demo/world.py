"""The processes of the demonstration, in a folder that is gone afterwards."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

PROVIDER_KEY: Final = "sk-standin-provider-key-of-the-demo"
_DIALECTS: Final = {"openai": "gpt-*", "anthropic": "claude-*", "gemini": "gemini-*"}
_STOP_S: Final = 15.0


class DemoError(Exception):
    """Raised when a part of the demonstration cannot be started; says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Where everything is. `provider_url` is the stand-in, which nobody but the guard should
    know; the unguarded half of the story knows it."""

    guard_url: str
    provider_url: str
    folder: Path

    def ask(self, *command: str) -> Any:
        """One command of the command line, as a user would type it, with `--json`."""
        done = subprocess.run(
            [sys.executable, "-m", "tokenward", "--json", *command],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        if done.returncode != 0:
            raise DemoError(f"tokenward {' '.join(command)}: {done.stderr.strip()}")
        return json.loads(done.stdout)

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
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="tokenward-demo-")))
        standin = _start(
            stack,
            folder,
            ["-m", "tokenward.lab.standin", "--port=0", f"--credential={PROVIDER_KEY}"],
        )
        provider_url = standin.rpartition(" ")[2]
        _write_settings(folder, provider_url)
        ready = _start(stack, folder, ["-m", "tokenward", "--json", "serve", "--port", str(port)])
        yield World(guard_url=json.loads(ready)["url"], provider_url=provider_url, folder=folder)


def _write_settings(folder: Path, provider_url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tokenward", "init", str(folder)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    if done.returncode != 0:
        raise DemoError(f"tokenward init: {done.stderr.strip()}")
    providers = "\n".join(
        f'[[provider]]\nname = "{dialect}"\ndialect = "{dialect}"\nbase_url = "{provider_url}"\n'
        f'credential = "env:DEMO_PROVIDER_KEY"\nmodels = ["{models}"]\n'
        for dialect, models in _DIALECTS.items()
    )
    observed = '[policy.project.observed]\nmode = "observe"\n'
    text = f'{providers}\n{observed}[admin]\ntoken = "file:data/admin.token"\n'
    (folder / "tokenward.toml").write_text(text, encoding="utf-8")


def _start(stack: ExitStack, folder: Path, arguments: list[str]) -> str:
    """Start a Python process that says in one line that it is ready; that line."""
    log = stack.enter_context((folder / "demo.log").open("a+", encoding="utf-8"))
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "DEMO_PROVIDER_KEY": PROVIDER_KEY},
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    stack.callback(_stop, process)
    assert process.stdout is not None, "its standard output is a pipe"
    line = process.stdout.readline().strip()
    if not line:
        log.seek(0)
        raise DemoError(log.read().strip().rpartition("\n")[2] or f"{arguments[1]} did not start")
    return line


def _stop(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
