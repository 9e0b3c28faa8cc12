"""A real agent for tests: `tokenward agent` as a process of its own, with a home of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from guard import GuardProcess

STOP_S = 30.0


class AgentProcess:
    """One enrolled holder and the agent that signs for it; can be killed and started again."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.ready: dict[str, Any] = {}
        self._environ = {**os.environ, "TOKENWARD_HOME": str(home)}
        self._environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"
        self._process: subprocess.Popen[bytes] | None = None
        home.mkdir(parents=True, exist_ok=True)
        self._log = home / "agent.log"

    @property
    def base_url(self) -> str:
        """Where tools find it, without `/v1`."""
        url: str = self.ready["url"]
        return url

    @property
    def port(self) -> int:
        """Of `base_url`."""
        return int(self.base_url.rpartition(":")[2])

    @property
    def token(self) -> str:
        """The key that tools are given."""
        return Path(self.ready["token_file"]).read_text("ascii").strip()

    def start(self, *words: str, port: int = 0) -> None:
        """Start it and wait until it is ready."""
        log = self._log.open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tokenward", "--json", "agent", "--port", str(port), *words],
            env=self._environ,
            stdout=subprocess.PIPE,
            stderr=log,
        )
        log.close()
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the agent did not start: {self.log()}"
        self.ready = json.loads(line)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """An agent that is expected not to start."""
        return subprocess.run(
            [sys.executable, "-m", "tokenward", "agent", "--port", "0", *words],
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=STOP_S,
            check=False,
        )

    def stop(self, *how: signal.Signals) -> int:
        """The exit status after these signals, SIGTERM if none is named."""
        assert self._process is not None
        process, self._process = self._process, None
        for number in how or (signal.SIGTERM,):
            process.send_signal(number)
        status = process.wait(STOP_S)
        assert process.stdout is not None
        process.stdout.close()
        return status

    @property
    def is_running(self) -> bool:
        """Whether it was started and neither stopped nor killed."""
        return self._process is not None

    def log(self) -> str:
        """What it wrote to stderr."""
        return self._log.read_text("utf-8") if self._log.exists() else ""


@contextmanager
def enrolled_agent(guard: GuardProcess, home: Path, *key: str) -> Iterator[AgentProcess]:
    """A started agent of a new key, `--bind dpop` unless said otherwise; it must end well."""
    made = guard.cli("key", "create", "--project", "tests", *(key or ("--bind", "dpop")))
    agent = AgentProcess(home)
    agent.start("--guard", guard.base_url, "--enrol", made["enrolment_code"])
    assert agent.ready["key"] == made["id"]
    try:
        yield agent
    finally:
        if agent.is_running:
            assert agent.stop() == 0, agent.log()
