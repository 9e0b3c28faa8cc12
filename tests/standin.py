"""The stand-in provider as a process of its own, for tests and benchmarks."""

import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CREDENTIAL = "sk-standin-provider-credential"
_READY = "stand-in ready on "
_STOP_S = 10
_NOTICED_S = 30.0


@dataclass(frozen=True)
class StandinProcess:
    """A running stand-in: where it is, what it wants to see, and what it says of itself."""

    base_url: str
    credential: str
    bill_path: Path
    pid: int

    def get(self, what: str) -> Any:
        """`bill`, `requests` or `leaks`, decoded; `?last=N` may follow."""
        with urllib.request.urlopen(f"{self.base_url}/_standin/{what}", timeout=30) as answer:
            return json.load(answer)

    def bill(self) -> dict[str, Any]:
        """`{"totals": {…}, "lines": […]}`."""
        shown: dict[str, Any] = self.get("bill")
        return shown

    def bill_when(
        self, is_right: Callable[[dict[str, Any]], bool], wait_s: float = _NOTICED_S
    ) -> dict[str, Any]:
        """The bill as soon as it is right: a line of a cut call comes when the stand-in notices.
        AssertionError after `wait_s`."""
        until = time.monotonic() + wait_s
        while not is_right(bill := self.bill()):
            assert time.monotonic() < until, f"the bill stays at {bill['totals']}"
            time.sleep(0.01)
        return bill

    def lines(self, tag: str) -> list[dict[str, Any]]:
        """The lines of calls that were sent with `x-standin: tag=…`."""
        return [line for line in self.bill()["lines"] if line["tag"] == tag]

    def line(self, tag: str) -> dict[str, Any]:
        """The one line of a call, as soon as it is there."""
        bill = self.bill_when(lambda bill: any(line["tag"] == tag for line in bill["lines"]))
        (line,) = (line for line in bill["lines"] if line["tag"] == tag)
        return line

    def requests(self, last: int = 100) -> list[dict[str, Any]]:
        """The last requests it saw, oldest first."""
        shown: list[dict[str, Any]] = self.get(f"requests?last={last}")
        return shown

    async def has_seen(self, name: str, wait_s: float = _NOTICED_S) -> None:
        """Wait until a request with this word in its headers has come."""
        until = time.monotonic() + wait_s
        while name not in str(await asyncio.to_thread(self.requests)):
            assert time.monotonic() < until, f"{name} never came"
            await asyncio.sleep(0.02)

    def leaks(self) -> list[dict[str, Any]]:
        """Where it saw a key that must never reach a provider."""
        shown: list[dict[str, Any]] = self.get("leaks")
        return shown

    def reset(self) -> None:
        """Forget the bill, the requests and the leaks."""
        request = urllib.request.Request(f"{self.base_url}/_standin/reset", method="POST")
        urllib.request.urlopen(request, timeout=30).close()


@contextmanager
def running_standin(
    folder: Path, credential: str = CREDENTIAL, *more: str, port: int = 0
) -> Iterator[StandinProcess]:
    """Start a stand-in whose bill lies in `folder`; it is gone when the context ends."""
    bill = folder / "bill.jsonl"
    command = [sys.executable, "-m", "tokenward.lab.standin", "--port", str(port)]
    command += ["--credential", credential, "--bill", str(bill), *more]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith(_READY), f"the stand-in did not start: {line!r}"
        yield StandinProcess(line.removeprefix(_READY).strip(), credential, bill, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
