"""The documents say what the code does."""

import argparse
import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from guard import GuardProcess
from house import write_docs
from house.documents import (
    Snippet,
    carried_by_tests,
    event_kinds,
    mentioned_commands,
    pages,
    refusal_statuses,
    shell_lines,
    snippets,
    typed_commands,
    watched_gauges,
)
from house.requirements import REQUIREMENTS
from house.source import DOCS, ROOT, docs_text, refusal_codes, required_numbers
from tokenward.cli.main import VERBS, build_parser
from tokenward.client import enrol
from tokenward.http.admin.routes import ROUTES
from tokenward.http.metrics import Metrics
from tokenward.kernel.conventions import gen_ai_attributes
from tokenward.kernel.events import Event, Record
from tokenward.providers.anthropic import ANTHROPIC
from tokenward.providers.gemini import GEMINI
from tokenward.providers.openai import OPENAI
from tokenward.settings import load
from tokenward.settings.names import SHAPE, dotted_names

ISSUE_NUMBERS = {
    *(f"B-{n}" for n in range(1, 10)),
    *(f"F-{n}" for n in range(1, 6)),
    *(f"Z-{n}" for n in range(1, 5)),
    *(f"M-{n}" for n in range(1, 12)),
    *("K-3", "K-4", "K-5", "K-10"),
    *(f"S-{n}" for n in (1, 2, 3, 4, 5, 6, 7, 9, 10)),
}
PROMISES = {*(f"L{n}" for n in range(1, 10)), *(f"R{n}" for n in range(1, 6)), "R7"}
DECISION_PARTS = ("Status:", "## Context", "## Choice", "## What would change our mind")


def _page(name: str) -> str:
    return (DOCS / name).read_text("utf-8")


def _row(page: str, first: str) -> str:
    """The table row whose first cell is `first`; "" if there is none."""
    found = re.search(rf"(?m)^\| {re.escape(first)} \|.*$", page)
    return found.group(0) if found else ""


# -- generated parts ------------------------------------------------------------------------------


def test_what_a_tool_writes_is_up_to_date() -> None:
    assert write_docs.stale() == [], "run: make docs"


def test_every_numbered_requirement_has_a_test() -> None:
    assert ISSUE_NUMBERS - required_numbers() == set()


def test_the_list_of_requirements_misses_no_mark() -> None:
    carried = carried_by_tests()
    assert set(carried) == required_numbers()
    assert carried.keys() - REQUIREMENTS.keys() == set(), "requirements.py has no words for them"
    assert ISSUE_NUMBERS - REQUIREMENTS.keys() == set()


# -- nothing is missing ---------------------------------------------------------------------------


def test_every_refusal_code_is_documented() -> None:
    text = docs_text()
    codes = refusal_codes()
    assert len(codes) >= 20
    assert {code for code in codes if f"`{code}`" not in text} == set()


def test_every_refusal_has_a_row_with_every_status_it_is_answered_with() -> None:
    page = _page("reference/refusals.md")
    told = refusal_statuses()
    assert len(told) >= 45
    assert refusal_codes() <= told.keys()
    wrong = []
    for code, statuses in told.items():
        row = _row(page, f"`{code}`")
        shown = {int(n) for n in re.findall(r"\b[45]\d\d\b", row.partition("|")[2])}
        if not row or not statuses <= shown:
            wrong.append((code, statuses, row))
    assert wrong == []


def test_no_row_speaks_of_a_refusal_that_does_not_exist() -> None:
    rows = set(re.findall(r"(?m)^\| `([a-z]+:[a-z_]+)` \|", _page("reference/refusals.md")))
    assert rows - refusal_statuses().keys() - {"key:invalid"} == set()


def test_every_kind_of_event_is_documented() -> None:
    kinds = event_kinds()
    assert len(kinds) >= 9
    page = _page("reference/events-and-metrics.md")
    assert {kind for kind in kinds if f"`{kind}`" not in page} == set()
    told = set(re.findall(r"`([a-z]+:[a-z]+)`", Event.__doc__ or ""))
    assert told - {"subject:action"} == kinds


def test_every_metric_is_documented() -> None:
    names = {family.name for family in Metrics().pieces()} | watched_gauges()
    assert len(names) >= 10
    page = _page("reference/events-and-metrics.md")
    assert {name for name in names if not _row(page, f"`{name}`")} == set()


def test_every_setting_is_documented() -> None:
    page = _page("reference/settings.md")
    for name in dotted_names(SHAPE):
        assert _row(page, f"`{name.rpartition('.')[2]}`"), name


def test_every_verb_is_documented() -> None:
    page = _page("reference/cli.md")
    for verb in VERBS:
        assert f"### `tokenward {verb}`" in page


def test_every_route_is_documented() -> None:
    page = _page("reference/http.md")
    for dialect in (OPENAI, ANTHROPIC, GEMINI):
        for route in dialect.routes:
            assert _row(page, f"`{route.method} {route.path}`"), route
    for row in ROUTES:
        assert f"`{row.method} /admin/v1{row.path}`" in page


def test_every_field_of_a_record_is_documented_with_its_attribute() -> None:
    page = _page("reference/record.md")
    plain = {"ts": 1, "request_id": "r", "dialect": "openai"}
    known = gen_ai_attributes(Record(**plain))
    for field in msgspec.structs.fields(Record):
        row = _row(page, f"`{field.name}`")
        assert row, field.name
        shown = set(re.findall(r"`([a-z_.]+\.[a-z_.]+)`", row.split("|")[2]))
        if field.name in plain:
            assert shown <= known.keys()
            continue
        value = _any_value(field.type)
        told = gen_ai_attributes(Record(**{**plain, field.name: value}))
        changed = {name for name, said in told.items() if known.get(name) != said}
        assert changed == shown, f"{field.name}: {changed}, not {shown}"


def _any_value(kind: object) -> object:
    """A value that is not the default, for the types that records have."""
    if kind is bool:
        return True
    if kind is str:
        return "x"
    return ("x",) if kind == tuple[str, ...] else 7


def test_every_promise_is_quoted_with_its_owner_test() -> None:
    text = _page("promises.md")
    for promise in PROMISES:
        row = _row(text, promise)
        assert row, f"{promise} is not in promises.md"
        named = re.findall(r"tests/[\w/]+\.py", row)
        assert named, f"{promise} has no owner test"
        for test in named:
            assert (ROOT / test).exists(), f"{promise} names {test}, which does not exist"


def test_every_file_that_the_documents_name_exists() -> None:
    missing = [
        f"{page.name}: {name}"
        for page in pages()
        for name in re.findall(
            r"`((?:src|tests|benchmarks|docs)/[\w./-]+\.\w+)`", page.read_text("utf-8")
        )
        if not (ROOT / name).exists()
    ]
    assert missing == []


def test_every_decision_says_why_and_what_would_change_our_mind() -> None:
    decisions = sorted((DOCS / "decisions").glob("0*.md"))
    assert [page.name[:4] for page in decisions] == [
        f"{n:04d}" for n in range(1, len(decisions) + 1)
    ]
    for page in decisions:
        text = page.read_text("utf-8")
        assert [part for part in DECISION_PARTS if part not in text] == [], page.name


# -- what a reader may type works -----------------------------------------------------------------


@pytest.mark.parametrize("verb", ["make demo", "make test", "tokenward init", "tokenward serve"])
def test_the_readme_shows_the_first_verbs(verb: str) -> None:
    assert verb in (ROOT / "README.md").read_text("utf-8")


def test_every_command_that_is_shown_can_be_typed() -> None:
    commands = list(typed_commands())
    assert len(commands) >= 30
    for page, words in commands:
        try:
            build_parser().parse_args(words)
        except Exception as error:
            pytest.fail(f"{page}: tokenward {' '.join(words)}: {error}")


def test_every_command_that_is_mentioned_names_verbs_and_options_that_exist() -> None:
    commands = list(mentioned_commands())
    assert len(commands) >= 15
    for page, words in commands:
        parser, rest = _innermost(build_parser(), words)
        options = {word.partition("=")[0] for word in rest if word.startswith("--")}
        assert options <= parser._option_string_actions.keys(), f"{page}: tokenward {words}"


def _innermost(
    parser: argparse.ArgumentParser, words: list[str]
) -> tuple[argparse.ArgumentParser, list[str]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction) and words and words[0] != "--version":
            assert words[0] in action.choices, f"there is no verb {words[0]}"
            return _innermost(action.choices[words[0]], words[1:])
    return parser, words


def test_every_make_verb_that_is_shown_exists() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    verbs = {line.split()[1] for _, line in shell_lines() if line.startswith("make ")}
    verbs |= set(re.findall(r"`make ([a-z-]+)", docs_text()))
    assert {"demo", "test", "setup"} <= verbs
    assert {verb for verb in verbs if not re.search(rf"(?m)^{verb}:", makefile)} == set()


@pytest.mark.parametrize("snippet", [*snippets("toml")], ids=lambda snippet: snippet.page)
def test_settings_in_the_documents_are_understood(snippet: Snippet, tmp_path: Path) -> None:
    path = tmp_path / "tokenward.toml"
    path.write_text(snippet.text, "utf-8")
    load(path, {})


@pytest.mark.parametrize("snippet", [*snippets("json")], ids=lambda snippet: snippet.page)
def test_json_in_the_documents_is_json(snippet: Snippet) -> None:
    json.loads(snippet.text)


@pytest.mark.parametrize("snippet", [*snippets("python")], ids=lambda snippet: snippet.page)
def test_programs_in_the_documents_run_against_a_guard(
    snippet: Snippet, guard: GuardProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ast.parse(snippet.text)
    _, key = guard.key("--cap", "5.00/day")
    monkeypatch.setenv("TOKENWARD_HOME", str(tmp_path / "home"))
    if "tokenward.client" in snippet.text:
        code = guard.cli("key", "create", "--project", "docs", "--bind", "dpop")["enrolment_code"]
        enrol(guard.base_url, code)
    done = subprocess.run(
        [sys.executable, "-c", snippet.text.replace("http://127.0.0.1:8080", guard.base_url)],
        env={**os.environ, "TOKENWARD_KEY": key},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


# -- links and house rules of text ----------------------------------------------------------------


def test_links_between_documents_lead_somewhere() -> None:
    broken = []
    for page in pages():
        for target, anchor in re.findall(
            r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)", page.read_text("utf-8")
        ):
            there = page.parent / target if target else page
            if not there.exists() or (anchor and anchor not in _anchors(there)):
                broken.append(f"{page.name} → {target}#{anchor}")
    assert broken == []


def _anchors(page: Path) -> set[str]:
    heads = re.findall(r"(?m)^#+ (.+)$", page.read_text("utf-8"))
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        for target in re.findall(r"\]\((?!https?:)([^)#\s]+)", page.read_text("utf-8")):
            waiting.append((page.parent / target).resolve())
    assert set(pages()) - reached == set()
