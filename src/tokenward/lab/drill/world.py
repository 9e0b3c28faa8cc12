"""The processes of a drill: a stand-in provider, and a guard that can be stopped and started."""

import http.client
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import urlsplit

from tokenward.lab.drill.networks import write_networks
from tokenward.lab.drill.programs import ADDRESS
from tokenward.lab.drill.rendering import LISTED
from tokenward.lab.processes import Processes

_CREDENTIAL: Final = "sk-standin-provider-key-of-the-drill"
_MODELS: Final = {
    "openai": '["gpt-*", "o*", "text-embedding-*"]',
    "anthropic": '["claude-*"]',
}
_ASK_S: Final = 30.0


class DrillError(Exception):
    """Raised when the drill cannot be played; says why in one line."""


@dataclass(slots=True)
class World:
    """Where everything is. `guard_url` is another one after each start."""

    processes: Processes
    provider_url: str
    guard_url: str = ""
    _guard: ExitStack = field(default_factory=ExitStack)

    @property
    def settings_file(self) -> Path:
        """The settings of the drill's guard."""
        return self.processes.settings_file

    def start(self) -> None:
        """Start the guard and wait until it is ready."""
        self.guard_url = self._guard.enter_context(self.processes.guard())

    def stop(self) -> None:
        """Stop the guard as an operator does: running calls end, what was learned is kept."""
        self._guard.close()

    def admin(self, method: str, path: str, body: Any = None) -> Any:
        """What the admin API answers. Raises DrillError for a refusal."""
        token = (self.processes.folder / "data" / "admin.token").read_text("ascii").strip()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        text = None if body is None else json.dumps(body)
        status, said = _ask(self.guard_url, method, f"/admin/v1{path}", text, headers)
        value = json.loads(said)
        if status >= 400:  # never the whole answer: it may hold a key
            raise DrillError(f"the guard refused {method} {path}: {value['error']['message']}")
        return value

    def bill_nusd(self) -> int:
        """What the stand-in provider has charged so far, by its own count."""
        _, said = _ask(self.provider_url, "GET", "/_standin/bill?last=0", None, {})
        return int(json.loads(said)["totals"]["cost_nusd"])


def _ask(
    url: str, method: str, path: str, body: str | None, headers: dict[str, str]
) -> tuple[int, bytes]:
    at = urlsplit(url)
    link = http.client.HTTPConnection(at.hostname or "", at.port, timeout=_ASK_S)
    try:
        link.request(method, path, body, headers)
        answer = link.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as gone:
        raise DrillError(f"there is no answer to {method} {path}: {gone}") from None
    finally:
        link.close()


@contextmanager
def built_world(policy: str) -> Iterator[World]:
    """A stand-in that runs and a guard that does not yet, in a folder that is gone afterwards.
    `policy` is the text of the guard's `[policy]` tables."""
    with TemporaryDirectory(prefix="tokenward-drill-") as name:
        processes = Processes(folder=Path(name), credential=_CREDENTIAL, failure=DrillError)
        models = [f"--model={model}={price}" for model, price in LISTED.items()]
        with processes.standin(*models) as provider_url:
            processes.write_settings(provider_url, _MODELS, _tables(processes.folder, policy))
            world = World(processes, provider_url)
            try:
                yield world
            finally:
                world.stop()


def _tables(folder: Path, policy: str) -> str:
    """Callers say in a header where they are: in truth, all of them are here."""
    return (
        f'[server]\ntrusted_proxies = ["127.0.0.1"]\nclient_address_header = "{ADDRESS}"\n'
        f"\n{write_networks(folder)}\n{policy}\n"
    )
