"""An agent in this loop, in front of a guard that follows a script byte by byte."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tokenward.client.agent import AgentServer, SignedLink
from tokenward.client.agent.local_token import PREFIX
from tokenward.client.holder import Bind
from tokenward.kernel.secret import Secret
from unit.client.holders import Seen, holder, verified
from unit.http.raw_sockets import Script, Wire, provider, say

TOKEN = PREFIX + "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg"
OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
CHALLENGE = (
    b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 4\r\ndpop-nonce: fresh\r\n"
    b'www-authenticate: DPoP error="use_dpop_nonce", algs="ES256"\r\n\r\nsign'
)


@dataclass
class RunningAgent:
    """Where it listens and what it warned of."""

    port: int
    server: AgentServer
    warnings: list[str] = field(default_factory=list)

    async def ask(self, line: str, *headers: str, body: bytes = b"") -> bytes:
        """All it answers to one well-meant request, until it closes the connection."""
        return await say(self.port, self.request(line, *headers, body=body))

    def request(self, line: str, *headers: str, body: bytes = b"") -> bytes:
        """The bytes of a request with the local token that ends its connection."""
        told = [f"{line} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", "Connection: close"]
        told += [f"Authorization: Bearer {TOKEN}", *headers]
        if body:
            told.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*told, "", ""]).encode("latin-1") + body


@asynccontextmanager
async def running_agent(
    guard_url: str,
    *,
    bind: Bind = "dpop",
    now_s: Callable[[], float] = time.time,
    host: str = "127.0.0.1",
) -> AsyncIterator[RunningAgent]:
    """An agent for the guard at that address; it must end well."""
    warnings: list[str] = []
    link = SignedLink(holder(guard_url, bind), now_s=now_s, warn=warnings.append)
    server = AgentServer(link, Secret(TOKEN, "local token"), host, 0, warnings.append)
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(server.serve(ready.set_result))
    try:
        port = int((await ready).rpartition(":")[2])
        yield RunningAgent(port, server, warnings)
    finally:
        server.stop()
        server.stop()
        await asyncio.wait_for(serving, 30)


@dataclass
class Scripted:
    """The guard's side: each request as it came, head and body."""

    heads: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    def header(self, name: str, number: int = -1) -> list[str]:
        """The values of a header in a request, in order."""
        lines = self.heads[number].decode("latin-1").split("\r\n")[1:]
        pairs = [line.partition(": ") for line in lines]
        return [value for found, _, value in pairs if found.lower() == name]

    def proof(self, number: int = -1) -> Seen:
        """The proof of a request, verified."""
        (proof,) = self.header("dpop", number)
        return verified(proof)


@asynccontextmanager
async def signed(
    *answers: bytes, bind: Bind = "dpop", now_s: Callable[[], float] = time.time
) -> AsyncIterator[tuple[RunningAgent, Scripted]]:
    """An agent and a guard that gives these answers in turn, the last one for ever."""
    seen = Scripted()

    async def follow(wire: Wire) -> None:
        while True:
            head, body = await wire.request()
            seen.heads.append(head)
            seen.bodies.append(body)
            await wire.say(answers[min(len(seen.heads), len(answers)) - 1])

    async with scripted(follow, bind=bind, now_s=now_s) as agent:
        yield agent, seen


@asynccontextmanager
async def scripted(
    script: Script, *, bind: Bind = "dpop", now_s: Callable[[], float] = time.time
) -> AsyncIterator[RunningAgent]:
    """An agent before a guard whose every connection runs the script."""
    async with (
        provider(script) as guard,
        running_agent(f"http://127.0.0.1:{guard.port}", bind=bind, now_s=now_s) as agent,
    ):
        yield agent
