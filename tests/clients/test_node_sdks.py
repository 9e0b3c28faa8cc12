"""The official Node SDKs of OpenAI and Anthropic through the guard: the same numbers as everywhere
(M-8), the same manners when they are refused (F-2)."""

import json
import subprocess
from typing import Any

import pytest

from guard import GuardProcess
from standin import StandinProcess
from tab import Tab, Tokens
from vendor import node_modules

SAID = "Say exactly these words, please."


def seen(call: dict[str, Any]) -> Tokens:
    """What the SDK showed, by the API that was called."""
    usage = call["usage"]
    if call["name"] == "chat":
        reasoning = usage["completion_tokens_details"]["reasoning_tokens"]
        made = usage["completion_tokens"]
        return Tokens(input=usage["prompt_tokens"], output=made, reasoning=reasoning)
    if call["name"] == "embeddings":
        return Tokens(input=usage["prompt_tokens"])
    return Tokens(input=usage["input_tokens"], output=usage["output_tokens"])


def run(*args: str) -> dict[str, Any]:
    """What `run.mjs` prints."""
    folder = node_modules()
    done = subprocess.run(
        ["node", "run.mjs", *args],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed


@pytest.mark.slow
@pytest.mark.req("M-8", "F-2")
def test_the_node_sdks_see_what_the_guard_records_and_the_provider_bills(
    guard: GuardProcess, standin: StandinProcess
) -> None:
    tab, poor = Tab(guard, standin), Tab(guard, standin, "0.0001/day")
    frozen = Tab(guard, standin)
    frozen.admin("POST", f"/keys/{frozen.key_id}/freeze", {"why": "a test"})
    refused = ("sk-of-somebody-else", poor.key, frozen.key)
    printed = run(guard.base_url, tab.key, tab.key_id, *refused)
    texts = [call["text"] for call in printed["calls"]]
    assert texts == [SAID, SAID, "weather", SAID, SAID, SAID, "1536", SAID, SAID, "weather"]
    tab.settle(*(seen(call) for call in printed["calls"]), free=2)
    assert "gpt-5-mini" in printed["free"]
    assert printed["free"][-1] > 0
    told = [(e["sdk"], e["name"], e["status"], e["code"], e["tries"]) for e in printed["errors"]]
    assert told == [
        (sdk, name, status, code, 1)
        for name, status, code in (
            ("AuthenticationError", 401, "key:invalid"),
            ("RateLimitError", 429, "cap:reached"),
            ("PermissionDeniedError", 403, "key:frozen"),
        )
        for sdk in ("openai", "anthropic")
    ]
    assert all(error["request_id"] for error in printed["errors"])
