"""Guards whose keys are bound to TLS client certificates, their callers, and how proxies pass
certificates on."""

import base64
import hashlib
import http.client
import json
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from attacks.probe import CHAT, Answer, Entrance
from certificates import SERVERS, Pair, authority, make
from guard import GuardProcess, provider_settings, running_guard
from standin import StandinProcess

WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class World:
    """A guard, its provider, and whoever makes certificates. `tls` None: it speaks plain HTTP."""

    guard: GuardProcess
    standin: StandinProcess
    folder: Path
    authority: Pair
    server: Pair | None = None

    def client(self, name: str, **wishes: Any) -> Pair:
        """A certificate of the authority that the guard knows."""
        return make(self.folder, name, self.authority, **wishes)

    def key_of(self, pair: Pair, *more: str) -> tuple[str, str]:
        """A new key, bound to the certificate: its id and its text."""
        words = ("--bind", "mtls", "--thumbprint", pair.thumbprint, "--cap", "5.00/day")
        return self.guard.key(*words, *more)

    def context(self, pair: Pair | None = None) -> ssl.SSLContext:
        """A caller's side of TLS, who knows the guard and shows `pair`."""
        assert self.server is not None
        context = ssl.create_default_context(cafile=str(self.server.pem))
        if pair is not None:
            context.load_cert_chain(*pair.files)
        return context

    def line(
        self, pair: Pair | None = None, source: str = "127.0.0.1"
    ) -> http.client.HTTPConnection:
        """A connection to the guard."""
        where = urlsplit(self.guard.base_url).netloc
        if self.server is None:
            return http.client.HTTPConnection(where, timeout=WAIT_S, source_address=(source, 0))
        return http.client.HTTPSConnection(where, timeout=WAIT_S, context=self.context(pair))

    def call(
        self,
        key: str,
        pair: Pair | None = None,
        *headers: tuple[str, str | bytes],
        entrance: Entrance = CHAT,
        source: str = "127.0.0.1",
    ) -> Answer:
        """One call on a connection of its own. OSError: the handshake was refused."""
        line = self.line(pair, source)
        try:
            return ask(line, key, *headers, entrance=entrance)
        finally:
            line.close()

    def record_of(self, answer: Answer) -> dict[str, Any]:
        """What was written down of a call."""
        until = time.monotonic() + WAIT_S
        while True:
            for record in self.guard.cli("records", "--limit", "100"):
                if record["request_id"] == answer.headers["x-request-id"]:
                    return dict(record)
            assert time.monotonic() < until, "the call was not recorded"

    @contextmanager
    def nothing_happens(self) -> Iterator[None]:
        """Within it nothing reaches the provider, and nothing is charged or held for anybody."""
        self.standin.reset()
        before = self.guard.wait_until_settled()
        yield
        assert self.standin.requests() == []
        assert self.guard.cli("cap", "list") == before


def ask(
    line: http.client.HTTPConnection,
    key: str,
    *headers: tuple[str, str | bytes],
    entrance: Entrance = CHAT,
) -> Answer:
    """One call on a connection. Of the headers of one name the later does not replace the first."""
    body = json.dumps(entrance.body).encode()
    line.putrequest("POST", entrance.path)
    names = {name for name, _ in headers}
    for name, value in (
        *(pair for pair in entrance.headers(key) if pair[0] not in names),
        ("content-length", str(len(body))),
        *headers,
    ):
        line.putheader(name, value)
    line.endheaders(body)
    answer = line.getresponse()
    told = {name.lower(): value for name, value in answer.getheaders()}
    return Answer(answer.status, told, answer.read())


def is_refused(answer: Answer, code: str, why: str = "") -> bool:
    """401 with the code, and a challenge as RFC 6750 section 3.1 has it."""
    assert (answer.status, answer.code) == (401, code), answer
    assert why in answer.error[1], answer
    assert answer.headers["www-authenticate"].startswith('Bearer error="invalid_token"')
    return True


@contextmanager
def tls_world(folder: Path, standin: StandinProcess) -> Iterator[World]:
    """A guard with TLS of its own, which knows the clients of an authority and a pinned one."""
    known, server = authority(folder), make(folder, "server", usage=SERVERS)
    pinned = make(folder, "pinned")
    settings = (
        f'[server]\ntls_certificate = "{server.pem}"\ntls_key = "{server.key_pem}"\n'
        f'tls_client_ca = ["{known.pem}", "{pinned.pem}"]\n'
    )
    settings += provider_settings(standin.base_url)
    environ = {"PROVIDER_KEY": standin.credential}
    with running_guard(folder / "guard", settings, environ) as guard:
        yield World(guard, standin, folder, known, server)


def rfc9440(pair: Pair) -> str:
    """As HAProxy, Caddy and Google's load balancers can write it."""
    return f":{base64.b64encode(pair.der).decode()}:"


def envoy(pair: Pair) -> str:
    """As Envoy writes it with SANITIZE_SET and `cert: true`."""
    digest = hashlib.sha256(pair.der).hexdigest()
    return f'Hash={digest};Cert="{pair.escaped}";Subject="CN=x";URI='


def escaped(pair: Pair) -> str:
    """As nginx writes it."""
    return pair.escaped


FORMS: dict[str, Callable[[Pair], str]] = {
    "client-cert": rfc9440,
    "x-forwarded-client-cert": envoy,
    "x-leaf": escaped,
}
