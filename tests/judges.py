"""Programs of others that judge whether something speaks a dialect; each says what it found."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

COMPLY = {
    "openai-chat": ("/v1", "gpt-5-mini", []),
    "open-responses": ("/v1", "gpt-5-mini", []),
    "anthropic": (
        "/v1",
        "claude-haiku-4-5",
        ["--auth-header", "x-api-key", "--no-bearer", "-H", "anthropic-version:2023-06-01"],
    ),
    "google-genai": ("", "gemini-2.5-flash", ["--auth-header", "x-goog-api-key", "--no-bearer"]),
}
"""Formats of llm-comply: what follows the address, the model, and how to show the key."""
LIMIT_S = 120


def comply(form: str, base_url: str, credential: str) -> dict[str, dict[str, Any]]:
    """Test id → result, as llm-comply reports it."""
    path, model, more = COMPLY[form]
    command = [sys.executable, "-m", "llm_comply.cli", "--format", form, "--json"]
    command += ["-u", base_url + path, "-k", credential, "-m", model, *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    return {result["id"]: result for result in json.loads(done.stdout)["results"]}


def canary(modules: Path, base_url: str, credential: str, out: Path) -> dict[str, Any]:
    """The report of compatcanary, all its probes."""
    command = [str(modules / "node_modules" / ".bin" / "compatcanary"), "scan"]
    command += ["--base-url", f"{base_url}/v1", "--model", "gpt-5-mini", "--profile", "modern"]
    command += ["--format", "json", "--output", str(out)]
    environ = {**os.environ, "OPENAI_API_KEY": credential}
    done = subprocess.run(
        command, env=environ, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert out.exists(), done.stdout + done.stderr
    report: dict[str, Any] = json.loads(out.read_text("utf-8"))
    return report
