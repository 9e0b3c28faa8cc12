"""Gateways that take proofs on real servers, and a thief who shows every proof to all of them."""

import asyncio
import secrets
from collections import Counter
from contextlib import suppress
from typing import Any, Self

from holder import Holder, ath_of
from tokenward.binding.addresses import PublicUrls
from tokenward.binding.dpop import AHEAD_MS_MAX, DpopVerifier, Proof, Shown
from tokenward.binding.nonces import Nonces
from tokenward.binding.wording import REPLAYED
from tokenward.kernel.errors import StoreError
from tokenward.kernel.jwk import PublicKeys
from tokenward.kernel.refusals import Refusal
from tokenward.limits.interfaces import UNLIMITED, KeyLimits
from tokenward.machine import RealClock
from tokenward.store.valkey import HotState

LIMITS = (UNLIMITED, KeyLimits(rpm=10**9))
"""Both ways to use a proof up know what the other used."""
KEY = "tw_sk_0123456789"
PATH = "/v1/messages"
URL = "https://guard.example"
WAIT_S = 60.0


class SetClock(RealClock):
    """Real time, and what a test adds to it."""

    ahead_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.ahead_ms


class Gate:
    """One gateway: its hot state, its nonces, its verifiers."""

    def __init__(self, hot: HotState, clock: SetClock) -> None:
        self.hot, self.clock = hot, clock
        self.nonces = Nonces(lambda: hot.proofs.epoch)
        urls = PublicUrls((URL,))
        self.strict, self.relaxed = (
            DpopVerifier(urls, self.nonces, PublicKeys(), requires_nonce=is_strict)
            for is_strict in (True, False)
        )

    async def show(self, shown: Shown, *, is_strict: bool = False) -> str:
        """Judge a proof and use it up: "taken", "replayed", "fault" or the refusal's code."""
        verifier = self.strict if is_strict else self.relaxed
        proof = verifier.check(shown, self.clock.now_ms())
        if not isinstance(proof, Proof):
            return proof.code
        try:
            met = await self.hot.admit(
                proof.replay_key.hex(),  # spread over all shards, as calls of many keys are
                secrets.choice(LIMITS),
                proof.replay_key,
                proof.until_ms,
                proof.since_ms,
            )
            assert met == REPLAYED or not isinstance(met, Refusal), "within every limit"
            return "replayed" if met == REPLAYED else "taken"
        except StoreError:
            return "fault"

    async def open_again(self, make: "Maker") -> None:
        """Wait until new proofs are taken again."""
        await soon(lambda: self._takes(make))

    async def _takes(self, make: "Maker") -> bool:
        return all([await self.show(make(self)) == "taken" for _ in range(40)])


class Maker:
    """A holder, who signs for a gateway: with its nonce, or without one and dated ahead as far as
    is taken, which is the hardest to forget about."""

    def __init__(self, *, has_nonce: bool = True) -> None:
        self._holder, self._has_nonce = Holder("Ed25519"), has_nonce

    def __call__(self, gate: Gate) -> Shown:
        now_ms = gate.clock.now_ms()
        claims: dict[str, Any] = {
            "jti": secrets.token_hex(8),
            "htm": "POST",
            "htu": URL + PATH,
            "iat": now_ms // 1000 if self._has_nonce else now_ms // 1000 + AHEAD_MS_MAX // 1000,
            "ath": ath_of(KEY),
        }
        if self._has_nonce:
            claims["nonce"] = gate.nonces.current(now_ms)
        return Shown(
            proofs=(self._holder.proof(claims).encode(),),
            method="POST",
            path=PATH,
            credential=KEY,
            thumbprint=self._holder.thumbprint,
        )


class Storm:
    """Holders that call without a pause, and a thief who shows what they sign to every gateway,
    at once and again and again."""

    def __init__(self, gates: list[Gate]) -> None:
        self.gates = gates
        self.taken: Counter[tuple[bytes, ...]] = Counter()
        self.met: Counter[str] = Counter()
        self._seen: list[Shown] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        makers = [Maker(), Maker(has_nonce=False)]
        self._tasks = [asyncio.create_task(self._call(g, m)) for g in self.gates for m in makers]
        self._tasks += [asyncio.create_task(self._steal(gate)) for gate in self.gates]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*self._tasks)

    async def more(self, count: int = 50) -> None:
        """Wait until so many more calls were taken."""
        wanted = self.met["taken"] + count

        async def is_reached() -> bool:
            return self.met["taken"] >= wanted

        await soon(is_reached)

    def taken_twice(self) -> list[tuple[bytes, ...]]:
        """Proofs that were."""
        return [proof for proof, times in self.taken.items() if times > 1]

    async def _call(self, gate: Gate, make: Maker) -> None:
        while True:
            shown = make(gate)
            self._seen.append(shown)
            await self._show(gate, shown)
            await asyncio.sleep(0.002)

    async def _steal(self, gate: Gate) -> None:
        while True:
            newest = self._seen[-40:]
            oldest = [secrets.choice(self._seen) for _ in range(20)] if self._seen else []
            await asyncio.gather(*(self._show(gate, shown) for shown in newest + oldest))
            await asyncio.sleep(0.01)

    async def _show(self, gate: Gate, shown: Shown) -> None:
        outcome = await gate.show(shown)
        self.met[outcome] += 1
        if outcome == "taken":
            self.taken[shown.proofs] += 1


async def soon(is_so: Any) -> None:
    """Poll until it is so; an AssertionError after `WAIT_S`."""
    async with asyncio.timeout(WAIT_S):
        while not await is_so():
            await asyncio.sleep(0.02)
