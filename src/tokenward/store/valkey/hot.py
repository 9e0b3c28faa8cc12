"""All hot state of a gateway on Valkey: opened once, kept going by itself, closed once."""

import asyncio
import secrets
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Self

from tokenward.binding.wording import REPLAYED
from tokenward.kernel.clock import Clock
from tokenward.kernel.errors import StoreError
from tokenward.kernel.refusals import Refusal
from tokenward.kernel.secret import Secret
from tokenward.limits.interfaces import UNLIMITED, KeyLimits, Place
from tokenward.limits.local import ANYWHERE
from tokenward.store.valkey.address import Target, parse_url
from tokenward.store.valkey.epochs import Epochs
from tokenward.store.valkey.limiter import RENEW_EVERY_S, ValkeyLimiter, keys_of
from tokenward.store.valkey.pokes import Pokes
from tokenward.store.valkey.proofs import ValkeyProofs
from tokenward.store.valkey.servers import Servers

LIMIT_S: Final = 0.75
PROBE_EVERY_S: Final = 1.0
LOOK_PAUSE_S: Final = 0.01
PAUSE_S: Final = (0.05, 1.0)
"""Between tries to get back a server that went away; doubles."""


def _nothing() -> None:
    """Nobody waits for pokes."""


class HotState:
    """Used proofs, limits and pokes. `limit_s` bounds every wait for a server: slow is dead."""

    proofs: ValkeyProofs
    limiter: ValkeyLimiter
    pokes: Pokes

    def __init__(
        self, target: Target, clock: Clock, limit_s: float, on_poke: Callable[[], None]
    ) -> None:
        self._servers = Servers(target, limit_s)
        self._epochs = Epochs(self._servers, clock)
        self._why = "it is not open yet"
        self._tasks: list[asyncio.Task[None]] = []
        self._turn = 0
        self.proofs = ValkeyProofs(self._servers, self._epochs, clock)
        self.limiter = ValkeyLimiter(self._servers, secrets.token_urlsafe(6).encode() + b"-")
        self.pokes = Pokes(self._servers, limit_s, on_poke)

    @classmethod
    async def open(
        cls,
        url: Secret,
        clock: Clock,
        *,
        limit_s: float = LIMIT_S,
        tls: ssl.SSLContext | None = None,
        on_poke: Callable[[], None] = _nothing,
    ) -> Self:
        """Connect, and find or begin the epoch of used proofs. Raises `StoreError`: nothing starts
        without its hot state. `url` as `address.parse_url` reads it."""
        try:
            target = parse_url(url.reveal(), tls)
        except ValueError as error:
            raise StoreError(f"{url.label} cannot be used: {error}") from None
        hot = cls(target, clock, limit_s, on_poke)
        try:
            await hot._look()
            why = hot.why_not_ready
        except StoreError as error:
            why = str(error)
        except BaseException:
            await hot.close()
            raise
        if why:
            await hot.close()
            raise StoreError(
                f"{url.label}: {why}. Nothing starts without it: see to that server, or correct "
                f"{url.label}"
            )
        hot._tasks = [
            asyncio.create_task(run()) for run in (hot._keep, hot._renew, hot.pokes.listen)
        ]
        return hot

    @property
    def why_not_ready(self) -> str:
        """Why calls are refused now; "" while every shard has its server and its epoch."""
        return self._why or self._servers.why_away

    @property
    def waiting(self) -> int:
        """Calls that wait for an answer."""
        return self._servers.waiting

    async def admit(
        self, key_id: str, limits: KeyLimits, proof: bytes, until_ms: int, since_ms: int
    ) -> Place | Refusal:
        """As `pipeline.admitting.Admission` has it, in one step and one round trip. The proof is
        remembered beside the key's limits, where `proofs.claim` does not look."""
        shard, counts = keys_of(key_id)
        keys, claim = self.proofs.ask(shard, proof, until_ms, since_ms)
        if limits == UNLIMITED:
            met = await self._servers.run(shard, "claim", keys, claim)
            return ANYWHERE if self.proofs.read(met) else REPLAYED
        name, enter = self.limiter.ask(limits)
        asked = self._servers.run(shard, "admit", (*keys, *counts), (*claim, *enter))
        answer = await self.limiter.hear(asked, key_id, name)
        if isinstance(answer, int) and not self.proofs.read(answer):
            return REPLAYED
        return self.limiter.read(answer, key_id, limits, name)

    async def close(self) -> None:
        """Let go of the servers; a second time does nothing."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._servers.close()
        await asyncio.sleep(0)  # so that the loop has let go of them too

    async def _look(self) -> None:
        """One look at the servers and, where anything changed, at the epoch."""
        is_changed = await self._servers.refresh()
        if not is_changed and not self._epochs.is_in_doubt:
            self._turn += 1
            await self._epochs.peek(self._turn)
        if is_changed or self._epochs.is_in_doubt:
            await self._epochs.settle()
        self._why = self._servers.why_away

    async def _keep(self) -> None:
        """The circuit breaker's other half: whoever went away is looked for until it is back."""
        pause_s, longest_s = PAUSE_S
        while True:
            if not self.why_not_ready and not self._epochs.is_in_doubt:
                pause_s, _ = PAUSE_S
                with suppress(TimeoutError):
                    async with asyncio.timeout(PROBE_EVERY_S):
                        await self._servers.trouble.wait()
                await asyncio.sleep(LOOK_PAUSE_S)
            try:
                await self._look()
            except StoreError as error:
                self._why = str(error)
            if self.why_not_ready:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, longest_s)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            await self.limiter.renew()
