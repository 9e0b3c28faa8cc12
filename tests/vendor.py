"""Other people's software for the tests: pinned by hashes, fetched once, kept in `.venv/clients`.

Where it cannot be had (no Node, no registry), a test is skipped and says so.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from house.source import ROOT

CACHE = ROOT / ".venv" / "clients"
PINS = ROOT / "tests" / "clients"
NODE_MAJOR_MIN = 20
SCRIPTS = ("run.mjs", "oauth.mjs")
_PIP = ("-m", "pip", "--disable-pip-version-check", "-q")
_FETCH_LIMIT_S = 600
_GO_ALONE = {
    "CGO_ENABLED": "0",
    "GOFLAGS": "-mod=mod",
    "GOPROXY": "off",
    "GOTOOLCHAIN": "local",
}
"""Go is to compile with what is here: nothing is fetched, and no C compiler is needed."""
_KEY_LINE = re.compile(r"(?m)^api_key = .*$")
_KEY_FROM_ENVIRON = 'api_key = os.environ["TEST_API_KEY"]'
_UNREACHABLE = (
    "ENOTFOUND",
    "EAI_AGAIN",
    "ECONNREFUSED",
    "ECONNRESET",
    "ETIMEDOUT",
    "NewConnectionError",
    "Temporary failure in name resolution",
    "No matching distribution found",
)


def node_modules() -> Path:
    """The folder in which `node` finds the packages of `clients/node/package-lock.json`."""
    _require_node()
    pins = [PINS / "node" / name for name in ("package.json", "package-lock.json", *SCRIPTS)]

    def fill(folder: Path) -> None:
        for pin in pins:
            shutil.copy(pin, folder)
        _fetch(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], folder)

    return _cached("node", pins, fill)


def coding_tool() -> Path:
    """The command of Codex, a coding tool, of `clients/codex/package-lock.json`."""
    _require_node()
    pins = [PINS / "codex" / name for name in ("package.json", "package-lock.json")]

    def fill(folder: Path) -> None:
        for pin in pins:
            shutil.copy(pin, folder)
        _fetch(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], folder)

    return _cached("codex", pins, fill) / "node_modules" / ".bin" / "codex"


def suites() -> Path:
    """A folder with the unpacked sdists of `clients/sdists.txt` and, in `venv`, a Python that can
    run their test-suites (`clients/suites.txt`). The suites name a key of nobody; here it comes
    from $TEST_API_KEY, and nothing else in them is changed."""
    pins = [PINS / "sdists.txt", PINS / "suites.txt"]

    def fill(folder: Path) -> None:
        sdists = ["download", "--no-deps", "--no-binary", "openai,anthropic", "--require-hashes"]
        _fetch([sys.executable, *_PIP, *sdists, "-r", str(pins[0])], folder)
        for archive in folder.glob("*.tar.gz"):
            shutil.unpack_archive(archive, folder, filter="data")
        for page in folder.glob("*/tests/conftest.py"):
            text, count = _KEY_LINE.subn(_KEY_FROM_ENVIRON, page.read_text("utf-8"))
            assert count == 1, page
            page.write_text(text, "utf-8")
        _environment(pins[1], folder)

    return _cached("suites", pins, fill)


def programs() -> Path:
    """The commands of `clients/programs.txt`: `go`, and a `python` that has LiteLLM."""
    pins = [PINS / "programs.txt"]

    def fill(folder: Path) -> None:
        _environment(pins[0], folder)

    return _cached("programs", pins, fill) / "venv" / "bin"


def go_program(source: Path) -> Path:
    """The command that one file of Go is compiled to, which needs nothing but Go's own library."""
    go = programs() / "go"

    def fill(folder: Path) -> None:
        build = [str(go), "build", "-o", str(folder / source.stem), str(source)]
        with tempfile.TemporaryDirectory() as home:  # all that Go keeps, it keeps there
            own = {"HOME": home, "TMPDIR": home, "PATH": os.environ["PATH"]}
            _fetch(build, folder, {**own, **_GO_ALONE})

    return _cached(source.stem, [PINS / "programs.txt", source], fill) / source.stem


def _environment(pins: Path, folder: Path) -> None:
    """A virtual environment in `venv`. Compiled is only what is imported, when it is."""
    _fetch([sys.executable, "-m", "venv", "venv"], folder)
    python = str(folder / "venv" / "bin" / "python")
    install = ["install", "--no-compile", "--require-hashes", "-r", str(pins)]
    _fetch([python, *_PIP, *install], folder)


def _require_node() -> None:
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        pytest.skip("needs Node and npm, which are not installed")
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(said.strip().lstrip("v").split(".")[0]) < NODE_MAJOR_MIN:
        pytest.skip(f"needs Node {NODE_MAJOR_MIN} or newer; this is {said.strip()}")


def _cached(name: str, pins: list[Path], fill: Callable[[Path], None]) -> Path:
    """The folder for just these pins, filled by whoever comes first. It is filled where it stays,
    because a virtual environment cannot be moved."""
    digest = hashlib.sha256(b"\0".join(pin.read_bytes() for pin in pins)).hexdigest()[:16]
    folder = CACHE / f"{name}-{digest}"
    with _lock(name):
        done = folder / "filled"
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            fill(folder)
            done.touch()
    return folder


@contextmanager
def _lock(name: str) -> Iterator[None]:
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _fetch(command: list[str], folder: Path, environ: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=_FETCH_LIMIT_S,
        check=False,
    )
    said = done.stdout + done.stderr
    if done.returncode and any(sign in said for sign in _UNREACHABLE):
        pytest.skip(f"the package registry cannot be reached: {said[-200:]}")
    assert done.returncode == 0, f"{command}: {said[-2000:]}"
