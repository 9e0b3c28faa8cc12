"""The programs of owners and thieves: the real ones where they are installed, recorded heads of
them on a plain socket where they are not."""

import http.client
import importlib
import importlib.util
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from tokenward.lab.drill.calls import (
    ANTHROPIC,
    EMBEDDINGS,
    MESSAGES,
    RESPONSES,
    Ask,
    Said,
    text_in,
    understood,
    written,
)
from tokenward.lab.drill.heads import HEADS

ADDRESS: Final = "x-azure-clientip"
"""Where the drill's guard reads who calls, as behind a front door that says it there. A name of
its own: behind a proxy that leaves an X-Forwarded-For, heads may have been written anew, so the
guard concludes less from them, and the drill would show less than there is to see."""
WAIT_S: Final = 20
"""Whole, as SDKs' own limits are: they tell the server, and LiteLLM is known by a fraction."""
ANSWER_BYTES_MAX: Final = 4_000_000
MACHINES: Final = (
    ("Linux", "x64"), ("MacOS", "arm64"), ("Windows", "x64"),
    ("Linux", "arm64"), ("MacOS", "x64"), ("Windows", "arm64"),
)  # fmt: skip
"""`NAME@2` is the program on the third of these: only its head can be played here."""
_OTHER_SDK: Final = ("OpenAI/Python", "Anthropic/Python")
_REAL: Final = ("openai-python", "anthropic-python", "requests", "httpx")
_PACKAGES: Final = {"openai-python": "openai", "anthropic-python": "anthropic"}

Close = Callable[[], None]


def is_real(program: str) -> bool:
    """Whether the program itself is run, rather than its head played."""
    package = _PACKAGES.get(program, program)
    return program in _REAL and importlib.util.find_spec(package) is not None


@dataclass(slots=True)
class Programs:
    """All programs at work against one guard. Each keeps its connections, as real ones do."""

    url: str
    used: set[str] = field(default_factory=set)
    _clients: dict[tuple[str, str], Any] = field(default_factory=dict)
    _closes: list[Close] = field(default_factory=list)

    def send(self, key: str, ask: Ask) -> Said:
        """Make the call and read the answer whole. A connection that breaks is status 0."""
        name = ask.program
        self.used.add(name if is_real(name) else f"{name.partition('@')[0]} (recorded)")
        if not is_real(name) or ask.body is None:
            return self._send_recorded(key, ask)
        if name in ("requests", "httpx"):
            return self._send_plain(name, key, ask)
        fits = (name == "anthropic-python") == (ask.dialect == ANTHROPIC)
        return self._send_sdk(name, key, ask) if fits else self._send_recorded(key, ask)

    def close(self) -> None:
        """Let all connections go."""
        for close in self._closes:
            with suppress(OSError):
                close()
        self._clients, self._closes = {}, []

    def warm(self, key: str, ask: Ask) -> None:
        """Start the program that will make the call: no clock should count how long that takes."""
        if is_real(ask.program) and ask.body is not None:
            self._client(ask.program, key)

    def _client(self, name: str, key: str) -> Any:
        made = self._clients.get((name, key))
        if made is None:
            made = self._clients[name, key] = _made(name, key, self.url)
            self._closes.append(made.close)
        return made

    def _send_sdk(self, name: str, key: str, ask: Ask) -> Said:
        """One of the two SDKs that are generated alike."""
        client = self._client(name, key)
        library: Any = importlib.import_module(_PACKAGES[name])
        if ask.path == MESSAGES:
            route = client.messages
        else:
            routes = {RESPONSES: client.responses, EMBEDDINGS: client.embeddings}
            route = routes.get(ask.path, client.chat.completions)
        headers = {ADDRESS: ask.address}
        try:
            # Not through `with_raw_response`: that sends a header of its own.
            answer = route.create(**(ask.body or {}), extra_headers=headers)
        except library.APIStatusError as refused:
            return understood(refused.status_code, refused.response.content)
        except library.APIConnectionError:
            return Said(0)
        return Said(200, text=text_in(answer.model_dump(warnings=False)))

    def _send_plain(self, name: str, key: str, ask: Ask) -> Said:
        """A library that only speaks HTTP; whoever uses it writes the headers."""
        library: Any = importlib.import_module(name)
        headers = {"Authorization": f"Bearer {key}", ADDRESS: ask.address}
        if ask.dialect == ANTHROPIC:
            headers["anthropic-version"] = "2023-06-01"
        failed = library.RequestException if name == "requests" else library.HTTPError
        try:
            answer = self._client(name, key).post(
                f"{self.url}{ask.path}", json=ask.body, headers=headers, timeout=WAIT_S
            )
        except failed:
            return Said(0)
        return understood(answer.status_code, answer.content)

    def _send_recorded(self, key: str, ask: Ask) -> Said:
        at = urlsplit(self.url)
        request = recorded_request(f"{at.hostname}:{at.port}", key, ask)
        try:
            with socket.create_connection((at.hostname or "", at.port or 0), WAIT_S) as link:
                link.sendall(request)
                answer = http.client.HTTPResponse(link, method="POST" if ask.body else "GET")
                answer.begin()
                return understood(answer.status, answer.read(ANSWER_BYTES_MAX))
        except (OSError, http.client.HTTPException):
            return Said(0)


def _made(name: str, key: str, url: str) -> Any:
    """The program itself. SDKs try again by themselves; here every refusal counts."""
    library: Any = importlib.import_module(_PACKAGES.get(name, name))
    if name == "openai-python":
        return library.OpenAI(api_key=key, base_url=f"{url}/v1", max_retries=0, timeout=WAIT_S)
    if name == "anthropic-python":
        return library.Anthropic(api_key=key, base_url=url, max_retries=0, timeout=WAIT_S)
    return library.Session() if name == "requests" else library.Client()


def recorded_request(host: str, key: str, ask: Ask) -> bytes:
    """The bytes of the call as the program was recorded to write them, with the length that this
    body has."""
    name, _, machine = ask.program.partition("@")
    recorded, (system, chip) = HEADS[name], MACHINES[int(machine or 0)]
    lines = recorded.head.replace(": Linux", f": {system}").replace(": x64", f": {chip}")
    if name == "go-relay" and ask.path == MESSAGES:
        lines = lines.replace(*_OTHER_SDK)
    body = b"" if ask.body is None else written(ask.body, **recorded.style._asdict())
    if ask.body is None:
        kept = (line for line in lines.splitlines() if not line.lower().startswith("content-"))
        lines = "\n".join(kept) + "\n"
    before = recorded.key if ask.path == MESSAGES else recorded.bearer
    head = lines.format(
        host=host,
        auth=f"{before} {key}",
        length=len(body),
        address=f"{ADDRESS}: {ask.address}",
        empty="",
    )
    verb = "GET" if ask.body is None else "POST"
    text = f"{verb} {ask.path} HTTP/1.1\n{head}\n".replace("\n", "\r\n")
    return text.encode("latin-1") + body
