"""The official packages with keys that only their holder can use: one argument, nothing patched.

Each attempt is signed anew: the provider fails first, so that every SDK repeats by its own rules,
and a repeated proof would be refused. What the SDK shows, the records and the bill are the same.
"""

import asyncio
import io
import time
import wave
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anthropic
import httpx
import httpx2
import keyring
import openai
import pytest
from google import genai
from google.genai import types
from keyring.backends import fail

import tokenward.client
from guard import GuardProcess
from standin import StandinProcess
from tab import Tab, Tokens, billed, recorded
from tokenward.client.conversation import Conversation
from tokenward.client.errors import ForeignHostError
from tokenward.client.for_httpx2 import DpopAuth
from tokenward.client.holder import Holder, draw_private_key
from tokenward.client.keeping import load_holder, save_holder

SAID = "Say exactly these words, please."
MESSAGES: Any = [{"role": "user", "content": SAID}]
CHAT: Any = {"model": "gpt-5-mini", "messages": MESSAGES, "max_completion_tokens": 200}
MESSAGE: Any = {"model": "claude-haiku-4-5", "max_tokens": 200, "messages": MESSAGES}
CONTENT: Any = {"model": "gemini-2.5-flash", "contents": SAID}
HTTP: Any = {"httpx2": httpx2, "httpx": httpx}
AGAIN = types.HttpRetryOptions(attempts=5, initial_delay=0.01)


@dataclass
class Weather:
    """The provider fails some times and then not; what each attempt got, challenges included."""

    tab: Tab
    failures: int
    seen: list[int] = field(default_factory=list)

    def _before(self, request: Any) -> None:
        fails = self.seen.count(500) < self.failures
        request.headers.update(self.tab.script("status=500" if fails else "echo=1"))

    def _after(self, response: Any) -> None:
        self.seen.append(response.status_code)

    async def _before_async(self, request: Any) -> None:
        self._before(request)

    async def _after_async(self, response: Any) -> None:
        self._after(response)

    @property
    def hooks(self) -> Any:
        """Event hooks of httpx and httpx2, called for every attempt."""
        return {"request": [self._before], "response": [self._after]}

    @property
    def async_hooks(self) -> Any:
        """The same for async clients."""
        return {"request": [self._before_async], "response": [self._after_async]}


@dataclass(frozen=True)
class Machine:
    """A caller's machine that was enrolled with a one-time code."""

    guard: GuardProcess
    tab: Tab
    holder: Holder

    def sync_openai(self, weather: Weather, **more: Any) -> openai.OpenAI:
        http = openai.DefaultHttpxClient(auth=tokenward.client.auth(), event_hooks=weather.hooks)
        return openai.OpenAI(api_key="tokenward", base_url=self.v1, http_client=http, **more)

    def async_openai(self, weather: Weather) -> openai.AsyncOpenAI:
        http = openai.DefaultAsyncHttpxClient(
            auth=tokenward.client.auth(), event_hooks=weather.async_hooks
        )
        return openai.AsyncOpenAI(api_key="tokenward", base_url=self.v1, http_client=http)

    def genai_client(self, weather: Weather) -> genai.Client:
        auth = tokenward.client.auth()
        options: Any = {
            "base_url": self.guard.base_url,
            "client_args": {"auth": auth, "event_hooks": weather.hooks},
            "async_client_args": {
                "auth": auth,
                "event_hooks": weather.async_hooks,
                "transport": httpx2.AsyncHTTPTransport(),
            },
            "retry_options": AGAIN,
        }
        return genai.Client(api_key="tokenward", http_options=options)

    @property
    def v1(self) -> str:
        return f"{self.guard.base_url}/v1"

    def settle(self, weather: Weather, *seen: Tokens) -> None:
        """Hold the bill, the records and the cap against what the client saw. Every attempt is on
        record, with the enrolment; only a nonce or a time refused one."""
        records = self.tab.records(1 + len(weather.seen))
        complete = [each for each in records if each.get("outcome") == "complete"]
        assert [recorded(each) for each in complete] == list(seen)
        assert [billed(line) for line in self.tab.lines()] == list(seen)
        assert self.tab.spent_nusd() == sum(each["cost_nusd"] for each in complete)
        thumbprint = self.holder.signer().thumbprint
        sent = [each for each in records if each["status"] != 401]
        assert {each["proof_thumbprint"] for each in sent} == {thumbprint}
        refused = [each["refusal"] for each in records if "refusal" in each]
        assert refused == ["proof:stale"] * weather.seen.count(401)


@pytest.fixture(params=["dpop", "dpop+body"])
def machine(
    request: pytest.FixtureRequest,
    guard: GuardProcess,
    standin: StandinProcess,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Machine:
    """A new key, enrolled here."""
    monkeypatch.setenv("TOKENWARD_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(keyring.core, "_keyring_backend", fail.Keyring())
    tab = Tab(guard, standin, bind=request.param)
    offer = tab.admin("POST", f"/keys/{tab.key_id}/enrol", {"bind": request.param})
    holder = tokenward.client.enrol(guard.base_url, offer["enrolment_code"])
    assert (holder.key_id, holder.bind) == (tab.key_id, request.param)
    return Machine(guard, tab, holder)


def of_chat(usage: Any) -> Tokens:
    reasoning = usage.completion_tokens_details.reasoning_tokens or 0
    return Tokens(input=usage.prompt_tokens, output=usage.completion_tokens, reasoning=reasoning)


def of_message(usage: Any) -> Tokens:
    return Tokens(input=usage.input_tokens, output=usage.output_tokens)


def of_content(usage: Any) -> Tokens:
    thoughts = usage.thoughts_token_count or 0
    output = (usage.candidates_token_count or 0) + thoughts
    return Tokens(input=usage.prompt_token_count, output=output, reasoning=thoughts)


def sound() -> io.BytesIO:
    """Three seconds of silence, as a file that can be read once unless it is rewound."""
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setparams((1, 2, 8000, 0, "NONE", ""))
        written.writeframes(bytes(2 * 8000 * 3))
    file.seek(0)
    file.name = "speech.wav"
    return file


@pytest.mark.req("K-9")
def test_openai_repeats_with_new_proofs(machine: Machine) -> None:
    weather = Weather(machine.tab, failures=2)
    with machine.sync_openai(weather) as client:
        chat = client.chat.completions.create(**CHAT)
        again = client.chat.completions.create(**CHAT)
    assert chat.choices[0].message.content == SAID
    assert weather.seen == [401, 500, 500, 200, 200], "one challenge, then the newest nonce"
    machine.settle(weather, of_chat(chat.usage), of_chat(again.usage))


@pytest.mark.req("K-9")
def test_openai_streams(machine: Machine) -> None:
    weather = Weather(machine.tab, failures=1)
    with machine.sync_openai(weather) as client:
        chunks = list(
            client.chat.completions.create(
                **CHAT, stream=True, stream_options={"include_usage": True}
            )
        )
    said = [choice.delta.content or "" for chunk in chunks for choice in chunk.choices]
    assert "".join(said) == SAID
    assert weather.seen == [401, 500, 200]
    machine.settle(weather, of_chat(chunks[-1].usage))


@pytest.mark.req("K-9")
def test_openai_uploads_a_file_again_with_each_attempt(machine: Machine) -> None:
    weather = Weather(machine.tab, failures=1)
    wishes: Any = {"model": "gpt-4o-mini-transcribe"}
    with machine.sync_openai(weather) as client:
        heard = client.audio.transcriptions.create(**wishes, file=sound())
    assert weather.seen == [401, 500, 200]
    seen = Tokens(input=heard.usage.input_tokens, output=heard.usage.output_tokens)
    machine.settle(weather, seen)


@pytest.mark.req("K-9")
async def test_openai_asynchronously(machine: Machine) -> None:
    weather = Weather(machine.tab, failures=1)
    async with machine.async_openai(weather) as client:
        chat = await client.chat.completions.create(**CHAT)
        stream = await client.chat.completions.create(
            **CHAT, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        heard = await client.audio.transcriptions.create(
            model="gpt-4o-mini-transcribe", file=sound()
        )
    assert weather.seen == [401, 500, 200, 200, 200]
    sounds = Tokens(input=heard.usage.input_tokens, output=heard.usage.output_tokens)
    machine.settle(weather, of_chat(chat.usage), of_chat(chunks[-1].usage), sounds)


@pytest.mark.req("K-9")
async def test_many_calls_at_once_share_one_signer(machine: Machine) -> None:
    weather = Weather(machine.tab, failures=0)
    async with machine.async_openai(weather) as client:
        chats = await asyncio.gather(*(client.chat.completions.create(**CHAT) for _ in range(16)))
    assert weather.seen.count(200) == 16
    assert set(weather.seen) <= {200, 401}
    machine.settle(weather, *(of_chat(chat.usage) for chat in chats))


@pytest.mark.req("K-9")
def test_openai_with_a_client_of_the_older_httpx(machine: Machine) -> None:
    weather = Weather(machine.tab, failures=1)
    http: Any = httpx.Client(auth=tokenward.client.httpx_auth(), event_hooks=weather.hooks)
    with openai.OpenAI(api_key="tokenward", base_url=machine.v1, http_client=http) as client:
        chat = client.chat.completions.create(**CHAT)
    assert weather.seen == [401, 500, 200]
    machine.settle(weather, of_chat(chat.usage))


@pytest.mark.req("K-9")
def test_anthropic_repeats_with_new_proofs_and_streams(machine: Machine) -> None:
    weather = Weather(machine.tab, failures=2)
    http = anthropic.DefaultHttpxClient(auth=tokenward.client.auth(), event_hooks=weather.hooks)
    with anthropic.Anthropic(
        api_key="tokenward", base_url=machine.guard.base_url, http_client=http
    ) as client:
        message = client.messages.create(**MESSAGE)
        with client.messages.stream(**MESSAGE) as stream:
            said = "".join(stream.text_stream)
            final = stream.get_final_message()
    assert [block.text for block in message.content] == [SAID]
    assert said == SAID
    assert weather.seen == [401, 500, 500, 200, 200]
    machine.settle(weather, of_message(message.usage), of_message(final.usage))


@pytest.mark.req("K-9")
async def test_anthropic_asynchronously(machine: Machine) -> None:
    weather = Weather(machine.tab, failures=1)
    http = anthropic.DefaultAsyncHttpxClient(
        auth=tokenward.client.auth(), event_hooks=weather.async_hooks
    )
    async with anthropic.AsyncAnthropic(
        api_key="tokenward", base_url=machine.guard.base_url, http_client=http
    ) as client:
        message = await client.messages.create(**MESSAGE)
        async with client.messages.stream(**MESSAGE) as stream:
            final = await stream.get_final_message()
    assert weather.seen == [401, 500, 200, 200]
    machine.settle(weather, of_message(message.usage), of_message(final.usage))


@pytest.mark.req("K-9")
def test_genai_repeats_with_new_proofs_and_streams(machine: Machine) -> None:
    weather = Weather(machine.tab, failures=2)
    client = machine.genai_client(weather)
    whole = client.models.generate_content(**CONTENT)
    chunks = list(client.models.generate_content_stream(**CONTENT))
    client.close()
    assert whole.text == "".join(chunk.text or "" for chunk in chunks) == SAID
    assert weather.seen == [401, 500, 500, 200, 200]
    seen = [of_content(each.usage_metadata) for each in (whole, chunks[-1])]
    machine.settle(weather, *seen)


@pytest.mark.req("K-9")
async def test_genai_asynchronously(machine: Machine) -> None:
    weather = Weather(machine.tab, failures=1)
    client = machine.genai_client(weather)
    async with client.aio as aio:
        whole = await aio.models.generate_content(**CONTENT)
        stream = await aio.models.generate_content_stream(**CONTENT)
        chunks = [chunk async for chunk in stream]
    client.close()
    assert whole.text == "".join(chunk.text or "" for chunk in chunks) == SAID
    assert weather.seen == [401, 500, 200, 200]
    seen = [of_content(each.usage_metadata) for each in (whole, chunks[-1])]
    machine.settle(weather, *seen)


@pytest.mark.req("K-9")
@pytest.mark.parametrize("ahead_s", [-7200, 7200])
def test_a_wrong_clock_is_put_right_by_the_guards(machine: Machine, ahead_s: int) -> None:
    weather = Weather(machine.tab, failures=0)
    talk = Conversation(machine.holder, lambda: time.time() + ahead_s)
    http = openai.DefaultHttpxClient(auth=DpopAuth(talk), event_hooks=weather.hooks)
    with openai.OpenAI(api_key="tokenward", base_url=machine.v1, http_client=http) as client:
        chats = [client.chat.completions.create(**CHAT) for _ in range(2)]
    assert weather.seen == [401, 401, 200, 200], "the nonce, the time, and then neither"
    machine.settle(weather, *(of_chat(chat.usage) for chat in chats))


@pytest.mark.req("K-9")
def test_the_key_alone_opens_nothing(machine: Machine) -> None:
    key = machine.holder.key.reveal()
    script = machine.tab.script()
    with (
        openai.OpenAI(api_key=key, base_url=machine.v1) as thief,
        pytest.raises(openai.AuthenticationError) as refused,
    ):
        thief.chat.completions.create(**CHAT, extra_headers=script)
    assert refused.value.code == "proof:missing"
    with (
        anthropic.Anthropic(api_key=key, base_url=machine.guard.base_url) as thief_too,
        pytest.raises(anthropic.AuthenticationError),
    ):
        thief_too.messages.create(**MESSAGE, extra_headers=script)
    assert machine.tab.lines() == []


@pytest.mark.req("K-9")
def test_the_key_with_another_private_key_opens_nothing(machine: Machine) -> None:
    save_holder(replace(load_holder(), private_key=draw_private_key()))
    weather = Weather(machine.tab, failures=0)
    with (
        machine.sync_openai(weather) as thief,
        pytest.raises(openai.AuthenticationError) as refused,
    ):
        thief.chat.completions.create(**CHAT)
    assert refused.value.code == "proof:invalid"
    assert set(weather.seen) == {401}
    assert machine.tab.lines() == []


@pytest.mark.req("K-9")
def test_a_wrong_base_url_gets_neither_key_nor_proof(machine: Machine) -> None:
    weather = Weather(machine.tab, failures=0)
    away = machine.v1.replace("127.0.0.1", "localhost")
    with (
        machine.sync_openai(weather, max_retries=0).with_options(base_url=away) as client,
        pytest.raises(ForeignHostError, match="two"),
    ):
        client.chat.completions.create(**CHAT)
    assert weather.seen == []
