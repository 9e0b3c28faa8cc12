"""Real programs call, and are told apart by what they really send."""

import importlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from head_recorder import HeadRecorder, Recorded, head_recorder
from vendor import node_modules

TURNS: list[Any] = [{"role": "user", "content": "Was kostet ein Kaffee in <Genève> & Zürich?"}]
CHAT: dict[str, Any] = {"model": "gpt-5-mini", "messages": TURNS}
WAIT_S = 120


@pytest.fixture(scope="module")
def server() -> Iterator[HeadRecorder]:
    """Where all of them call."""
    with head_recorder() as recorder:
        yield recorder


def assert_recognised(calls: list[Recorded], family: str) -> None:
    """All are of that family, one program, and nothing about them is strange."""
    clients = [call.client() for call in calls]
    assert {client.family for client in clients} == {family}
    assert len({client.fingerprint for client in clients}) == 1
    assert [client.contradictions for client in clients] == [()] * len(clients)
    assert [client.oddities for client in clients] == [()] * len(clients)


def installed(name: str) -> Any:
    """The package, if the tests have it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        pytest.skip(f"{name} is not installed")


def test_openai_for_python_is_recognised(server: HeadRecorder) -> None:
    client = installed("openai").OpenAI(api_key="sk-fake", base_url=f"{server.url}/v1")
    client.chat.completions.create(**CHAT)
    list(client.chat.completions.create(**CHAT, stream=True, timeout=30.5))
    client.chat.completions.create(**CHAT, extra_headers={"X-Team": "blue"})
    client.models.list()
    assert_recognised(server.take(4), "openai-python")


async def test_openai_for_python_is_another_program_when_it_is_asynchronous(
    server: HeadRecorder,
) -> None:
    openai = installed("openai")
    with openai.OpenAI(api_key="sk-fake", base_url=f"{server.url}/v1") as client:
        client.models.list()
    plain = server.take(1)[0].client()
    async with openai.AsyncOpenAI(api_key="sk-fake", base_url=f"{server.url}/v1") as client:
        await client.chat.completions.create(**CHAT)
        await client.models.list()
    calls = server.take(2)
    assert_recognised(calls, "openai-python")
    assert calls[0].client().fingerprint != plain.fingerprint


def test_anthropic_for_python_is_recognised(server: HeadRecorder) -> None:
    client = installed("anthropic").Anthropic(api_key="sk-ant-fake", base_url=server.url)
    ask: dict[str, Any] = {"model": "claude-haiku-4-5", "max_tokens": 9, "messages": TURNS}
    client.messages.create(**ask)
    list(client.messages.create(**ask, stream=True, timeout=12))
    client.models.list()
    assert_recognised(server.take(3), "anthropic-python")


def test_google_genai_for_python_is_recognised(server: HeadRecorder) -> None:
    genai = installed("google.genai")
    client = genai.Client(api_key="AIzafake", http_options={"base_url": server.url})
    client.models.generate_content(model="gemini-2.5-flash", contents="hi")
    client.models.generate_content(model="gemini-2.5-flash", contents="Grüezi")
    assert_recognised(server.take(2), "google-genai-python")


def test_litellm_is_recognised_by_its_way_of_using_openais_sdk(
    server: HeadRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else it asks the internet
    litellm = installed("litellm")
    where = {"api_key": "sk-fake", "api_base": f"{server.url}/v1"}
    ask: dict[str, Any] = {"model": "openai/gpt-5-mini", "messages": TURNS}
    litellm.completion(**ask, **where)
    list(litellm.completion(**ask, **where, stream=True, timeout=30))
    assert_recognised(server.take(2), "litellm")


def test_httpx_is_recognised(server: HeadRecorder) -> None:
    with installed("httpx").Client() as client:
        client.post(f"{server.url}/v1/chat/completions", json=CHAT, headers={"X-Api-Key": "k"})
        client.get(f"{server.url}/v1/models", headers={"Authorization": "Bearer k"})
    assert_recognised(server.take(2), "httpx")


def test_requests_is_recognised(server: HeadRecorder) -> None:
    with installed("requests").Session() as session:
        session.post(f"{server.url}/v1/chat/completions", json=CHAT, timeout=9)
        session.get(f"{server.url}/v1/models", headers={"Authorization": "Bearer k"}, timeout=9)
    assert_recognised(server.take(2), "requests")


async def test_aiohttp_is_recognised(server: HeadRecorder) -> None:
    async with installed("aiohttp").ClientSession() as session:
        async with session.post(f"{server.url}/v1/chat/completions", json=CHAT) as answer:
            await answer.read()
        async with session.get(f"{server.url}/v1/models", headers={"X-Api-Key": "k"}) as answer:
            await answer.read()
    assert_recognised(server.take(2), "aiohttp")


def test_curl_is_recognised(server: HeadRecorder) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    post = ["-H", "Content-Type: application/json", "-d", json.dumps(CHAT)]
    for more in (post, ["-H", "Authorization: Bearer k"], ["--compressed"]):
        run([curl, "-sS", f"{server.url}/v1/chat/completions", *more])
    assert_recognised(server.take(3), "curl")


NODE = """
import OpenAI from "openai";
import Anthropic from "@anthropic-ai/sdk";
const [url, sdk] = process.argv.slice(-2);
const messages = [{ role: "user", content: "Was kostet ein Kaffee in <Genève>?" }];
if (sdk === "openai") {
  const openai = new OpenAI({ apiKey: "sk-fake", baseURL: `${url}/v1` });
  await openai.chat.completions.create({ model: "gpt-5-mini", messages });
  for await (const _ of await openai.chat.completions.create(
    { model: "gpt-5-mini", messages, stream: true }, { timeout: 9000 })) {}
  for await (const _ of openai.models.list()) {}
} else if (sdk === "anthropic") {
  const anthropic = new Anthropic({ apiKey: "sk-ant-fake", baseURL: url });
  const ask = { model: "claude-haiku-4-5", max_tokens: 9, messages };
  await anthropic.messages.create(ask);
  for await (const _ of await anthropic.messages.create({ ...ask, stream: true })) {}
  for await (const _ of anthropic.models.list()) {}
} else {
  const body = JSON.stringify({ model: "gpt-5-mini", messages });
  const headers = { "content-type": "application/json", authorization: "Bearer k" };
  await (await fetch(`${url}/v1/chat/completions`, { method: "POST", headers, body })).text();
  await (await fetch(`${url}/v1/models`, { headers })).text();
  await (await fetch(`${url}/v1/models`)).text();
}
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sdk", "family"),
    [("openai", "openai-node"), ("anthropic", "anthropic-node"), ("fetch", "node-fetch")],
)
def test_the_node_sdks_are_recognised(server: HeadRecorder, sdk: str, family: str) -> None:
    command = ["node", "--input-type=module", "-e", NODE, "--", server.url, sdk]
    run(command, cwd=node_modules())
    assert_recognised(server.take(3), family)


GO = """
package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
)

func main() {
	turn := map[string]any{"role": "user", "content": "a <b>"}
	ask := map[string]any{"model": "gpt-5-mini", "messages": []any{turn}}
	body, _ := json.Marshal(ask)
	for range 2 {
		call, _ := http.NewRequest("POST", os.Args[1], bytes.NewReader(body))
		call.Header.Set("Content-Type", "application/json")
		call.Header.Set("Authorization", "Bearer k")
		for at := 2; at+1 < len(os.Args); at += 2 {
			call.Header.Set(os.Args[at], os.Args[at+1])
		}
		answer, err := http.DefaultClient.Do(call)
		if err != nil {
			panic(err)
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
	}
}
"""
CLAIM = {
    "User-Agent": "OpenAI/Python 2.54.0",
    "X-Stainless-Lang": "python",
    "X-Stainless-Package-Version": "2.54.0",
    "X-Stainless-OS": "Linux",
    "X-Stainless-Arch": "x64",
    "X-Stainless-Runtime": "CPython",
    "X-Stainless-Runtime-Version": "3.11.7",
    "X-Stainless-Async": "false",
}


@pytest.fixture(scope="module")
def go_program(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small client in Go, compiled."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("Go is not installed")
    folder = tmp_path_factory.mktemp("go")
    (folder / "main.go").write_text(GO, "utf-8")
    own = {"GOCACHE": str(folder / "cache"), "GOPATH": str(folder / "path"), "GOTOOLCHAIN": "local"}
    run([go, "build", "-o", "relay", "main.go"], cwd=folder, environ=own)
    return str(folder / "relay")


@pytest.mark.slow
def test_a_go_program_is_recognised(server: HeadRecorder, go_program: str) -> None:
    run([go_program, f"{server.url}/v1/chat/completions"])
    assert_recognised(server.take(2), "go")


@pytest.mark.slow
def test_a_go_program_that_claims_to_be_openais_python_sdk_is_flagged(
    server: HeadRecorder, go_program: str
) -> None:
    claim = [text for pair in CLAIM.items() for text in pair]
    run([go_program, f"{server.url}/v1/chat/completions", *claim])
    for call in server.take(2):
        client = call.client()
        assert (client.family, client.claimed) == ("go", "openai-python")
        said = " | ".join(client.contradictions)
        assert "Go's net/http" in said
        assert "X-Stainless-Os" in said
        assert "\\u003c" in said


def run(
    command: list[str], *, cwd: Path | None = None, environ: dict[str, str] | None = None
) -> None:
    """A program that must end well."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **(environ or {})},
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
