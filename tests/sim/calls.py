"""Callers: who calls, streams, hangs up and tries again; and the thief among them."""

import asyncio
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from holder import Holder, b64
from sim.clocks import SimClock
from sim.gateway import ROUTE, URL, Gateway
from sim.provider import MODEL
from tokenward.pipeline.stages import Arrived
from tokenward.providers.interfaces import Headers
from tokenward.providers.openai import OPENAI

PATIENCE_S = 20.0


@dataclass(slots=True)
class SimKey:
    """A key as its owner has it. `holder` None: a bearer key."""

    id: str
    text: str
    project: str
    holder: Holder | None
    nonce: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a caller wants; tried again under the same `idempotency`. `limit` 0: none is set."""

    key: SimKey
    text: str
    limit: int
    stream: bool
    idempotency: str
    is_thief: bool = False
    reads_slowly: bool = False

    def body(self) -> bytes:
        """In OpenAI's dialect."""
        document: dict[str, Any] = {
            "model": MODEL,
            "messages": [{"role": "user", "content": self.text}],
        }
        if self.limit:
            document["max_completion_tokens"] = self.limit
        if self.stream:
            document["stream"] = True
        return json.dumps(document).encode()


@dataclass(slots=True)
class Call:
    """One try of an order. `outcome`: `whole`, `refused`, `broken`, `lost`, `left` or ""."""

    request_id: str
    order: Order
    headers: Headers
    proof: str
    """The id of the proof that came with it, or ""."""
    done: "asyncio.Future[None]"
    status: int = 0
    code: str = ""
    outcome: str = ""
    received: bytearray = field(default_factory=bytearray)

    def end(self, outcome: str) -> None:
        """Only the first end counts."""
        if not self.outcome:
            self.outcome = outcome
            if not self.done.done():
                self.done.set_result(None)


class SimReply:
    """Fulfils `pipeline.interfaces.Reply` for one call."""

    def __init__(self, call: Call, gateway: Gateway, note: Callable[..., None]) -> None:
        self.is_gone = False
        self._call = call
        self._gateway = gateway
        self._note = note
        self._on_gone: Callable[[], None] | None = None

    def hang_up(self) -> None:
        """The caller closes its connection."""
        if not self.is_gone:
            self.is_gone = True
            self._call.end("left")
            self._gateway.process.call(0.001, self._tell_gone)

    def _tell_gone(self) -> None:
        on_gone, self._on_gone = self._on_gone, None
        if on_gone is not None:
            on_gone()

    def watch(self, on_gone: Callable[[], None]) -> None:
        """Call back once."""
        self._on_gone = on_gone
        if self.is_gone:
            self._gateway.process.call(0.0, self._tell_gone)

    def add_header(self, name: bytes, value: bytes) -> None:
        """Only the nonce of proofs matters to callers."""
        if name == b"dpop-nonce":
            self._call.order.key.nonce = value.decode()

    async def start(self, status: int, headers: Headers) -> None:
        """The head."""
        self._call.status = status

    async def write(self, chunk: bytes) -> None:
        """A piece."""
        if self.is_gone:
            return
        if chunk and self._call.status < 300:
            self._note("received", request=self._call.request_id, count=len(chunk))
        self._call.received += chunk
        if self._call.order.reads_slowly:
            await asyncio.sleep(0.4)

    async def end(self, chunk: bytes = b"") -> None:
        """The last piece."""
        await self.write(chunk)
        if self._call.status >= 300:
            self._call.code = _code(bytes(self._call.received))
            self._call.end("refused")
        else:
            self._call.end("whole" if b'"error"' not in self._call.received else "broken")

    def abandon(self) -> None:
        """The connection ends early."""
        self._call.end("broken")


def arrival(call: Call, at_ms: int) -> Arrived:
    """The request as the door hands it on."""
    body = call.order.body()

    async def read_body() -> bytes:
        return body

    async def has_come() -> bool:
        return True

    return Arrived(
        request_id=call.request_id,
        at_ms=at_ms,
        route=ROUTE,
        dialect=OPENAI,
        model_in_path="",
        path=ROUTE.path,
        query=b"",
        headers=dict(call.headers),
        header_list=call.headers,
        client_ip="203.0.113.7",
        read_body=read_body,
        has_come=has_come,
    )


def headers_of(order: Order, request_id: str, proof_id: str, clock: SimClock) -> Headers:
    """Key, proof where the caller holds a private key, and the key of the order."""
    key = order.key
    scheme = "DPoP" if key.holder is not None and proof_id else "Bearer"
    headers = [(b"authorization", f"{scheme} {key.text}".encode())]
    if key.holder is not None and proof_id:
        headers.append((b"dpop", _proof(key, key.holder, proof_id, clock).encode()))
    if order.idempotency:
        headers.append((b"idempotency-key", order.idempotency.encode()))
    headers.append((b"x-request-id", request_id.encode()))
    return tuple(headers)


def renamed(headers: Headers, request_id: str) -> Headers:
    """The same request once more, under another id."""
    return tuple(
        (name, request_id.encode() if name == b"x-request-id" else value) for name, value in headers
    )


def draw_order(rng: Random, key: SimKey, *, may_stream: bool, reads_slowly: bool) -> Order:
    """Something to ask."""
    return Order(
        key=key,
        text="say " * rng.choice((1, 5, 40)),
        limit=rng.choice((0, 5, 50, 200)),
        stream=may_stream and rng.random() < 0.6,
        idempotency=f"order-{rng.randrange(10**9)}" if rng.random() < 0.6 else "",
        reads_slowly=reads_slowly and rng.random() < 0.3,
    )


def stolen(order: Order) -> Order:
    """The same, by somebody who has only a copy of the key."""
    return replace(order, is_thief=True)


def _proof(key: SimKey, holder: Holder, proof_id: str, clock: SimClock) -> str:
    claims: dict[str, Any] = {
        "jti": proof_id,
        "htm": ROUTE.method,
        "htu": URL + ROUTE.path,
        "iat": clock.now_ms() // 1000,
        "ath": b64(hashlib.sha256(key.text.encode()).digest()),
    }
    if key.nonce:
        claims["nonce"] = key.nonce
    return holder.proof(claims)


def _code(body: bytes) -> str:
    error = json.loads(body).get("error", {})
    return str(error.get("code") or error.get("type") or "")
