"""LiteLLM's proxy with PostgreSQL and Redis, from the environment that `install.py` makes."""

import os
import secrets
import subprocess
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final

from benchmarks.peers.install import DEFAULT
from benchmarks.storms.asking import ask
from benchmarks.storms.load import MODEL, Told
from benchmarks.storms.peer import Key, Setting
from benchmarks.storms.processes import GatewayProcess

WHERE: Final = "TOKENWARD_PEERS"
"""Environment variable: the folder that `install.py` filled, when it is not the default one."""
_DATABASE: Final = "litellm"
_CONFIG: Final = """
model_list:
  - model_name: {model}
    litellm_params:
      model: openai/{model}
      api_base: {provider}/v1
      api_key: os.environ/STORM_PROVIDER_KEY
      max_retries: 0
general_settings:
  master_key: os.environ/LITELLM_MASTER_KEY{general}
router_settings:
  redis_host: 127.0.0.1
  redis_port: {port}
  num_retries: 0
  disable_cooldowns: true
litellm_settings:
  num_retries: 0
  cache: true
  cache_params:
    type: redis
    host: 127.0.0.1
    port: {port}{shared}
"""
_STRICT_GENERAL: Final = """
  fail_closed_budget_enforcement: true
  use_redis_transaction_buffer: true"""
_STRICT_SHARED: Final = """
  enable_redis_auth_cache: true"""


class LiteLLM:
    """Some proxies, as the documentation has it for several replicas: Redis for router and cache.
    `is_strict` adds what it has for budgets that must hold and for shared key look-ups."""

    def __init__(self, setting: Setting, *, is_strict: bool) -> None:
        self._setting = setting
        self._is_strict = is_strict
        self._folder = Path(os.environ.get(WHERE, DEFAULT)).absolute()
        self._master = f"sk-{secrets.token_hex(16)}"
        litellm = self._folder / "env" / "bin" / "litellm"
        assert litellm.exists(), f"python -m benchmarks.peers.install --folder {self._folder}"
        salt = f"sk-{secrets.token_hex(16)}"
        self.gateways: Sequence[GatewayProcess] = [
            GatewayProcess(
                name=f"gateway-{number}",
                folder=Path(setting.folder),
                command=[litellm, "--config", self._config(number), "--host", "127.0.0.1"],
                environ={**self._environ(number), "LITELLM_SALT_KEY": salt},
                ready_path="/health/readiness",
            )
            for number in range(setting.gateways)
        ]

    def _config(self, number: int) -> Path:
        file = Path(self._setting.folder) / f"gateway-{number}.yaml"
        text = _CONFIG.format(
            model=MODEL,
            provider=self._setting.provider_url,
            port=self._setting.stores.seen[number].valkey_port,
            general=_STRICT_GENERAL if self._is_strict else "",
            shared=_STRICT_SHARED if self._is_strict else "",
        )
        file.write_text(text, "utf-8")
        return file

    def _environ(self, number: int) -> dict[str, str]:
        return {
            "DATABASE_URL": self._setting.stores.seen[number].postgres_url(_DATABASE),
            "LITELLM_MASTER_KEY": self._master,
            "STORM_PROVIDER_KEY": self._setting.credential,
            "PRISMA_QUERY_ENGINE_BINARY": str(self._folder / "query-engine"),
            "DISABLE_SCHEMA_UPDATE": "true",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_LOG": "ERROR",
        }

    @property
    def about(self) -> dict[str, str]:
        """Version, settings, and what is not as usual."""
        script = "import importlib.metadata as m; print(m.version('litellm'))"
        python = self._folder / "env" / "bin" / "python"
        version = subprocess.run([python, "-c", script], capture_output=True, text=True, check=True)
        strict = (_STRICT_GENERAL + _STRICT_SHARED).split("\n") if self._is_strict else []
        return {
            "gateway": f"LiteLLM {version.stdout.strip()}",
            "settings": "; ".join(
                ["Redis for router and cache", *(s.strip() for s in strict if s)]
            ),
            "database": "Prisma's engine 4.7.1 as a library of Node, not the program of 5.4.2",
        }

    def start(self) -> None:
        """With a database of its own, laid out as LiteLLM's own schema says."""
        postgres = self._setting.stores.postgres
        postgres.run(f"create database {_DATABASE}")
        postgres.run((self._folder / "schema.sql").read_text("utf-8"), _DATABASE)
        self.gateways[0].start()  # alone: what it sets up at its first start it does once
        self.gateways[0].wait()
        for gateway in self.gateways[1:]:
            gateway.start()
        for gateway in self.gateways[1:]:
            gateway.wait()

    def stop(self) -> None:
        """All."""
        for gateway in self.gateways:
            gateway.stop()

    async def _ask(self, gateway: int, method: str, path: str, **body: object) -> dict[str, object]:
        url = f"{self.gateways[gateway].url}{path}"
        answer: dict[str, object] = await ask(method, url, self._master, body or None)
        return answer

    async def new_key(self, budget_nusd: int) -> Key:
        """A virtual key with a budget of a day."""
        budget = float(Decimal(budget_nusd) / 10**9)
        wishes = {"max_budget": budget, "budget_duration": "1d", "models": [MODEL]}
        made = await self._ask(0, "POST", "/key/generate", **wishes)
        return Key(id=str(made["token"]), text=str(made["key"]))

    async def revoke(self, key: Key, gateway: int) -> None:
        """`/key/delete`."""
        await self._ask(gateway, "POST", "/key/delete", keys=[key.text])

    async def spent_nusd(self, key: Key) -> int:
        """`/key/info`, as written to PostgreSQL."""
        shown = await self._ask(0, "GET", f"/key/info?key={key.id}")
        info = shown["info"]
        assert isinstance(info, dict)
        return round(Decimal(str(info["spend"])) * 10**9)

    async def held_nusd(self, key: Key) -> int | None:
        """It shows no such thing."""
        return None

    def meaning(self, told: Told) -> str:
        """See `Peer`."""
        if told.status == 200:
            return "ok"
        if told.status == 422 and (not told.text or "budget_exceeded" in told.text):
            return "budget"
        if "stand-in was asked" in told.text:
            return "provider"
        known = {0: "broken", 401: "key", 503: "unavailable", 500: "provider"}
        return known.get(told.status, "other")
