"""A caller that says exactly what it is told to, and looks at what became of it."""

import http.client
import json
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from guard import GuardProcess
from standin import StandinProcess

WAIT_S = 30.0
Headers = Iterable[tuple[str, str | bytes]]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, be it whole or broken off. Names of headers in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body's value; None if it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def error(self) -> tuple[str, str, str]:
        """Code, message and request id of a refusal in any envelope; "" where one is missing."""
        value = self.json
        if not isinstance(value, dict) or not isinstance(value.get("error"), dict):
            return "", "", ""
        error = value["error"]
        if isinstance(error.get("details"), list):  # Google's
            info = error["details"][0]
            return info["reason"], error["message"], info["metadata"]["request_id"]
        request_id = error.get("request_id") or value.get("request_id") or ""
        return str(error.get("code") or ""), str(error.get("message") or ""), request_id

    @property
    def code(self) -> str:
        """The refusal's code; "" if it is none."""
        return self.error[0]

    @property
    def is_refusal(self) -> bool:
        """The guard said no, and not the provider: only its codes are `subject:reason`."""
        return ":" in self.code


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Entrance:
    """One POST route of a dialect and a request that it takes."""

    name: str
    dialect: str
    path: str
    body: dict[str, Any]

    def headers(self, key: str) -> list[tuple[str, str]]:
        """The key where this dialect's SDK puts it."""
        kind = ("content-type", "application/json")
        if self.dialect == "openai":
            return [kind, ("authorization", f"Bearer {key}")]
        name = {"anthropic": "x-api-key", "gemini": "x-goog-api-key"}[self.dialect]
        return [kind, (name, key)]


HI = [{"role": "user", "content": "hi"}]
CONTENTS = [{"role": "user", "parts": [{"text": "hi"}]}]
CHAT = Entrance(
    name="chat",
    dialect="openai",
    path="/v1/chat/completions",
    body={"model": "gpt-5-mini", "messages": HI, "max_completion_tokens": 20},
)
RESPONSES = Entrance(
    name="responses",
    dialect="openai",
    path="/v1/responses",
    body={"model": "gpt-5-mini", "input": "hi", "max_output_tokens": 20},
)
COMPLETIONS = Entrance(
    name="completions",
    dialect="openai",
    path="/v1/completions",
    body={"model": "gpt-3.5-turbo-instruct", "prompt": "hi", "max_tokens": 20},
)
EMBEDDINGS = Entrance(
    name="embeddings",
    dialect="openai",
    path="/v1/embeddings",
    body={"model": "text-embedding-3-small", "input": "hi"},
)
MESSAGES = Entrance(
    name="messages",
    dialect="anthropic",
    path="/v1/messages",
    body={"model": "claude-haiku-4-5", "max_tokens": 20, "messages": HI},
)
COUNT = Entrance(
    name="count_tokens",
    dialect="anthropic",
    path="/v1/messages/count_tokens",
    body={"model": "claude-haiku-4-5", "messages": HI},
)
GENERATE = Entrance(
    name="generate",
    dialect="gemini",
    path="/v1beta/models/gemini-2.5-flash:generateContent",
    body={"contents": CONTENTS, "generationConfig": {"maxOutputTokens": 20}},
)
EMBED = Entrance(
    name="embed",
    dialect="gemini",
    path="/v1/models/gemini-embedding-001:embedContent",
    body={"content": {"parts": [{"text": "hi"}]}},
)
ENTRANCES = (CHAT, RESPONSES, COMPLETIONS, EMBEDDINGS, MESSAGES, COUNT, GENERATE, EMBED)
DIALECTS = (CHAT, MESSAGES, GENERATE)
"""The one entrance of each dialect that most calls come through."""


def ask(
    base_url: str,
    method: str,
    target: str,
    headers: Headers = (),
    body: bytes | Iterable[bytes] = b"",
) -> Answer:
    """One request, its target and headers as they are given. A body in pieces goes out chunked."""
    line = http.client.HTTPConnection(urlsplit(base_url).netloc, timeout=WAIT_S)
    given = [(name.lower(), value) for name, value in headers]
    names = {name for name, _ in given}
    try:
        line.putrequest(method, target, skip_host="host" in names, skip_accept_encoding=True)
        for name, value in given:
            line.putheader(name, value)
        is_whole = isinstance(body, bytes)
        if is_whole and "content-length" not in names and (body or method not in ("GET", "HEAD")):
            line.putheader("content-length", str(len(body)))
        elif not is_whole:
            line.putheader("transfer-encoding", "chunked")
        line.endheaders(body or None, encode_chunked=not is_whole)
        answer = line.getresponse()
        told = {name.lower(): value for name, value in answer.getheaders()}
        try:
            said = answer.read()
        except http.client.IncompleteRead as broken_off:
            said = broken_off.partial
        return Answer(answer.status, told, said)
    finally:
        line.close()


def post(
    guard: GuardProcess, entrance: Entrance, key: str, body: Any, *more: tuple[str, str]
) -> Answer:
    """A call through an entrance; the body as it is when it is bytes, else as JSON."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    names = {name for name, _ in more}
    headers = [pair for pair in entrance.headers(key) if pair[0] not in names]
    return ask(guard.base_url, "POST", entrance.path, [*headers, *more], data)


def say(base_url: str, data: bytes, *, wait_s: float = WAIT_S) -> bytes:
    """Everything that is answered to these bytes until the connection ends."""
    where = urlsplit(base_url)
    answer = b""
    with socket.create_connection((where.hostname or "", where.port or 0), timeout=wait_s) as end:
        try:
            end.sendall(data)
            while piece := end.recv(65536):
                answer += piece
        except (ConnectionResetError, BrokenPipeError):
            pass
    return answer


def admin(guard: GuardProcess, method: str, path: str, value: Any = None) -> Answer:
    """One request to the admin API with the admin token."""
    headers = [("authorization", f"Bearer {guard.admin_token}")]
    body = b"" if value is None else json.dumps(value).encode()
    return ask(guard.base_url, method, f"/admin/v1{path}", headers, body)


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a test's own."""

    id: str
    text: str = field(repr=False)


def new_key(guard: GuardProcess, **wishes: Any) -> Key:
    """A key of project `attacks`; `caps=["5.00/day"]` and so on, as the admin API takes them."""
    made = admin(guard, "POST", "/keys", {"project": "attacks", **wishes})
    assert made.status == 201, made
    return Key(made.json["id"], made.json["key"])


def caps_of(guard: GuardProcess, key: Key) -> list[dict[str, Any]]:
    """The key's own caps and where they stand."""
    shown: list[dict[str, Any]] = admin(guard, "GET", f"/caps?subject=key:{key.id}").json
    return shown


def settled_caps(guard: GuardProcess, key: Key) -> list[dict[str, Any]]:
    """The key's own caps once nothing is held: the caller has its answer a moment before that."""
    until = time.monotonic() + WAIT_S
    while True:
        caps = caps_of(guard, key)
        if all(cap["held"] == 0 for cap in caps):
            return caps
        assert time.monotonic() < until, f"money is still held: {caps}"
        time.sleep(0.005)


@contextmanager
def nothing_happens(guard: GuardProcess, standin: StandinProcess, key: Key) -> Iterator[None]:
    """Within it nothing reaches the provider, and nothing is charged or held for `key`, which
    has a cap of its own."""
    standin.reset()
    before = settled_caps(guard, key)
    assert before, "a key without a cap shows nothing"
    yield
    assert standin.requests() == []
    assert caps_of(guard, key) == before


def assert_refused(
    answer: Answer, entrance: Entrance, code: str, status: int | None = None
) -> None:
    """A clear "no": in the dialect's envelope, with code, message, request id and the headers."""
    said, message, request_id = answer.error
    assert said == code, answer
    assert status is None or answer.status == status, answer
    assert 400 <= answer.status < 500, answer
    assert len(message) >= 10, answer
    assert message == " ".join(message.split()), "one line of printable words"
    assert request_id == answer.headers["x-request-id"], answer
    assert answer.headers["x-should-retry"] in ("true", "false")
    assert answer.headers["content-type"] == "application/json"
    value = answer.json
    if entrance.dialect == "openai":
        assert isinstance(value["error"]["type"], str)
        assert "param" in value["error"]
    elif entrance.dialect == "anthropic":
        assert value["type"] == "error"
        assert value["error"]["type"].endswith(("_error", "_too_large"))
    else:
        assert value["error"]["code"] == answer.status
        assert value["error"]["status"].isupper()
