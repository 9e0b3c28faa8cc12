"""The documents as the house tests read them, and what the code says they must hold."""

import ast
import re
import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .source import BENCHMARKS, DOCS, ROOT, SRC, TESTS, trees

_FENCE = re.compile(r"(?ms)^ *```(\w+)\n(.*?)^ *```$")
_INLINE = re.compile(r"`(tokenward [a-z][^`]*)`")
_ENVIRON = re.compile(r"^(?:[A-Z_]+=\S+ )*")
_CODE = re.compile(r"[a-z]+:[a-z_]+")
_MAKES = re.compile(r"(?i)refus|stranger|invalid|not_allowed|denied|unfit|misfit|^_No$")


@dataclass(frozen=True)
class Snippet:
    """A piece of a page. `language` is the word behind its fence."""

    page: str
    language: str
    text: str


def pages() -> list[Path]:
    """README, change log and everything under docs/."""
    return [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]


def snippets(*languages: str) -> Iterator[Snippet]:
    """Every fenced block in one of the languages."""
    for page in pages():
        for language, text in _FENCE.findall(page.read_text("utf-8")):
            if language in languages:
                yield Snippet(str(page.relative_to(ROOT)), language, text)


def shell_lines() -> Iterator[tuple[str, str]]:
    """Page and command: `$ …` in `console` blocks, every line of `sh` blocks."""
    for snippet in snippets("console", "sh"):
        for line in snippet.text.replace("\\\n", " ").splitlines():
            if snippet.language == "sh":
                yield snippet.page, line.strip()
            elif line.startswith("$ "):
                yield snippet.page, line.removeprefix("$ ").strip()


def typed_commands() -> Iterator[tuple[str, list[str]]]:
    """Page and words of every `tokenward …` that a reader may type as it stands."""
    for page, line in shell_lines():
        command = _ENVIRON.sub("", line)
        if command.startswith("tokenward "):
            words = shlex.split(command, comments=True)
            ends = [words.index(sign) for sign in ("|", ">", "&", "&&") if sign in words]
            yield page, words[1 : min(ends, default=len(words))]


def mentioned_commands() -> Iterator[tuple[str, list[str]]]:
    """Page and words of every `tokenward …` in running text; may be incomplete."""
    for page in pages():
        for command in _INLINE.findall(page.read_text("utf-8")):
            yield str(page.relative_to(ROOT)), command.split()[1:]


def refusal_statuses() -> dict[str, set[int]]:
    """Every refusal code with the statuses it is answered with, where the code says both."""
    found: defaultdict[str, set[int]] = defaultdict(set)
    for _, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _MAKES.search(_name(node)):
                given = [*node.args, *(keyword.value for keyword in node.keywords)]
                values = [arg.value for arg in given if isinstance(arg, ast.Constant)]
                codes = [v for v in values if isinstance(v, str) and _CODE.fullmatch(v)]
                statuses = {v for v in values if type(v) is int and 400 <= v < 600}
                for code in codes[:1]:
                    found[code] |= statuses
    for name in ("keys/families.py", "keys/workload_rules.py"):  # where codes are values
        for node in ast.walk(ast.parse((SRC / name).read_text("utf-8"))):
            value = node.value if isinstance(node, ast.Constant) else None
            if isinstance(value, str) and _CODE.fullmatch(value):
                found[value] |= set()
    return dict(found)


def event_kinds() -> set[str]:
    """Every kind of event that the code tells."""
    kinds = set()
    for path in (SRC / "ledger/alarms.py", SRC / "store/sqlite/keys.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            kinds |= _kinds_in([node])
    for _, tree in trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _name(node) == "Event":
                kinds |= _kinds_in(keyword.value for keyword in node.keywords)
            elif isinstance(node, ast.Call) and _name(node) in ("replace", "_tell", "note_end"):
                kinds |= _kinds_in(node.args)
    for node in ast.walk(ast.parse((SRC / "http/admin/keys.py").read_text("utf-8"))):
        if isinstance(node, ast.Call) and _name(node) == "_step":
            action = node.args[3]
            assert isinstance(action, ast.Constant)
            kinds.add(f"key:{action.value}")
    return kinds


def _kinds_in(nodes: Iterable[ast.AST]) -> set[str]:
    values = (node.value for node in nodes if isinstance(node, ast.Constant))
    return {v for v in values if isinstance(v, str) and re.fullmatch(r"[a-z]+:[a-z]+", v)}


def watched_gauges() -> set[str]:
    """The gauges that the composition root adds to /metrics."""
    tree = ast.parse((SRC / "app/house.py").read_text("utf-8"))
    return {
        f"tokenward_{node.args[0].value}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and _name(node) == "watch"
        and isinstance(node.args[0], ast.Constant)
    }


def carried_by_tests() -> dict[str, dict[str, list[str]]]:
    """Number → test file → the tests in it that carry the number, in order."""
    found: defaultdict[str, defaultdict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for path, tree in trees(TESTS):
        where = str(path.relative_to(ROOT))
        for node in ast.walk(tree):
            for name, marks in _marked(node):
                for number in (n for mark in marks for n in _numbers(mark)):
                    if name not in found[number][where]:
                        found[number][where].append(name)
    return {number: dict(files) for number, files in found.items()}


def carried_by_benchmarks() -> dict[str, list[str]]:
    """Number → the benchmarks whose `SHOWS` names it, in order."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path, tree in trees(BENCHMARKS):
        for node in tree.body:
            if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "SHOWS":
                assert node.value is not None, f"{path} shows nothing"
                for number in ast.literal_eval(node.value):
                    found[number].append(str(path.relative_to(ROOT)))
    return dict(found)


def _marked(node: ast.AST) -> Iterator[tuple[str, list[ast.expr]]]:
    """Decorated tests and classes, and `TestX = pytest.mark.req("F-1")(…)`."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name, node.decorator_list
    elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
        for target in node.targets:
            if isinstance(target, ast.Name):
                yield target.id, [node.value.func]


def _numbers(mark: ast.expr) -> Iterator[str]:
    if isinstance(mark, ast.Call) and _name(mark) == "req":
        for arg in mark.args:
            if isinstance(arg, ast.Constant) and isinstance(arg.value, str):
                yield arg.value


def _name(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
