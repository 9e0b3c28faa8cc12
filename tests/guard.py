"""A real guard for tests: `tokenward serve` as a process of its own, on loopback."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

START_LIMIT_S = 30.0
MODELS = {
    "openai": '["gpt-*", "o*", "text-embedding-*", "tts-*", "whisper-*", "dall-e-*"]',
    "anthropic": '["claude-*"]',
    "gemini": '["gemini-*"]',
}


def provider_settings(base_url: str, dialects: tuple[str, ...] = tuple(MODELS)) -> str:
    """TOML of one provider a dialect, all at `base_url`, with the credential in $PROVIDER_KEY."""
    return "\n".join(
        f'[[provider]]\nname = "{dialect}"\ndialect = "{dialect}"\nbase_url = "{base_url}"\n'
        f'credential = "env:PROVIDER_KEY"\nmodels = {MODELS[dialect]}\n'
        for dialect in dialects
    )


class GuardProcess:
    """One data folder and the guard that serves it; can be killed and started again."""

    def __init__(self, folder: Path, settings: str, environ: Mapping[str, str]) -> None:
        self.folder = folder
        # A machine full of tests has a late disk now and then; what a guard does about it has its
        # own tests.
        patient = {"TOKENWARD_LEDGER__COMMIT_LIMIT_S": "20"}
        self._environ = {**os.environ, **patient, **environ}
        self._process: subprocess.Popen[bytes] | None = None
        self._log = folder / "guard.log"
        self.base_url = ""
        folder.mkdir(parents=True, exist_ok=True)
        self.run("init", str(folder), config=False)
        if "[keys]" not in settings:  # most tests are about the caps they set themselves
            settings += '\n[keys]\nbearer_cap = ""\n'
        (folder / "tokenward.toml").write_text(
            settings + '\n[admin]\ntoken = "file:data/admin.token"\n', "utf-8"
        )
        self.admin_token = (folder / "data" / "admin.token").read_text("ascii").strip()

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        assert self._process is not None
        return self._process.pid

    def start(self, port: int = 0) -> None:
        """Start it and wait until it is ready; unless a port is named, a new one each time."""
        log = self._log.open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tokenward", "--json", "serve", "--port", str(port)],
            cwd=self.folder,
            env=self._environ,
            stdout=subprocess.PIPE,
            stderr=log,
        )
        log.close()
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait(30)
            self._close()
        assert line, f"the guard did not start: {self.log()}"
        self.base_url = json.loads(line)["url"]

    def stop(self, limit_s: float = 60.0) -> int:
        """SIGTERM; the exit status."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        status = self._process.wait(limit_s)
        self._close()
        return status

    def kill(self) -> None:
        """SIGKILL, as a crash or the out-of-memory killer would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(30)
        self._close()

    def _close(self) -> None:
        assert self._process is not None
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None

    @property
    def is_running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def log(self) -> str:
        """What it wrote to stderr."""
        return self._log.read_text("utf-8", errors="replace") if self._log.exists() else ""

    def run(self, *args: str, config: bool = True) -> subprocess.CompletedProcess[str]:
        """The command line, in this folder."""
        return subprocess.run(
            [sys.executable, "-m", "tokenward", *args],
            cwd=self.folder if config else None,
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def cli(self, *args: str) -> Any:
        """The command with `--json`; its value. Fails the test if it is refused, unless only
        because the disk of a busy machine was late."""
        until = time.monotonic() + START_LIMIT_S
        while True:
            done = self.run("--json", *args)
            if done.returncode == 0:
                return json.loads(done.stdout)
            is_late = "store:unavailable" in done.stderr and time.monotonic() < until
            assert is_late, f"{args}: {done.stdout}{done.stderr}"

    def key(self, *args: str) -> tuple[str, str]:
        """A new key of project `tests`: its id and its text."""
        made = self.cli("key", "create", "--project", "tests", *args)
        return made["id"], made["key"]

    def recorded(self, key_id: str, count: int = 1, limit_s: float = 30.0) -> list[dict[str, Any]]:
        """The records of a key as soon as there are so many: nobody waits for theirs."""
        until = time.monotonic() + limit_s
        while True:
            found: list[dict[str, Any]] = self.cli("records", "--key", key_id)
            if len(found) >= count:
                return found
            assert time.monotonic() < until, f"{len(found)} of {count} calls are recorded"

    def wait_until_settled(self, limit_s: float = 30.0) -> list[dict[str, Any]]:
        """Wait until no cap has money held; the caps."""
        until = time.monotonic() + limit_s
        while True:
            caps: list[dict[str, Any]] = self.cli("cap", "list")
            if all(cap["held"] == 0 for cap in caps):
                return caps
            assert time.monotonic() < until, f"money is still held: {caps}"
            time.sleep(0.2)


@contextmanager
def running_guard(
    folder: Path, settings: str, environ: Mapping[str, str] | None = None
) -> Iterator[GuardProcess]:
    """A started guard, stopped at the end; its log is shown when it did not stop well."""
    guard = GuardProcess(folder, settings, environ or {})
    guard.start()
    try:
        yield guard
    finally:
        if guard.is_running:
            assert guard.stop() == 0, guard.log()
