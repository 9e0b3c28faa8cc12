"""tokenward itself: with PostgreSQL and Valkey, as workers of one machine, or as one process."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import tokenward
from benchmarks.storms.asking import ask
from benchmarks.storms.load import MODEL, Told
from benchmarks.storms.peer import Key, Setting
from benchmarks.storms.processes import GatewayProcess

_DATABASE: Final = "tokenward"
_SETTINGS: Final = """
[[provider]]
name = "openai"
dialect = "openai"
base_url = "{provider}"
credential = "env:STORM_PROVIDER_KEY"
models = ["{model}"]

[admin]
token = "file:data/admin.token"
"""


class Tokenward:
    """Gateways with one pepper. `engine`: `postgres` (with Valkey), or `sqlite`, where there is one
    process or, with `workers`, one that keeps the records for so many others."""

    def __init__(self, setting: Setting, *, engine: str = "postgres", workers: int = 1) -> None:
        self._setting = setting
        self._engine = engine
        self._workers = workers
        self._folder = Path(setting.folder)
        self._run("init", ".")
        text = _SETTINGS.format(provider=setting.provider_url, model=MODEL)
        (self._folder / "tokenward.toml").write_text(text, "utf-8")
        self._token = (self._folder / "data" / "admin.token").read_text("ascii").strip()
        serve = [sys.executable, "-m", "tokenward", "--json", "serve"]
        self.gateways: Sequence[GatewayProcess] = [
            GatewayProcess(
                name=f"gateway-{number}",
                folder=self._folder,
                command=[*serve, *(("--workers", str(workers)) if workers > 1 else ())],
                environ=self._environ(number),
                ready_path="/readyz",
            )
            for number in range(setting.gateways if engine == "postgres" else 1)
        ]

    def _environ(self, number: int) -> dict[str, str]:
        environ = {"STORM_PROVIDER_KEY": self._setting.credential}
        if self._engine == "postgres":
            seen = self._setting.stores.seen[number]
            environ["TOKENWARD_STORE__RECORDS"] = seen.postgres_url(_DATABASE)
            environ["TOKENWARD_STORE__HOT"] = f"valkey://127.0.0.1:{seen.valkey_port}"
        return environ

    def _run(self, *words: str) -> str:
        command = [sys.executable, "-m", "tokenward", "--json", *words]
        done = subprocess.run(
            command, cwd=self._folder, capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout

    @property
    def about(self) -> dict[str, str]:
        """Version and engine."""
        workers = f", {self._workers} workers and the process that keeps the records"
        engine = {"postgres": "PostgreSQL and Valkey", "sqlite": "SQLite"}[self._engine]
        return {
            "gateway": f"tokenward {tokenward.__version__}",
            "settings": engine + (workers if self._workers > 1 else ""),
        }

    def start(self) -> None:
        """With a database of its own."""
        if self._engine == "postgres":
            self._setting.stores.postgres.run(f"create database {_DATABASE}")
        self.gateways[0].start()  # alone: it lays out the tables
        self.gateways[0].wait()
        for gateway in self.gateways[1:]:
            gateway.start()
        for gateway in self.gateways[1:]:
            gateway.wait()

    def stop(self) -> None:
        """All."""
        for gateway in self.gateways:
            gateway.stop()

    async def _ask(self, gateway: int, method: str, path: str, **body: object) -> Any:
        url = f"{self.gateways[gateway].url}/admin/v1{path}"
        return await ask(method, url, self._token, body or None)

    async def new_key(self, budget_nusd: int) -> Key:
        """A key with a cap of a day."""
        caps = [f"{budget_nusd // 10**9}.{budget_nusd % 10**9:09d}/day"]
        made = await self._ask(0, "POST", "/keys", project="storm", caps=caps)
        return Key(id=made["id"], text=made["key"])

    async def revoke(self, key: Key, gateway: int) -> None:
        """`key revoke`."""
        await self._ask(gateway, "POST", f"/keys/{key.id}/revoke", why="storm")

    async def spent_nusd(self, key: Key) -> int:
        """What its cap says; money that is held is not spent."""
        return int((await self._cap(key))["spent"])

    async def held_nusd(self, key: Key) -> int | None:
        """What its cap says."""
        return int((await self._cap(key))["held"])

    async def _cap(self, key: Key) -> dict[str, Any]:
        (cap,) = await self._ask(0, "GET", f"/caps?subject=key:{key.id}")
        return dict(cap)

    def meaning(self, told: Told) -> str:
        """See `Peer`."""
        if told.status == 200:
            return "ok"
        code = _code(told.text)
        if code == "cap:held":
            return "busy"
        room = code.partition(":")[0]
        known = {"cap": "budget", "key": "key", "store": "unavailable", "provider": "provider"}
        if code == "key:stale_view":
            return "unavailable"
        if room in known:
            return known[room]
        if told.status == 0:
            return "broken"
        return "provider" if "stand-in was asked" in told.text else "other"


def _code(text: str) -> str:
    """The refusal's, "" if the guard refused nothing."""
    try:
        return str(json.loads(text)["error"].get("code") or "")
    except (ValueError, LookupError, AttributeError, TypeError):
        return ""
