"""The project's own source as the house tests read it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src" / "tokenward"
TESTS = ROOT / "tests"
DOCS = ROOT / "docs"
BENCHMARKS = ROOT / "benchmarks"
_CODE = re.compile(r"[a-z]+:[a-z_]+")


def python_files(folder: Path = SRC) -> list[Path]:
    """Every Python file below a folder, in order."""
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def trees(folder: Path = SRC) -> Iterator[tuple[Path, ast.Module]]:
    """Every file with its syntax tree."""
    for path in python_files(folder):
        yield path, ast.parse(path.read_text("utf-8"), filename=str(path))


def shown(path: Path) -> str:
    """A path as messages name it."""
    return str(path.relative_to(ROOT))


def docs_text() -> str:
    """README and everything under docs/, as one text."""
    pages = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
    return "\n".join(page.read_text("utf-8") for page in pages)


def refusal_codes() -> set[str]:
    """Every `subject:reason` that is the first argument of a `Refusal(…)` or of a helper that
    makes one: found as string constants of that form in refusing calls."""
    codes = set()
    for _, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                first = node.args[0] if node.args else None
                keyword = next((k.value for k in node.keywords if k.arg == "code"), None)
                for value in (first, keyword):
                    text = value.value if isinstance(value, ast.Constant) else None
                    if isinstance(text, str) and _CODE.fullmatch(text) and _refuses(node):
                        codes.add(text)
    return codes


def _refuses(call: ast.Call) -> bool:
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    return bool(re.search(r"(?i)refus|stranger|invalid|not_allowed|conflict", name))


def required_numbers() -> set[str]:
    """The numbers of `@pytest.mark.req(…)` in the tests."""
    numbers = set()
    for _, tree in trees(TESTS):
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "req"
            ):
                numbers.update(
                    arg.value
                    for arg in node.args
                    if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
                )
    return numbers
