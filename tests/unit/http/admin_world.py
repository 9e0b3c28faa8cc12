"""The admin door over a real store in a temporary folder, without a socket."""

import json
import secrets
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from tokenward.http.admin.door import AdminDoor
from tokenward.http.admin.office import Check, Office
from tokenward.kernel.bound import CostBound
from tokenward.kernel.secret import Secret
from tokenward.kernel.usage import Usage
from tokenward.ledger.records import Charge, Hold, HoldAsk
from tokenward.pipeline.running import RunningCalls
from tokenward.store.sqlite import SqliteStore

TOKEN = "0123456789abcdef" * 4
PEPPER = Secret("fedcba9876543210" * 4, "pepper")


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[bytes, bytes]
    value: Any

    @property
    def error(self) -> dict[str, Any]:
        """The refusal."""
        return self.value["error"]


class World:
    """A door and what stands behind it."""

    def __init__(self, store: SqliteStore, clock: "MovingClock") -> None:
        self.store = store
        self.clock = clock
        self.running = RunningCalls()
        self.checks: list[Check] = []
        self.office = Office(
            keys=store.keys,
            ledger=store.ledger,
            books=store.books,
            records=store.records,
            incidents=store.incidents,
            running=self.running,
            pepper=PEPPER,
            clock=self.clock,
            dice=SystemDice(),
            zone="UTC",
            bearer_cap="",
            rules=(),
            sees_certificates=False,
            check=self._check,
        )
        self.door = AdminDoor(self.office, Secret(TOKEN, "admin token"), failed_login_wait_s=0.001)

    async def _check(self) -> list[Check]:
        return self.checks

    async def spend(self, key_id: str, cost_nusd: int) -> None:
        """One call of the key that cost this much."""
        record = await self.office.keys.find(key_id)
        assert record is not None
        at_ms = self.clock.now_ms()
        bound = CostBound(
            fixed_pico=cost_nusd * 1000, output_pico=0, fixed_tokens=10, output_min=0, output_max=0
        )
        hold = await self.office.ledger.hold(
            HoldAsk(
                request_id="req_" + secrets.token_hex(8),
                key=record.id,
                project=record.project,
                account=record.account,
                model="gpt-5",
                bound=bound,
                is_priced=True,
                max_call_nusd=None,
                at_ms=at_ms,
                ttl_ms=60_000,
            )
        )
        assert isinstance(hold, Hold)
        usage = Usage(input=7, output=3)
        charge = Charge(cost_nusd=cost_nusd, tokens=10, usage=usage, is_estimate=False)
        await self.office.ledger.settle(hold, charge, at_ms)

    async def send(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        query: str = "",
        token: str | None = TOKEN,
        raw: list[tuple[bytes, bytes]] | None = None,
    ) -> Answer:
        """One request as the server would hand it on; `raw` headers replace the token's."""
        bearer = [] if token is None else [(b"authorization", b"Bearer " + token.encode())]
        scope = {
            "type": "http",
            "method": method,
            "path": unquote(path),
            "raw_path": quote(path, safe="/%").encode(),
            "query_string": query.encode(),
            "headers": [*bearer, *(raw or [])] if token is None or raw is None else raw,
        }
        pieces = [body[:10], body[10:]]
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.door(scope, receive, send)
        start, end = sent
        headers = dict(start["headers"])
        assert headers[b"content-length"] == str(len(end["body"])).encode()
        return Answer(start["status"], headers, json.loads(end["body"]))

    async def ask(self, method: str, path: str, body: Any = None, query: str = "") -> Answer:
        """One command of an admin."""
        encoded = b"" if body is None else json.dumps(body).encode()
        return await self.send(method, "/admin/v1" + path, body=encoded, query=query)

    async def make_key(self, **wishes: Any) -> dict[str, Any]:
        """A new key, as shown once."""
        answer = await self.ask("POST", "/keys", {"project": "demo", **wishes})
        assert answer.status == 201, answer.value
        return answer.value


class MovingClock:
    """The machine's clocks; a test can set the wall clock forward or back."""

    ahead_ms = 0

    def now_ms(self) -> int:
        """Wall time, and what the test added."""
        return time.time_ns() // 1_000_000 + self.ahead_ms

    def monotonic_s(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()


class SystemDice:
    """The system's randomness."""

    def below(self, limit: int) -> int:
        """A uniform integer in [0, limit)."""
        return secrets.randbelow(limit)
