"""Programs that know nothing of proofs, through `tokenward agent`: the Node SDKs, curl, and a real
coding tool. They are given a base URL and a key, and every call is one of a bound key."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent import AgentProcess
from clients.test_node_sdks import SAID, run, seen
from guard import GuardProcess, provider_settings, running_guard
from standin import StandinProcess
from tab import Tab
from vendor import coding_tool

WAIT_S = 120
BINDS = ("dpop", "dpop+body")
CHAT = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "hi"}]}


class BoundTab(Tab):
    """The tab of a bound key. Its enrolment and the nonce it asks for first are no calls."""

    def records(self, count: int) -> list[dict[str, Any]]:
        """Of its calls."""
        return self._recorded(f"key={self.key_id}&limit=1000", count, _is_call)

    def challenges(self) -> int:
        """How often the guard asked for a newer nonce."""
        records = self.admin("GET", f"/records?key={self.key_id}&limit=1000")
        return sum(record.get("refusal") == "proof:stale" for record in records)


def _is_call(record: dict[str, Any]) -> bool:
    return record["dialect"] != "oauth" and record.get("refusal") != "proof:stale"


@contextmanager
def bound(
    guard: GuardProcess, standin: StandinProcess, home: Path, bind: str
) -> Iterator[tuple[BoundTab, AgentProcess]]:
    """A new bound key, and the agent of the machine that was enrolled for it."""
    tab = BoundTab(guard, standin, bind=bind)
    agent = AgentProcess(home)
    agent.start("--guard", guard.base_url, "--enrol", tab.enrolment_code)
    try:
        yield tab, agent
    finally:
        assert agent.stop() == 0
        assert agent.log() == "", "it warned of something"


@pytest.fixture
def impatient(standin: StandinProcess, tmp_path: Path) -> Iterator[GuardProcess]:
    """A guard that does not wait for what a caller left behind."""
    settings = provider_settings(standin.base_url) + "\n[server]\nhangup_drain_s = 0.5\n"
    environ = {"PROVIDER_KEY": standin.credential}
    with running_guard(tmp_path / "guard", settings, environ) as running:
        yield running


@pytest.mark.slow
@pytest.mark.req("K-9", "M-8")
@pytest.mark.parametrize("bind", BINDS)
def test_the_node_sdks_work_unchanged_with_the_agent_as_base_url(
    guard: GuardProcess, standin: StandinProcess, tmp_path: Path, bind: str
) -> None:
    with bound(guard, standin, tmp_path, bind) as (tab, agent):
        printed = run(agent.base_url, agent.token, tab.key_id, "sk-of-somebody-else")
        texts = [call["text"] for call in printed["calls"]]
        assert texts == [SAID, SAID, "weather", SAID, SAID, SAID, "1536", SAID, SAID, "weather"]
        tab.settle(*(seen(call) for call in printed["calls"]), free=2)
        assert tab.challenges() == 1, "only the first call pays for a nonce"
        told = [(e["sdk"], e["name"], e["code"], e["tries"]) for e in printed["errors"]]
        assert told == [
            (sdk, "AuthenticationError", "agent:token", 1) for sdk in ("openai", "anthropic")
        ]


def running_curl(*words: str, body: dict[str, Any] | None = None) -> subprocess.Popen[str]:
    """A curl that was started."""
    sent = [] if body is None else ["-H", "content-type: application/json", "-d", json.dumps(body)]
    return subprocess.Popen(
        ["curl", "-sS", "--max-time", str(WAIT_S), *words, *sent],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"]},
    )


def curl(*words: str, body: dict[str, Any] | None = None) -> str:
    """What curl prints."""
    with running_curl(*words, body=body) as process:
        printed, complaint = process.communicate()
    assert process.returncode == 0, complaint
    return printed


@pytest.mark.req("K-9")
@pytest.mark.parametrize("bind", BINDS)
def test_curl_works_unchanged_in_every_dialect(
    guard: GuardProcess, standin: StandinProcess, tmp_path: Path, bind: str
) -> None:
    claude = {"model": "claude-haiku-4-5", "max_tokens": 50, "messages": CHAT["messages"]}
    gemini = {
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "generationConfig": {"maxOutputTokens": 50},
    }
    with bound(guard, standin, tmp_path, bind) as (tab, agent):
        tag, token = f"x-standin: tag={tab.key_id}", agent.token
        chat = curl(
            f"{agent.base_url}/v1/chat/completions",
            *("-H", f"Authorization: Bearer {token}", "-H", tag),
            body=CHAT,
        )
        assert json.loads(chat)["choices"][0]["finish_reason"] == "stop"
        message = curl(
            f"{agent.base_url}/v1/messages",
            *("-H", f"x-api-key: {token}", "-H", "anthropic-version: 2023-06-01", "-H", tag),
            body=claude,
        )
        assert json.loads(message)["type"] == "message"
        content = curl(
            f"{agent.base_url}/v1beta/models/gemini-2.5-flash:generateContent",
            *("-H", f"x-goog-api-key: {token}", "-H", tag),
            body=gemini,
        )
        assert json.loads(content)["candidates"]
        assert len(tab.records(3)) == len(tab.lines()) == 3


def test_curl_sees_a_stream_as_it_comes(
    impatient: GuardProcess, standin: StandinProcess, tmp_path: Path
) -> None:
    """The provider makes one piece and, until curl is gone, nothing more: had anybody on the way
    waited for what comes next, curl would have printed nothing."""
    body = {**CHAT, "stream": True}
    with bound(impatient, standin, tmp_path / "home", "dpop") as (tab, agent):
        words = ("-N", f"{agent.base_url}/v1/chat/completions")
        words += ("-H", f"Authorization: Bearer {agent.token}")
        script = f"x-standin: tag={tab.key_id}; chunks=6; fail=hang@1"
        with running_curl(*words, "-H", script, body=body) as process:
            assert process.stdout is not None
            printed = next((line for line in process.stdout if '"delta":{"content":' in line), "")
            assert printed.startswith("data: "), "it printed nothing"
            assert process.poll() is None, "and waits for more"
            process.terminate()
        (record,) = tab.records(1)
        assert record["outcome"] == "hung_up"
        whole = curl(*words, "-H", f"x-standin: tag={tab.key_id}; chunks=6", body=body)
        assert whole.strip().endswith("data: [DONE]")
        assert tab.records(2)[1]["outcome"] == "complete"


def test_curl_with_another_key_gets_nothing_through_the_agent(
    guard: GuardProcess, standin: StandinProcess, tmp_path: Path
) -> None:
    with bound(guard, standin, tmp_path, "dpop") as (tab, agent):
        for key in ("sk-of-somebody-else", tab.key):
            said = curl(f"{agent.base_url}/v1/models", "-H", f"Authorization: Bearer {key}")
            assert json.loads(said)["error"]["code"] == "agent:token"


@pytest.mark.slow
@pytest.mark.req("K-9")
@pytest.mark.timeout(700)
def test_a_coding_tool_works_unchanged_with_the_agent_as_base_url(
    guard: GuardProcess, standin: StandinProcess, tmp_path: Path
) -> None:
    codex, work = coding_tool(), tmp_path / "work"
    work.mkdir()
    with bound(guard, standin, tmp_path / "home", "dpop+body") as (tab, agent):
        provider = (
            f'{{name = "tokenward", base_url = "{agent.base_url}/v1", env_key = "AGENT_TOKEN", '
            'wire_api = "responses", '
            f'http_headers = {{"x-standin" = "tag={tab.key_id}; tool=none; output_tokens=7"}}}}'
        )
        words = ["exec", "--json", "--skip-git-repo-check", "--sandbox", "read-only"]
        words += ["-c", 'model_provider="tokenward"', "-c", f"model_providers.tokenward={provider}"]
        done = subprocess.run(
            [str(codex), *words, "--model", "gpt-5-mini", "What is in this folder?"],
            cwd=work,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(work),
                "CODEX_HOME": str(work),
                "AGENT_TOKEN": agent.token,
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        events = [json.loads(line) for line in done.stdout.splitlines()]
        (turn,) = (event for event in events if event["type"] == "turn.completed")
        (record,) = tab.records(1)
        assert turn["usage"]["input_tokens"] == record["input_tokens"]
        assert turn["usage"]["output_tokens"] == record["output_tokens"] == 7
        (line,) = tab.lines()
        assert line["cost_nusd"] == record["cost_nusd"] > 0
