"""The command line in this process: what it prints and how it exits."""

import fcntl
import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from tokenward.cli.main import run

PATIENT = {"TOKENWARD_LEDGER__COMMIT_LIMIT_S": "20"}
"""A machine full of tests has a late disk now and then."""


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def value(self) -> Any:
        """The one JSON value on stdout; nothing else may be there."""
        value = json.loads(self.out)
        assert self.out.count("\n") == 1
        return value

    @property
    def error(self) -> dict[str, str]:
        """The refusal, as JSON on stderr."""
        assert self.out == ""
        error: dict[str, str] = json.loads(self.err)["error"]
        return error


@contextmanager
def held(data_dir: Path) -> Iterator[TextIO]:
    """Another process holds the records: the file whose lock says so."""
    with (data_dir / "guard.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


class Shell:
    """A folder with settings, and a way to run commands on it."""

    def __init__(self, folder: Path, environ: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.environ = {**PATIENT, **(environ or {})}
        self.config = folder / "tokenward.toml"

    def __call__(self, *words: str) -> Done:
        """Run `tokenward …` with this folder's settings."""
        out, err = io.StringIO(), io.StringIO()
        environ = {"TOKENWARD_CONFIG": str(self.config), **self.environ}
        status = run(list(words), environ, out, err)
        return Done(status, out.getvalue(), err.getvalue())

    def json(self, *words: str) -> Any:
        """The value of a command that must succeed."""
        done = self(*words, "--json")
        assert (done.status, done.err) == (0, "")
        return done.value
