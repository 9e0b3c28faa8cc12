"""A gateway as a process that can be started, killed, frozen and thawed."""

import contextlib
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.storms.stores import free_port

READY_LIMIT_S: Final = 480.0
STOP_LIMIT_S: Final = 60.0
_ASK_AGAIN_S: Final = 0.05
_ANSWER_S: Final = 3.0
_WORDS_SHOWN: Final = 3_000


@dataclass(kw_only=True)
class GatewayProcess:
    """One gateway on a port of loopback, in a process group of its own, so that what it started is
    killed with it. `command` is completed by its port."""

    name: str
    folder: Path
    command: Sequence[str | Path]
    environ: Mapping[str, str]
    ready_path: str
    port: int = field(default_factory=free_port)
    ended: int = 0
    """How often it ended by itself."""
    _process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """Where it is, also while it is down."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        assert self._process is not None, f"{self.name} does not run"
        return self._process.pid

    @property
    def log(self) -> Path:
        """What it wrote."""
        return self.folder / f"{self.name}.log"

    def start(self) -> None:
        """Start it; `wait` says when it is ready."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self.command, "--port", str(self.port)],
                cwd=self.folder,
                env={**os.environ, **self.environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def is_ready(self) -> bool:
        """Whether it says so now."""
        if self._process is None or self._process.poll() is not None:
            return False
        try:
            with urllib.request.urlopen(self.url + self.ready_path, timeout=_ANSWER_S) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def wait(self) -> None:
        """Until it is ready, as under a service manager: one that ends by itself is started again.
        AssertionError when it takes too long."""
        until_s = time.monotonic() + READY_LIMIT_S
        while not self.is_ready():
            assert time.monotonic() < until_s, f"{self.name} is not ready: {self._last_words()}"
            time.sleep(_ASK_AGAIN_S)
            self.revive()

    def revive(self) -> None:
        """Start it again if it ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            self.ended += 1
            self.start()

    def _last_words(self) -> str:
        return self.log.read_text("utf-8", "replace")[-_WORDS_SHOWN:]

    def kill(self) -> None:
        """SIGKILL, with everything that it started, as when a machine goes down."""
        self._signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait(STOP_LIMIT_S)
        self._process = None

    def freeze(self) -> None:
        """SIGSTOP: it does nothing and knows nothing of it."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """SIGTERM; killed when it takes too long."""
        if self._process is None:
            return
        self.thaw()
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_LIMIT_S)
        self._signal(signal.SIGKILL)
        self._process.wait(STOP_LIMIT_S)
        self._process = None

    def _signal(self, what: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, what)
