"""The whole guard over a real store in a temporary folder, without a socket: what a client of the
token service sends, with a clock that a test can move."""

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from holder import Holder, claims_for
from tokenward.app import House, open_store
from tokenward.cli.main import run as run_command
from tokenward.http.door import Door
from tokenward.kernel.errors import SettingsError
from tokenward.kernel.secret import Secret
from tokenward.keys import life
from tokenward.keys.life import Created, KeyDraft
from tokenward.keys.records import Caveats, KeyRecord
from tokenward.machine import RealDice
from tokenward.settings import load

ISSUER = "https://guard.test"
TOKEN = "/oauth/token"
CALL = "/v1/chat/completions"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ADMIN = "0123456789abcdef" * 4
SETTINGS = f"""
[server]
public_urls = ["{ISSUER}"]
trusted_proxies = ["10.0.0.9/32"]
client_certificate_header = "client-cert"
[[provider]]
name = "none"
dialect = "openai"
base_url = "http://127.0.0.1:9"
credential = "none"
models = ["gpt-*", "o3"]
[keys]
bearer_cap = ""
[oauth]
"""


PATIENT = {"TOKENWARD_LEDGER__COMMIT_LIMIT_S": "20"}
"""A machine full of tests has a late disk now and then."""


class MovingClock:
    """The machine's clocks; a test sets them forward. They begin a minute ahead: a guard that was
    started this moment takes no assertions, because it may have forgotten their use."""

    ahead_ms = 60_000

    def now_ms(self) -> int:
        """Wall time, and what the test added."""
        return time.time_ns() // 1_000_000 + self.ahead_ms

    def monotonic_s(self) -> float:
        """Seconds that never go back."""
        return time.monotonic() + self.ahead_ms / 1000


@dataclass(frozen=True)
class Said:
    """An answer."""

    status: int
    headers: dict[str, str]
    text: bytes

    @property
    def value(self) -> dict[str, Any]:
        """Its JSON."""
        value: dict[str, Any] = json.loads(self.text)
        return value

    @property
    def error(self) -> str:
        """The OAuth error, "" in a success."""
        return str(self.value.get("error", ""))

    @property
    def code(self) -> str:
        """Our code, of the token service or of a call."""
        error = self.value.get("error")
        return str(error["code"] if isinstance(error, dict) else self.value.get("code", ""))


class TokenWorld:
    """Made by `opened`."""

    house: House
    door: Door

    def __init__(self, clock: MovingClock) -> None:
        self.clock = clock

    async def open(self, folder: Path, more: str = "") -> None:
        """Open or reopen the guard of a folder."""
        path = folder / "tokenward.toml"
        if not path.exists():
            path.write_text(SETTINGS + more, "utf-8")
            assert run_command(["init", str(folder)]) == 0
        settings = load(path, PATIENT)
        store = await open_store(settings, {})
        try:
            self.house = House(settings, {}, store)
        except SettingsError:
            await store.close()
            raise
        self.house.guard = replace(self.house.guard, clock=self.clock)
        self.door = self.house.door(Secret(ADMIN, "admin"))

    async def close(self) -> None:
        """Write and close everything."""
        await self.house.stop()

    async def key(
        self, bind: str = "none", holder: str = "", lifetime_ms: int | None = None, **caveats: Any
    ) -> Created:
        """A new key."""
        draft = KeyDraft(
            project="tests",
            caveats=Caveats(bind=bind, **caveats),
            holder=holder,
            lifetime_ms=lifetime_ms,
        )
        guard = self.house.guard
        made = life.create(draft, RealDice(), guard.pepper, self.clock.now_ms())
        await guard.keys.add(made.record)
        return made

    async def change(self, key_id: str, how: Any) -> KeyRecord:
        """A step in a key's life."""
        keys = self.house.guard.keys
        old = await keys.find(key_id)
        assert old is not None
        new: KeyRecord = how(old)
        assert await keys.replace(old, new, "key:changed", "a test")
        return new

    @property
    def nonce(self) -> str:
        """What the guard hands out now."""
        return self.house.guard.prover.nonces.current(self.clock.now_ms())

    def proof(self, holder: Holder, path: str = TOKEN, **more: Any) -> str:
        """A right proof of a POST; `more` replaces claims."""
        claims = claims_for("POST", ISSUER + path, nonce=self.nonce)
        claims["iat"] = self.clock.now_ms() // 1000
        return holder.proof({name: v for name, v in {**claims, **more}.items() if v is not None})

    async def post(
        self,
        path: str,
        form: dict[str, str] | bytes,
        headers: dict[str, str] | list[tuple[str, str]] | None = None,
        *,
        method: str = "POST",
        client: str = "192.0.2.7",
        query: str = "",
    ) -> Said:
        """One request as the server hands it on."""
        body = form if isinstance(form, bytes) else urlencode(form).encode()
        given = headers.items() if isinstance(headers, dict) else headers or []
        content = [] if "content-type" in dict(given) else [(
            b"content-type", b"application/x-www-form-urlencoded",
        )]  # fmt: skip
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "client": (client, 1234),
            "headers": content + [(n.encode(), v.encode("latin-1")) for n, v in given],
        }
        sent: list[Any] = []
        pieces = [{"type": "http.request", "body": body}, {"type": "http.disconnect"}]

        async def receive() -> dict[str, Any]:
            return pieces.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        await self.door(scope, receive, send)
        heads = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Said(sent[0]["status"], heads, b"".join(m.get("body", b"") for m in sent[1:]))

    async def get(self, path: str, method: str = "GET") -> Said:
        """A public document."""
        return await self.post(path, b"", {"host": "evil.test"}, method=method)

    async def ask(self, path: str, holder: Holder | None, **form: str) -> Said:
        """A form with a right proof."""
        headers = {"dpop": self.proof(holder, path)} if holder is not None else {}
        return await self.post(path, form, headers)

    async def grant(self, key: Created, holder: Holder, **form: str) -> Said:
        """Client credentials with the key's own secret."""
        wish = {"grant_type": "client_credentials", **secret_of(key), **form}
        return await self.ask(TOKEN, holder, **wish)

    async def tokens(self, key: Created, holder: Holder, **form: str) -> dict[str, Any]:
        """The same; what was granted."""
        said = await self.grant(key, holder, **{"scope": "offline_access", **form})
        assert said.status == 200, said.text
        return said.value

    async def refresh(self, token: str, holder: Holder, **form: str) -> Said:
        """As a public client."""
        wish = {"grant_type": "refresh_token", "refresh_token": token, **form}
        return await self.ask(TOKEN, holder, **wish)

    async def call(
        self, token: str, holder: Holder | None, model: str = "gpt-5-mini", scheme: str = "DPoP"
    ) -> Said:
        """A call with an access token; the provider is away, so 503 is as far as one gets."""
        claims = claims_for("POST", ISSUER + CALL, credential=token, nonce=self.nonce)
        claims["iat"] = self.clock.now_ms() // 1000
        headers = {"authorization": f"{scheme} {token}", "content-type": "application/json"}
        if holder is not None:
            headers["dpop"] = holder.proof(claims)
        message = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
        return await self.post(CALL, json.dumps(message).encode(), headers)

    async def passes(self, token: str, holder: Holder, model: str = "gpt-5-mini") -> bool:
        """Whether a call with the token would reach the provider."""
        said = await self.call(token, holder, model)
        assert said.code == "provider:unavailable" or said.status in (401, 403), said.text
        return said.code == "provider:unavailable"

    async def incidents(self) -> list[Any]:
        """All, newest first."""
        return await self.house.store.incidents.recent(100)

    async def events(self, kind: str) -> list[Any]:
        """All of a kind."""
        await self.house.store.grants.sweep(0)  # behind what was told before
        found = await self.house.store.books.events(0, 1000)
        return [event for _, event in found if event.kind == kind]


def secret_of(key: Created) -> dict[str, str]:
    """The client's credentials as form fields."""
    return {"client_id": key.record.id, "client_secret": key.key.reveal()}
