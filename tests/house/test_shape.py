"""The code keeps the shape that the house style promises."""

import ast
import re
import statistics

import pytest

from house.source import ROOT, SRC, python_files, shown, trees

FORBIDDEN_NAMES = {"utils", "helpers", "common", "manager", "base", "misc", "util", "helper"}


def test_no_source_file_passes_400_lines_and_the_median_stays_small() -> None:
    sizes = {shown(p): len(p.read_text("utf-8").splitlines()) for p in python_files()}
    assert {name: n for name, n in sizes.items() if n > 400} == {}
    assert statistics.median(n for n in sizes.values() if n > 1) <= 130


def test_no_function_passes_70_lines() -> None:
    long = [
        f"{shown(path)}:{node.name}"
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > 70
    ]
    assert long == []


def test_flow_is_readable_in_one_sitting() -> None:
    assert len((SRC / "pipeline/flow.py").read_text("utf-8").splitlines()) <= 150


def test_every_file_and_every_public_thing_says_what_it_is_for() -> None:
    silent = []
    for path, tree in trees():
        if path.read_text("utf-8").strip() and ast.get_docstring(tree) is None:
            silent.append(shown(path))
        for node in tree.body:
            if (
                isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
                and not node.name.startswith("_")
                and ast.get_docstring(node) is None
            ):
                silent.append(f"{shown(path)}:{node.name}")
    assert silent == []


def test_every_room_says_what_it_promises_and_how_it_fails() -> None:
    for room in ("keys", "limits", "ledger", "prices", "providers", "kernel", "pipeline"):
        text = (SRC / room / "__init__.py").read_text("utf-8")
        for part in ("Promises:", "Does not promise:", "Fails how:"):
            assert part in text, f"{room} does not say: {part}"


def test_no_file_has_a_name_that_says_nothing() -> None:
    assert [shown(p) for p in python_files() if p.stem in FORBIDDEN_NAMES] == []


def test_broad_excepts_stand_only_where_the_design_allows_and_give_a_reason() -> None:
    allowed = {"src/tokenward/pipeline/flow.py", "src/tokenward/pipeline/relay.py"}
    for path, tree in trees():
        lines = path.read_text("utf-8").splitlines()
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler) and _is_broad(node):
                line = lines[node.lineno - 1]
                says_why = "# noqa: BLE001 - " in line
                re_raises = isinstance(node.body[-1], ast.Raise)
                assert shown(path) in allowed or says_why or re_raises, (
                    f"{shown(path)}:{node.lineno} catches everything without a reason"
                )


def _is_broad(handler: ast.ExceptHandler) -> bool:
    return handler.type is None or (
        isinstance(handler.type, ast.Name) and handler.type.id in ("Exception", "BaseException")
    )


def test_floats_never_touch_money() -> None:
    for room in ("ledger", "prices"):
        for path, tree in trees(SRC / room):
            for node in ast.walk(tree):
                is_float = isinstance(node, ast.Constant) and isinstance(node.value, float)
                assert not is_float, f"{shown(path)}:{getattr(node, 'lineno', 0)} has a float"


@pytest.mark.parametrize(
    "pattern",
    [
        r"/(home|root|work|tmp)/\w",
        r"pypi\.org|pythonhosted|npmjs|deb\.debian",
        r"(?i)\bclaude code session\b|\bagentic\b",
    ],
)
def test_nothing_names_a_machine_or_a_registry(pattern: str) -> None:
    kept = [
        p
        for folder in ("src", "tests", "docs", "benchmarks", "requirements", ".ci")
        for p in (ROOT / folder).rglob("*")
        if p.is_file()
        and p.suffix in (".py", ".md", ".toml", ".txt", ".in", ".sh", ".sql", "")
        and "__pycache__" not in p.parts
        and "node_modules" not in p.parts
        and p.name != "test_shape.py"
    ]
    kept += [ROOT / name for name in ("README.md", "CHANGELOG.md", "Makefile", "pyproject.toml")]
    named = [
        f"{shown(p)}: {match.group(0)}"
        for p in kept
        if p.exists() and (match := re.search(pattern, p.read_text("utf-8", errors="replace")))
    ]
    assert named == []
