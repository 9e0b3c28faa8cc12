"""What every measurement stands on: a guard as a user would run it, and a provider behind it.

The guard is `tokenward serve` in processes of its own: one (the usual case: on one core, all else
on the others), one with workers, or several gateways on PostgreSQL and Valkey. The key has a cap,
and so have its project and its account; every call is authenticated, held durably before it is
sent, settled and recorded (P-2). `check` proves it.
"""

import json
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from benchmarks import processes
from benchmarks.load import request_bytes

GUARD_CORE: Final = 0
RESULTS: Final = Path(__file__).parent / "results"
SMALL: Final = "Say this is a benchmark."
KEY_CAP: Final = "90000/total"
"""Of all time, as those of project and account: their sums are compared, whatever hour strikes."""
LARGE: Final = "word " * 50_000
"""About 50,000 tokens, 250 kB."""
HUGE: Final = "word " * 100_000
"""About 100,000 tokens, 500 kB."""
ON: Final = (
    "the key is looked up and its HMAC checked",
    "the body is read strictly, the model priced, the most it can cost worked out",
    "caps of money on key, project and account are held in one commit before anything is sent",
    "a commit is on the disk (SQLite: synchronous=FULL; PostgreSQL: its default)",
    "usage is read from the answer and settled in the ledger's chain",
    "every call is scored, judged and learned from; networks come from no files",
    "one record a call, metrics",
)
OFF: Final = (
    "proofs of possession, but where a row says dpop",
    "TLS",
)
_SETTLE_S: Final = 20.0
_NEXT: Final = re.compile(r"<(\?[^>]*)>; rel=\"next\"")
_SETTINGS: Final = """
[[provider]]
name = "openai"
dialect = "openai"
base_url = "{url}"
credential = "env:BENCHMARK_PROVIDER_KEY"
models = ["gpt-*"]

[admin]
token = "file:data/admin.token"
"""


@dataclass(frozen=True, kw_only=True)
class StoreUrls:
    """Where gateways of many machines keep their records and what is hot."""

    records: str
    hot: str

    @property
    def environ(self) -> dict[str, str]:
        """As a guard takes it."""
        return {"TOKENWARD_STORE__RECORDS": self.records, "TOKENWARD_STORE__HOT": self.hot}


@dataclass(kw_only=True)
class Rig:
    """Running guards with the same keys, and the provider behind them."""

    provider_url: str
    folder: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    guard_urls: tuple[str, ...] = ()
    pids: tuple[int, ...] = ()
    """Of the processes that were started; `family` knows those below them."""
    key: str = ""
    guard_core: int | None = None
    """Kept free for the guard by all others."""
    relay_url: str = ""
    """Of `benchmarks.relay` on the guard's core, where one runs."""
    relay_pid: int = 0

    @property
    def guard_url(self) -> str:
        """The guard's, or the first one's."""
        return self.guard_urls[0]

    @property
    def pid(self) -> int:
        """The guard's, or the first one's."""
        return self.pids[0]

    @property
    def family(self) -> list[int]:
        """All processes of all guards."""
        return processes.families(self.pids)

    def request(self, *, text: str = SMALL, stream: bool = False, key: str = "") -> bytes:
        """A guarded call."""
        return request_bytes(self.guard_url, key or self.key, text=text, stream=stream)

    def relayed_request(self, *, text: str = SMALL, stream: bool = False) -> bytes:
        """The same call through the relay."""
        return request_bytes(self.relay_url, self.key, text=text, stream=stream)

    def direct_request(self, *, text: str = SMALL, stream: bool = False) -> bytes:
        """The same call without the guard."""
        return request_bytes(self.provider_url, self.key, text=text, stream=stream)

    def cpu_s(self) -> float:
        """User and system time of all guards so far; steps of 10 ms a process."""
        return processes.cpu_s(self.family)

    def rss_mb(self) -> float:
        """Resident memory of all guards, MB."""
        return processes.rss_mb(self.family)

    def admin(self, method: str, path: str, body: object = None, *, limit_s: float = 60) -> Any:
        """An admin command; its JSON. A list that comes in pages comes whole."""
        token = (self.folder / "data" / "admin.token").read_text("ascii").strip()
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        url = f"{self.guard_url}/admin/v1{path}"
        found: list[Any] = []
        try:
            while True:
                with urlopen(Request(url, data, headers, method=method), timeout=limit_s) as answer:
                    page, link = json.load(answer), answer.headers.get("link", "")
                if not isinstance(page, list):
                    return page
                found += page
                following = _NEXT.fullmatch(link)
                if following is None:
                    return found
                url = url.partition("?")[0] + following[1]
        except HTTPError as refused:
            raise AssertionError(f"{method} {path}: {refused.read().decode()}") from None

    def new_key(self, project: str = "bench", account: str = "default", **wishes: object) -> str:
        """Another key with a cap of its own; so are its project and its account."""
        return str(self.made_key(project, account, **wishes)["key"])

    def made_key(
        self, project: str = "bench", account: str = "default", **wishes: object
    ) -> dict[str, Any]:
        """The same with all that is told of it."""
        accounts = {each["name"] for each in self.admin("GET", "/accounts")}
        if account not in {"default", *accounts}:
            self.admin("POST", "/accounts", {"name": account})
        body = {"project": project, "account": account, "caps": [KEY_CAP], **wishes}
        made: dict[str, Any] = self.admin("POST", "/keys", body)
        caps = {f"project:{project}": KEY_CAP, f"account:{account}": KEY_CAP}
        for subject, cap in caps.items():
            self.admin("PUT", "/caps", {"subject": subject, "cap": cap})
        return made

    def spent_nusd(self) -> dict[str, int]:
        """By `key`, `project` and `account`: what all caps of that kind have counted, once no money
        is held any more. AssertionError if that does not come to be."""
        until_s = time.monotonic() + _SETTLE_S
        while any(cap["held"] for cap in self.admin("GET", "/caps")):
            assert time.monotonic() < until_s, "money is still held"
            time.sleep(0.05)
        caps = self.admin("GET", "/caps")
        spent = dict.fromkeys(("key", "project", "account"), 0)
        for cap in caps:
            spent[cap["subject"].partition(":")[0]] += cap["spent"]
        return spent

    def calls(self) -> int:
        """How many calls the books know, once none is under way."""
        self.spent_nusd()
        return int(self.admin("GET", "/usage")["calls"])

    def check(self) -> int:
        """Fail unless the caps of keys, projects and accounts counted the same money and none is
        held any more; that money, in nano-dollars."""
        spent = self.spent_nusd()
        assert spent["key"] == spent["project"] == spent["account"] > 0, spent
        return spent["account"]


@contextmanager
def running_rig(
    profile: Path | None = None,
    *,
    workers: int = 1,
    stores: StoreUrls | None = None,
    gateways: int = 1,
    is_pinned: bool = True,
) -> Iterator[Rig]:
    """Start provider and guard; stop both. With `stores` there may be several gateways, without
    them several workers. One guard alone gets a core to itself unless `is_pinned` is false. With
    `profile` it runs under cProfile and leaves its statistics there: shares of time are right
    then, absolute times are not."""
    is_pinned = is_pinned and workers == gateways == 1
    with (
        laid_out_rig(stores, is_pinned=is_pinned) as rig,
        running_guards(rig, workers=workers, gateways=gateways, profile=profile),
    ):
        rig.key = rig.new_key()
        yield rig


@contextmanager
def laid_out_rig(stores: StoreUrls | None = None, *, is_pinned: bool = False) -> Iterator[Rig]:
    """A provider and a folder with settings and secrets, for guards still to be started."""
    cores = sorted(os.sched_getaffinity(0))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="tokenward-benchmark-")))
        core = cores[GUARD_CORE] if is_pinned and len(cores) > 1 else None
        if core is not None:
            os.sched_setaffinity(0, set(cores) - {core})
            stack.callback(os.sched_setaffinity, 0, cores)
        url = stack.enter_context(running_provider(folder))
        environ = {"BENCHMARK_PROVIDER_KEY": "sk-benchmark", **(stores.environ if stores else {})}
        rig = Rig(provider_url=url, folder=folder, environ=environ, guard_core=core)
        command(rig, "init", ".")
        (folder / "tokenward.toml").write_text(_SETTINGS.format(url=url), "utf-8")
        yield rig


@contextmanager
def running_provider(folder: Path) -> Iterator[str]:
    """`benchmarks.provider` in a process of its own; its address. Its log goes to the folder."""
    with _started(folder, ["-m", "benchmarks.provider"], {}) as provider:
        assert provider.stdout is not None
        yield f"http://127.0.0.1:{int(provider.stdout.readline())}"


@contextmanager
def running_relay(rig: Rig) -> Iterator[None]:
    """`benchmarks.relay` before the rig's provider, on the guard's core, which it shares: only one
    of them is called at a time."""
    port = str(urlsplit(rig.provider_url).port)
    with _started(rig.folder, ["-m", "benchmarks.relay", port], {}, rig.guard_core) as relay:
        assert relay.stdout is not None
        rig.relay_url = f"http://127.0.0.1:{int(relay.stdout.readline())}"
        rig.relay_pid = relay.pid
        yield
    rig.relay_url, rig.relay_pid = "", 0


@contextmanager
def running_guards(
    rig: Rig, *, workers: int = 1, gateways: int = 1, profile: Path | None = None
) -> Iterator[float]:
    """Start the rig's guards; seconds until all were ready. Stop them when this ends."""
    tool = ["-m", "cProfile", "-o", str(profile.absolute())] if profile else []
    serve = [*tool, "-m", "tokenward", "--json", "serve", "--port", "0"]
    serve += ["--workers", str(workers)] if workers > 1 else []
    began_s = time.perf_counter()
    with ExitStack() as stack:
        for _ in range(gateways):  # one after the other: the first lays out the tables
            guard = stack.enter_context(_started(rig.folder, serve, rig.environ, rig.guard_core))
            assert guard.stdout is not None
            line = guard.stdout.readline()
            assert line, (rig.folder / "log").read_text("utf-8")
            rig.guard_urls += (json.loads(line)["url"],)
            rig.pids += (guard.pid,)
        yield time.perf_counter() - began_s
    rig.guard_urls, rig.pids = (), ()


@contextmanager
def _started(
    folder: Path, arguments: Sequence[str], environ: Mapping[str, str], core: int | None = None
) -> Iterator["subprocess.Popen[str]"]:
    with (folder / "log").open("a", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env=_environ(environ),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            # Before it starts, so that its threads stay there too.
            preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core}),
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        if process.stdout is not None:
            process.stdout.close()


def _environ(more: Mapping[str, str]) -> dict[str, str]:
    paths = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, **more, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def command(rig: Rig, *words: str) -> Any:
    """A command as a user would type it; its JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "tokenward", "--json", *words],
        cwd=rig.folder,
        env=_environ(rig.environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout) if done.stdout.strip() else None


def quantiles_us(values_s: Sequence[float]) -> dict[str, float]:
    """p50, p95 and p99 in microseconds."""
    cuts = statistics.quantiles(values_s, n=100, method="inclusive")
    return {name: round(cuts[at] * 1e6) for name, at in (("p50", 49), ("p95", 94), ("p99", 98))}


def middle_half_us(values_s: Sequence[float]) -> dict[str, Any]:
    """Median and the quartiles around it (the IQR), in microseconds."""
    low, middle, high = (round(q * 1e6) for q in _quartiles(values_s))
    return {"median": middle, "iqr": [low, high]}


def middle(values: Sequence[float]) -> dict[str, Any]:
    """The same of any numbers, in their own unit; of one number, that number."""
    low, median, high = (round(q, 1) for q in _quartiles(values))
    return {"median": median, "iqr": [low, high]}


def _quartiles(values: Sequence[float]) -> list[float]:
    if len(values) == 1:
        return [values[0]] * 3
    return statistics.quantiles(values, n=4, method="inclusive")


def machine() -> dict[str, Any]:
    """What the numbers are of."""
    cpu = Path("/proc/cpuinfo").read_text("utf-8")
    model = next((li for li in cpu.splitlines() if li.startswith("model name")), "").partition(": ")
    memory = Path("/proc/meminfo").read_text("ascii").split()
    return {
        "cores": os.cpu_count(),
        "cpu": model[2],
        "memory_gb": round(int(memory[memory.index("MemTotal:") + 1]) / 1e6, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 2),
    }


def report(name: str, what: dict[str, Any], *, is_kept: bool = True) -> None:
    """Print, and keep beside the others of this machine; a quick run is not kept."""
    text = json.dumps({"benchmark": name, "machine": machine(), **what}, indent=2)
    if is_kept:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(text + "\n", "utf-8")
    print(text)
