"""The processes of a world that is shown or tried: a stand-in provider and a guard on loopback."""

import json
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final

VARIABLE: Final = "STANDIN_CREDENTIAL"
"""Holds the stand-in's credential for the guard, which settings name and do not contain."""
OWN_PREFIX: Final = "TOKENWARD_"
"""Whoever runs this may have a guard of their own: what names its settings must not lead a world
to its records."""
COMMIT_LIMIT_S: Final = 20
"""The guard's `ledger.commit_limit_s`. No world is about a busy machine's late disk."""
_COMMAND_S: Final = 60.0
_START_S: Final = 60.0
_STOP_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """Those of one world. They run in `folder`, and know nothing of a guard outside of it.

    `credential` is what the stand-in asks of its callers. `failure` makes the error to raise from
    one line that says what went wrong: of a command, or of a process that does not start.
    """

    folder: Path
    credential: str
    failure: Callable[[str], Exception]

    @property
    def settings_file(self) -> Path:
        """The settings of the world's guard."""
        return self.folder / "tokenward.toml"

    def command(self, *words: str) -> str:
        """What a command of the command line prints, typed in the folder."""
        typed = f"tokenward {' '.join(words)}"
        try:
            done = subprocess.run(  # noqa: S603 - this program itself, with arguments of our own
                [sys.executable, "-m", "tokenward", *words],
                cwd=self.folder,
                env=self._environ(),
                capture_output=True,
                text=True,
                timeout=_COMMAND_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise self.failure(f"{typed}: did not end within {_COMMAND_S:g} s") from None
        if done.returncode != 0:
            raise self.failure(f"{typed}: {last_words(done.stderr)}")
        return done.stdout

    def write_settings(self, provider_url: str, models: Mapping[str, str], more: str) -> None:
        """Secrets as `tokenward init` makes them, and settings with a provider for each dialect:
        `models` says for which models, as a list of TOML. `more` are other tables."""
        self.command("init")
        providers = "\n".join(
            f'[[provider]]\nname = "{dialect}"\ndialect = "{dialect}"\n'
            f'base_url = "{provider_url}"\ncredential = "env:{VARIABLE}"\nmodels = {patterns}\n'
            for dialect, patterns in models.items()
        )
        text = (
            f"{providers}\n{more}\n[ledger]\ncommit_limit_s = {COMMIT_LIMIT_S}\n"
            '\n[admin]\ntoken = "file:data/admin.token"\n'
        )
        self.settings_file.write_text(text, encoding="utf-8")

    @contextmanager
    def standin(self, *more: str) -> Iterator[str]:
        """A stand-in provider that runs inside of this block; its URL."""
        name = "tokenward.lab.standin"
        with self._running(name, "--port=0", f"--credential={self.credential}", *more) as ready:
            yield ready.rpartition(" ")[2]

    @contextmanager
    def guard(self, port: int = 0) -> Iterator[str]:
        """A guard that runs inside of this block and is stopped as an operator does it: running
        calls end, what was learned is kept. Its URL; port 0 takes a free one."""
        with self._running("tokenward", "--json", "serve", "--port", str(port)) as ready:
            yield json.loads(ready)["url"]

    @contextmanager
    def _running(self, module: str, *arguments: str) -> Iterator[str]:
        """A Python process that says in one line that it is ready; that line."""
        with TemporaryFile("w+", encoding="utf-8") as said:
            process = subprocess.Popen(  # noqa: S603 - this program itself, as above
                [sys.executable, "-m", module, *arguments],
                cwd=self.folder,
                env=self._environ(),
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
            )
            try:
                line = _first_line(process)
                if not line:
                    _stop(process)
                    said.seek(0)
                    why = last_words(said.read())
                    raise self.failure(why or f"{module} did not start within {_START_S:g} s")
                yield line
            finally:
                _stop(process)

    def _environ(self) -> dict[str, str]:
        outside = {
            name: text for name, text in os.environ.items() if not name.startswith(OWN_PREFIX)
        }
        return {**outside, VARIABLE: self.credential}


def last_words(said: str) -> str:
    """The message of an error in JSON, else the last line, of what a process wrote to stderr."""
    line = said.strip().rpartition("\n")[2].removeprefix("tokenward: ")
    try:
        value: Any = json.loads(line)
        return str(value["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return line


def _first_line(process: "subprocess.Popen[str]") -> str:
    """Empty where the process ends before it, or takes too long."""
    assert process.stdout is not None, "its standard output is a pipe"
    is_there, _, _ = select.select([process.stdout], [], [], _START_S)
    return process.stdout.readline().strip() if is_there else ""


def _stop(process: "subprocess.Popen[str]") -> None:
    """Ask it to end, and end it where it does not, or where Ctrl-C comes while it is waited for."""
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        pass
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
