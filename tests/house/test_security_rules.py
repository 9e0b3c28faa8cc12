"""Static rules of security: what must not be in the code at all (S-4, S-7, S-9)."""

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from house.source import ROOT, shown, trees

RUNTIME_DEPENDENCIES_MAX = 12
SQL_CALLS = {"execute", "executemany", "executescript"}


@pytest.mark.req("S-4")
def test_sql_is_never_built_from_values() -> None:
    """A statement is a constant, a name of one, or constants joined; never f-strings, % or +
    with anything else, in any call that runs SQL."""
    built = []
    for path, tree in trees():
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in SQL_CALLS
                and node.args
                and isinstance(node.args[0], ast.JoinedStr | ast.BinOp | ast.Call)
            ):
                built.append(f"{shown(path)}:{node.lineno}")
    assert built == []


@pytest.mark.req("S-7")
def test_no_request_can_become_code() -> None:
    forbidden = {
        "eval",
        "exec",
        "compile",
        "__import__",
        "system",
        "popen",
        "Popen",
        "loads_pickle",
    }
    modules = {"pickle", "marshal", "shelve", "jinja2", "mako", "subprocess", "ctypes", "yaml"}
    found = []
    for path, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                name = (
                    node.func.id
                    if isinstance(node.func, ast.Name)
                    else getattr(node.func, "attr", "")
                )
                is_regex = isinstance(node.func, ast.Attribute) and (
                    getattr(node.func.value, "id", "") == "re"
                )
                if name in forbidden and not is_regex:
                    found.append(f"{shown(path)}:{node.lineno} {name}")
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            found += [f"{shown(path)} imports {n}" for n in names if n.split(".")[0] in modules]
    # The demonstration and the drill start processes of their own, from constants.
    own = "src/tokenward/lab/processes.py"
    assert [entry for entry in found if not entry.startswith(own)] == []


@pytest.mark.req("S-9")
def test_every_requirement_is_pinned_with_hashes_and_names_no_index() -> None:
    locked = [*ROOT.glob("requirements/*.txt"), *ROOT.glob("tests/clients/*.txt")]
    assert len(locked) >= 6
    for page in locked:
        text = page.read_text("utf-8")
        assert not re.search(r"index-url|find-links|trusted-host|https?://", text), page.name
        pins = re.findall(r"(?m)^[a-z0-9]\S*", text)
        assert pins, page.name
        for block in re.split(r"(?m)^(?=[a-z0-9])", text)[1:]:
            assert "==" in block.split()[0], block.split()[0]
            assert "--hash=sha256:" in block, block.split()[0]
    makefile = (ROOT / "Makefile").read_text("utf-8")
    installs = [line for line in makefile.splitlines() if "pip install" in line]
    assert installs
    assert all("--require-hashes" in line or "--no-deps" in line for line in installs)


@pytest.mark.req("S-9")
def test_the_number_of_runtime_dependencies_has_a_ceiling() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert len(project["dependencies"]) <= RUNTIME_DEPENDENCIES_MAX


@pytest.mark.req("S-9")
def test_the_wheel_holds_the_package_and_nothing_else(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=120,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    strays = [n for n in names if not n.startswith(("tokenward/", "tokenward-"))]
    assert strays == []
    assert not [n for n in names if n.endswith((".pth", "setup.py", ".so"))]


@pytest.mark.req("S-9")
def test_importing_everything_opens_no_connection() -> None:
    program = """
import socket, pkgutil, importlib
def no(*a, **k): raise SystemExit("an import opened a connection")
socket.socket.connect = no; socket.getaddrinfo = no
import tokenward
for m in pkgutil.walk_packages(tokenward.__path__, "tokenward."):
    if not m.name.endswith("__main__"):
        importlib.import_module(m.name)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
