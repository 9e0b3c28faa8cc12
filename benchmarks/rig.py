"""What every measurement stands on: one guard on one core, everything else on the other.

The guard runs as a user would run it: its own process, `tokenward serve`, SQLite with
`synchronous=FULL`. The key has a cap, and so have its project and its account; every call is
authenticated, held durably before it is sent, settled and recorded (P-2). `check` proves it.
"""

import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from benchmarks.load import request_bytes

GUARD_CORE: Final = 0
RESULTS: Final = Path(__file__).parent / "results"
SMALL: Final = "Say this is a benchmark."
KEY_CAP: Final = "90000/hour"
LARGE: Final = "word " * 50_000
"""About 50,000 tokens, 250 kB."""
_TICKS_A_S: Final = os.sysconf("SC_CLK_TCK")
_SETTINGS: Final = """
[[provider]]
name = "openai"
dialect = "openai"
base_url = "http://127.0.0.1:{port}"
credential = "env:BENCHMARK_PROVIDER_KEY"
models = ["gpt-*"]

[admin]
token = "file:data/admin.token"
"""


@dataclass(frozen=True, kw_only=True)
class Rig:
    """A running guard and the provider behind it."""

    guard_url: str
    provider_url: str
    pid: int
    key: str
    folder: Path

    def request(self, *, text: str = SMALL, stream: bool = False) -> bytes:
        """A guarded call."""
        return request_bytes(self.guard_url, self.key, text=text, stream=stream)

    def direct_request(self, *, text: str = SMALL, stream: bool = False) -> bytes:
        """The same call without the guard."""
        return request_bytes(self.provider_url, self.key, text=text, stream=stream)

    def cpu_s(self) -> float:
        """User and system time of the guard's process so far, all threads; steps of 10 ms."""
        text = Path(f"/proc/{self.pid}/stat").read_text("ascii")
        fields = text.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_A_S

    def rss_mb(self) -> float:
        """Resident memory of the guard's process, MB."""
        text = Path(f"/proc/{self.pid}/status").read_text("ascii")
        line = next(line for line in text.splitlines() if line.startswith("VmRSS:"))
        return int(line.split()[1]) / 1000

    def new_key(self, *words: str) -> str:
        """Another key of the same project, with a cap of its own."""
        wishes = ("--project", "bench", "--cap", KEY_CAP, *words)
        return str(_command(self.folder, "key", "create", *wishes)["key"])

    def check(self) -> None:
        """Fail unless the caps of keys, project and account counted the same money and none is
        held any more."""
        for _ in range(100):
            caps = _command(self.folder, "cap", "list")
            if not any(cap["held"] for cap in caps):
                break
            time.sleep(0.1)
        spent = {cap["subject"]: cap["spent"] for cap in caps if cap["held"] == 0}
        assert len(spent) == len(caps) >= 3, caps
        keys = [amount for subject, amount in spent.items() if subject.startswith("key:")]
        assert sum(keys) == spent["project:bench"] == spent["account:default"] > 0, caps


@contextmanager
def running_rig(profile: Path | None = None) -> Iterator[Rig]:
    """Start provider and guard; stop both. With `profile` the guard runs under cProfile and
    leaves its statistics there: shares of time are right then, absolute times are not."""
    cores = sorted(os.sched_getaffinity(0))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="tokenward-benchmark-")))
        if len(cores) > 1:
            os.sched_setaffinity(0, set(cores) - {cores[GUARD_CORE]})
            stack.callback(os.sched_setaffinity, 0, cores)
        provider = _start(stack, folder, ["-m", "benchmarks.provider"], None)
        assert provider.stdout is not None
        port = int(provider.stdout.readline())
        _run(folder, "init", ".")
        (folder / "tokenward.toml").write_text(_SETTINGS.format(port=port), "utf-8")
        key = _command(folder, "key", "create", "--project", "bench", "--cap", KEY_CAP)["key"]
        _command(folder, "cap", "set", "project:bench", "90000/day")
        _command(folder, "cap", "set", "account:default", "90000/month")
        tool = ["-m", "cProfile", "-o", str(profile.absolute())] if profile else []
        serve = [*tool, "-m", "tokenward", "--json", "serve", "--port", "0"]
        guard = _start(stack, folder, serve, cores[GUARD_CORE])
        assert guard.stdout is not None
        line = guard.stdout.readline()
        assert line, (folder / "log").read_text("utf-8")
        yield Rig(
            guard_url=json.loads(line)["url"],
            provider_url=f"http://127.0.0.1:{port}",
            pid=guard.pid,
            key=key,
            folder=folder,
        )


def _start(
    stack: ExitStack, folder: Path, arguments: list[str], core: int | None
) -> "subprocess.Popen[str]":
    log = stack.enter_context((folder / "log").open("a", encoding="utf-8"))
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env=_environ(),
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        # Before it starts, so that its threads stay there too.
        preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core}),
    )
    stack.callback(_stop, process)
    return process


def _stop(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    if process.stdout is not None:
        process.stdout.close()


def _environ() -> dict[str, str]:
    root = str(Path(__file__).parents[1])
    return {**os.environ, "BENCHMARK_PROVIDER_KEY": "sk-benchmark", "PYTHONPATH": root}


def _run(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tokenward", "--json", *words],
        cwd=folder,
        env=_environ(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _command(folder: Path, *words: str) -> Any:
    return json.loads(_run(folder, *words))


def quantiles_us(values_s: Sequence[float]) -> dict[str, float]:
    """p50, p95 and p99 in microseconds."""
    cuts = statistics.quantiles(values_s, n=100, method="inclusive")
    return {name: round(cuts[at] * 1e6) for name, at in (("p50", 49), ("p95", 94), ("p99", 98))}


def middle_half_us(values_s: Sequence[float]) -> dict[str, float]:
    """Median and the quartiles around it (the IQR), in microseconds."""
    low, middle, high = (round(q * 1e6) for q in statistics.quantiles(values_s, n=4))
    return {"median": middle, "iqr": [low, high]}


def machine() -> dict[str, Any]:
    """What the numbers are of."""
    cpu = Path("/proc/cpuinfo").read_text("utf-8")
    model = next((li for li in cpu.splitlines() if li.startswith("model name")), "").partition(": ")
    return {
        "cores": os.cpu_count(),
        "cpu": model[2],
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }


def busy_share(wait_s: float = 1.0) -> float:
    """How much of the machine others use now, 0 to 1."""
    before = _jiffies()
    time.sleep(wait_s)
    after = _jiffies()
    total = sum(after) - sum(before)
    idle = after[3] + after[4] - before[3] - before[4]
    return 1 - idle / total


def _jiffies() -> list[int]:
    line = Path("/proc/stat").read_text("ascii").splitlines()[0]
    return [int(number) for number in line.split()[1:9]]


def report(name: str, what: dict[str, Any]) -> None:
    """Print, and keep beside the others of this machine."""
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({"benchmark": name, "machine": machine(), **what}, indent=2)
    (RESULTS / f"{name}.json").write_text(text + "\n", "utf-8")
    print(text)
