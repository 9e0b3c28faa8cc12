"""Other people's suites straight at the stand-in: its answers are true to the dialects.

What the guard in front of it changes is then the guard's doing.
"""

import json
import subprocess
import sys
from typing import Any

import pytest

from standin import StandinProcess

SUITES = {
    "openai-chat": ("/v1", "gpt-5-mini", []),
    "open-responses": ("/v1", "gpt-5-mini", []),
    "anthropic": (
        "/v1",
        "claude-haiku-4-5",
        ["--auth-header", "x-api-key", "--no-bearer", "-H", "anthropic-version:2023-06-01"],
    ),
    "google-genai": ("", "gemini-2.5-flash", ["--auth-header", "x-goog-api-key", "--no-bearer"]),
}


def run_suite(form: str, base_url: str, credential: str) -> dict[str, Any]:
    """The report of llm-comply for one format."""
    path, model, more = SUITES[form]
    command = [sys.executable, "-m", "llm_comply.cli", "--format", form, "--json"]
    command += ["-u", base_url + path, "-k", credential, "-m", model, *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.mark.parametrize("form", SUITES)
def test_llm_comply_finds_nothing_wrong_with(form: str, standin: StandinProcess) -> None:
    report = run_suite(form, standin.base_url, standin.credential)
    wrong = {
        result["id"]: result.get("errors")
        for result in report["results"]
        if result["status"] not in ("passed", "skipped")
    }
    assert wrong == {}
    assert len(report["results"]) >= 9
    warned = {r["id"]: r["warnings"] for r in report["results"] if r.get("warnings")}
    assert set(warned) <= {"compact-response"}, warned
