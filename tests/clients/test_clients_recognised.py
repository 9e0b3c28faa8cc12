"""Real programs call, and are told apart by what they really send."""

import importlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from head_recorder import HeadRecorder, Recorded, head_recorder
from vendor import PINS, go_program, node_modules, programs

TURNS: list[Any] = [{"role": "user", "content": "Was kostet ein Kaffee in <Genève> & Zürich?"}]
CHAT: dict[str, Any] = {"model": "gpt-5-mini", "messages": TURNS}
PROGRAMS = PINS / "programs"
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


@pytest.mark.slow
def test_litellm_is_recognised_by_its_way_of_using_openais_sdk_and_by_its_name(
    server: HeadRecorder,
) -> None:
    run([str(programs() / "python"), str(PROGRAMS / "litellm_calls.py"), server.url])
    calls = server.take(9)
    assert_recognised(calls, "litellm")
    claimed = [call.client().claimed for call in calls]
    assert claimed == ["openai-python"] * 6 + ["litellm"] * 3
    asynchronous = [b"async:asyncio" in dict(call.headers).values() for call in calls]
    assert asynchronous == [False] * 4 + [True] * 2 + [False] * 3


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
"""What the SDK says of itself, as it writes it."""
JSON = {"Content-Type": "application/json", "Authorization": "Bearer k"}


@pytest.fixture(scope="module")
def relay() -> Path:
    """A program in Go that calls as what it is told to be, compiled."""
    return go_program(PROGRAMS / "relay.go")


def call_from_go(
    relay: Path, url: str, headers: dict[str, str], method: str = "POST", **how: Any
) -> None:
    """One call of it. `how`: `say` or `body`, and whether names stand `as_written`."""
    call = {"method": method, "url": url, "headers": list(headers.items()), **how}
    run([str(relay), "call"], said=json.dumps([call]))


@pytest.mark.slow
def test_a_go_program_is_recognised(server: HeadRecorder, relay: Path) -> None:
    chat, models = f"{server.url}/v1/chat/completions", f"{server.url}/v1/models"
    call_from_go(relay, chat, JSON, say=CHAT)
    call_from_go(relay, chat, {**JSON, "X-Team": "blue"}, body=json.dumps(CHAT))
    call_from_go(relay, models, {"Authorization": "Bearer k"}, "GET")
    call_from_go(relay, models, {}, "GET")
    calls = server.take(4)
    assert_recognised(calls, "go")
    assert calls[0].client().serializer == "compact unicode-raw html-escaped sorted"


IN_GOS_ORDER = "Go's net/http writes them"
IN_GOS_CASE = "X-Stainless-Os"
IN_GOS_JSON = "\\u003c"
UNSAID = "does not say X-Stainless-Lang"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("headers", "how", "signs"),
    [
        (CLAIM, {"say": CHAT}, [IN_GOS_ORDER, IN_GOS_CASE, IN_GOS_JSON]),
        (CLAIM, {"say": {"model": "m", "messages": []}}, [IN_GOS_ORDER, IN_GOS_CASE]),
        (CLAIM, {"say": CHAT, "as_written": True}, [IN_GOS_ORDER, IN_GOS_JSON]),
        (CLAIM, {"body": '{"messages":[],"model":"m"}', "as_written": True}, [IN_GOS_ORDER]),
        ({"User-Agent": CLAIM["User-Agent"]}, {"say": CHAT}, [IN_GOS_ORDER, UNSAID, IN_GOS_JSON]),
    ],
    ids=["all", "no < in it", "names as the SDK's", "body as the SDK's too", "its name alone"],
)
def test_a_go_program_that_claims_to_be_openais_python_sdk_is_flagged(
    headers: dict[str, str],
    how: dict[str, Any],
    signs: list[str],
    server: HeadRecorder,
    relay: Path,
) -> None:
    for more in ({}, {"X-Team": "blue"}):
        url = f"{server.url}/v1/chat/completions"
        call_from_go(relay, url, {**JSON, **headers, **more}, **how)
    clients = [call.client() for call in server.take(2)]
    assert [(each.family, each.claimed) for each in clients] == [("go", "openai-python")] * 2
    assert clients[0].fingerprint == clients[1].fingerprint
    for client in clients:
        assert len(client.contradictions) == len(signs), client.contradictions
        assert all(sign in " | ".join(client.contradictions) for sign in signs)
        assert "sorted" in client.serializer.split()


@pytest.mark.slow
def test_a_go_program_that_copies_calls_of_openais_python_sdk_to_the_letter_is_flagged(
    server: HeadRecorder, relay: Path
) -> None:
    with installed("openai").OpenAI(api_key="sk-fake", base_url=f"{server.url}/v1") as client:
        client.chat.completions.create(**CHAT)
        client.models.list()
    own = ("host", "content-length", "connection")  # which Go writes itself
    for call in server.take(2):
        pairs = [(name.decode(), value.decode()) for name, value in call.headers]
        copied = {name: value for name, value in pairs if name.lower() not in own}
        copied["User-Agent"] = copied.pop("user-agent")  # else Go adds its own
        url, body = f"{server.url}{call.path}", call.body.decode()
        call_from_go(relay, url, copied, call.method, body=body, as_written=True)
    clients = [call.client() for call in server.take(2)]
    assert [(each.family, each.claimed) for each in clients] == [("go", "openai-python")] * 2
    assert clients[0].fingerprint == clients[1].fingerprint
    assert all(IN_GOS_ORDER in " | ".join(each.contradictions) for each in clients)


@pytest.mark.slow
def test_behind_a_trusted_proxy_a_go_programs_body_still_flags_it(
    server: HeadRecorder, relay: Path
) -> None:
    through = {**JSON, **CLAIM, "Via": "1.1 proxy.example.com"}
    call_from_go(relay, f"{server.url}/v1/chat/completions", through, say=CHAT)
    (call,) = server.take(1)
    assert len(call.client().contradictions) == 3
    (said,) = call.client(is_forwarded=True).contradictions
    assert IN_GOS_JSON in said


@pytest.mark.slow
def test_a_go_program_that_copies_an_sdks_headers_but_not_its_name_is_flagged(
    server: HeadRecorder, relay: Path
) -> None:
    copied = {name: value for name, value in CLAIM.items() if name != "User-Agent"}
    call_from_go(relay, f"{server.url}/v1/chat/completions", {**JSON, **copied}, say=CHAT)
    client = server.take(1)[0].client()
    assert (client.family, client.claimed) == ("go", "go")
    (said,) = client.contradictions
    assert "X-Stainless-Lang 'python'" in said


@pytest.mark.slow
def test_openais_python_sdk_behind_a_relay_in_go_is_flagged(
    server: HeadRecorder, relay: Path
) -> None:
    def call(url: str) -> Recorded:
        with installed("openai").OpenAI(api_key="sk-fake", base_url=f"{url}/v1") as client:
            client.chat.completions.create(**CHAT)
        return server.take(1)[0]

    straight = call(server.url)
    assert_recognised([straight], "openai-python")
    with passing_on(relay, server.url) as url:
        through = call(url)
    assert through.body == straight.body
    client = through.client()
    assert (client.family, client.claimed) == ("go", "openai-python")
    assert client.fingerprint != straight.client().fingerprint
    said = " | ".join(client.contradictions)
    assert IN_GOS_ORDER in said
    assert IN_GOS_CASE in said


@contextmanager
def passing_on(relay: Path, target: str) -> Iterator[str]:
    """Where it passes calls on from."""
    command = [str(relay), "serve", target]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        try:
            yield running.stdout.readline().strip()
        finally:
            running.kill()


def run(command: list[str], *, cwd: Path | None = None, said: str = "") -> None:
    """A program that must end well; `said` is its input."""
    done = subprocess.run(
        command,
        cwd=cwd,
        input=said,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
