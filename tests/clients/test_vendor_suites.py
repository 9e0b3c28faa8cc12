"""The test-suites that OpenAI and Anthropic ship with their SDKs, against a mock of their OpenAPI
documents: what passes straight at the mock passes through the guard, case by case, and nothing
else does; for a key with a cap in money as for one without.

The mock makes up answers by schema, often without usage, so this also meters what cannot be read
(M-5).
"""

import os
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest

from guard import GuardProcess, running_guard
from openapi_mock import running_mock
from vendor import node_modules, suites

pytestmark = pytest.mark.slow

RUN_LIMIT_S = 300
SPECS = {"openai": "openai_chat.json", "anthropic": "anthropic.json"}
PATHS = {"openai": "/v1", "anthropic": ""}  # of the guard; OpenAI's document has none
SOURCES = {"openai": "openai-3.52.0", "anthropic": "anthropic-2.11.0"}
FOLDER = "tests/api_resources/"
PAGES = {
    "openai": (
        "test_embeddings.py",
        "chat/test_completions.py",
        "chat/completions/test_messages.py",
        "test_models.py",
        "test_responses.py",
        "test_completions.py",
    ),
    "anthropic": ("test_messages.py", "test_models.py"),
}
PASSED_MIN = {"openai": 335, "anthropic": 78}
"""How many cases the mock is known to pass; fewer would mean that nothing was compared."""
SETTINGS = """
[[provider]]
name = "openai"
dialect = "openai"
base_url = "{openai}"
credential = "none"
models = ["gpt-*", "text-embedding-*", "ft:gpt-*", "model"]
path_prefix = ""
stored_objects = true
default_model = "gpt-6-astra"

[[provider]]
name = "anthropic"
dialect = "anthropic"
base_url = "{anthropic}"
credential = "none"
models = ["claude-*"]

[prices] # of what was switched off, or never sold to everybody
"claude-1*" = {{ input_usd_per_mtok = 8.00, output_usd_per_mtok = 24.00 }}
"claude-2*" = {{ input_usd_per_mtok = 8.00, output_usd_per_mtok = 24.00 }}
"claude-instant-*" = {{ input_usd_per_mtok = 0.80, output_usd_per_mtok = 2.40 }}
"claude-mythos-*" = {{ input_usd_per_mtok = 25.00, output_usd_per_mtok = 125.00 }}
"""


class Ending(NamedTuple):
    """How a case ended, and why."""

    how: str
    why: str = ""


def run_suite(sdk: str, base_url: str, key: str, report: Path) -> dict[str, Ending]:
    """Every case of the suite and its ending."""
    folder = suites()
    command = [str(folder / "venv" / "bin" / "python"), "-m", "pytest", "-q", "-n", "2"]
    command += ["-p", "no:cacheprovider", "-o", "addopts=", f"--junitxml={report}"]
    command += [FOLDER + page for page in PAGES[sdk]]
    environ = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    done = subprocess.run(
        command,
        cwd=folder / SOURCES[sdk],
        env={**environ, "TEST_API_BASE_URL": base_url, "TEST_API_KEY": key},
        capture_output=True,
        text=True,
        timeout=RUN_LIMIT_S,
        check=False,
    )
    assert report.exists(), done.stdout + done.stderr
    where = FOLDER.replace("/", ".")
    return {
        f"{case.get('classname', '').removeprefix(where)}::{case.get('name')}": _ending(case)
        for case in ET.parse(report).iter("testcase")
    }


def _ending(case: ET.Element) -> Ending:
    for how in ("skipped", "failure", "error"):
        found = case.find(how)
        if found is not None:
            return Ending(how, found.get("message", ""))
    return Ending("passed")


@dataclass(frozen=True)
class Course:
    """The guard before both mocks, and how the suites end without it."""

    guard: GuardProcess
    direct: dict[str, dict[str, Ending]]


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Course]:
    """One for all tests here: the suites run once straight at the mocks."""
    folder = tmp_path_factory.mktemp("vendor")
    with ExitStack() as stack:
        mocks = {
            sdk: stack.enter_context(running_mock(node_modules(), spec))
            for sdk, spec in SPECS.items()
        }
        direct = {
            sdk: run_suite(sdk, mocks[sdk], "nobody-asks", folder / f"{sdk}.xml") for sdk in SPECS
        }
        guard = stack.enter_context(running_guard(folder / "guard", SETTINGS.format(**mocks)))
        yield Course(guard, direct)


@pytest.mark.timeout(900)
@pytest.mark.req("M-5")
@pytest.mark.parametrize("caps", [["100000.00/day"], []], ids=["capped", "uncapped"])
@pytest.mark.parametrize("sdk", SPECS)
def test_just_what_passes_without_the_guard_passes_through_it(
    sdk: str, caps: list[str], course: Course, tmp_path: Path
) -> None:
    direct = course.direct[sdk]
    assert [ending.how for ending in direct.values()].count("passed") >= PASSED_MIN[sdk]
    _, key = course.guard.key(*(word for cap in caps for word in ("--cap", cap)))
    through = run_suite(sdk, course.guard.base_url + PATHS[sdk], key, tmp_path / "through.xml")
    changed = {
        case: (direct[case].how, ending)
        for case, ending in through.items()
        if ending.how != direct[case].how
    }
    assert through.keys() == direct.keys()
    assert changed == {}
    course.guard.wait_until_settled()
