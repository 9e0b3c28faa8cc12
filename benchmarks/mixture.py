"""A steady load of every kind of call that a guard meets, and of changes that admins make."""

import asyncio
import random
import time
from collections import Counter
from typing import Any, Final, Self

import aiohttp

from benchmarks.proofs import PATH, holder, signer
from benchmarks.provider import BROKEN, REFUSED
from benchmarks.rig import KEY_CAP, SMALL, Rig
from tokenward.keys.format import draw_key

WEIGHTS: Final = {
    "plain": 52,
    "stream": 20,
    "hang-up": 9,
    "bound": 7,
    "guessed key": 5,
    "provider refuses": 4,
    "provider breaks": 3,
}
GOOD: Final = {
    "plain": {200},
    "stream": {200},
    "hang-up": {200},
    "bound": {200},
    "guessed key": {401},
    "provider refuses": {500},
    "provider breaks": {502},
    "revoked meanwhile": {200, 401},
}
"""What the guard may answer; anything else is told."""
UNDER_WAY_MAX: Final = 400
KEYS: Final = 20
CALL_LIMIT_S: Final = 60.0
_STREAM_HELD_S: Final = 0.03


class Mixture:
    """Calls of all kinds at a fixed rate, whatever the answers do. Lives on one event loop; used as
    a context."""

    def __init__(self, rig: Rig, seed: int) -> None:
        self.answers: dict[str, Counter[int]] = {kind: Counter() for kind in GOOD}
        self.late = 0
        """Calls that were not made, because too many were under way."""
        self.changes = 0
        self._rig = rig
        self._dice = random.Random(seed)
        self._keys = [rig.made_key() for _ in range(KEYS)]
        self._signs = signer(holder())
        self._bound = rig.new_key(bind="dpop", thumbprint=self._signs.thumbprint)
        self._nonce = ""
        self._under_way: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=CALL_LIMIT_S)
        connector = aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(timeout=timeout, connector=connector)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.rest()
        await self._session.close()

    def below(self, limit: int) -> int:
        """The dice of guessed keys: well formed, and nobody's."""
        return self._dice.randrange(limit)

    async def call(self, calls_a_s: float, seconds: float) -> None:
        """Begin calls at that rate for so long."""
        kinds, weights = list(WEIGHTS), list(WEIGHTS.values())
        began_s = time.perf_counter()
        for number in range(round(calls_a_s * seconds)):
            await asyncio.sleep(max(0.0, began_s + number / calls_a_s - time.perf_counter()))
            if len(self._under_way) >= UNDER_WAY_MAX:
                self.late += 1
                continue
            self._begin(self._call(self._dice.choices(kinds, weights)[0]))

    async def change(self, every_s: float, seconds: float) -> None:
        """Be an admin: keys come, are frozen, revoked while they stream; caps are set."""
        until_s = time.perf_counter() + seconds
        while (began_s := time.perf_counter()) < until_s:
            await self._change()
            self.changes += 1
            await asyncio.sleep(max(0.0, began_s + every_s - time.perf_counter()))

    async def rest(self) -> None:
        """Until all calls under way have ended."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    def unexpected(self) -> dict[str, dict[int, int]]:
        """Answers that no call should have got; 0: none at all."""
        found = {
            kind: {status: n for status, n in told.items() if status not in GOOD[kind]}
            for kind, told in self.answers.items()
        }
        return {kind: told for kind, told in found.items() if told}

    def _begin(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _call(self, kind: str) -> None:
        key = self._dice.choice(self._keys)["key"]
        if kind == "guessed key":
            key = draw_key(self)[1].reveal()
        prompt = {"provider refuses": REFUSED, "provider breaks": BROKEN}.get(kind, SMALL)
        if kind == "bound":
            await self._call_bound()
        else:
            headers = {"authorization": f"Bearer {key}"}
            leaves = kind == "hang-up"
            status, _ = await self._ask(headers, prompt, kind in ("stream", "hang-up"), leaves)
            self.answers[kind][status] += 1

    async def _call_bound(self) -> None:
        """With a proof; once more when the nonce was an old one, as a client does."""
        for _ in range(2):
            url = self._rig.guard_url
            headers = self._signs.headers(
                "POST", url + PATH, credential=self._bound, nonce=self._nonce
            )
            status, nonce = await self._ask(headers, SMALL, False, False)
            was, self._nonce = self._nonce, nonce or self._nonce
            if status != 401 or was == self._nonce:
                break
        self.answers["bound"][status] += 1

    async def _ask(
        self, headers: dict[str, str], prompt: str, is_stream: bool, leaves: bool
    ) -> tuple[int, str]:
        """Status (0: no answer, or none to its end) and the next nonce."""
        url = self._rig.guard_url
        if "dpop" not in headers:
            url = self._dice.choice(self._rig.guard_urls)
        body: dict[str, Any] = {
            "model": "gpt-5-mini",
            "messages": [{"role": "user", "content": prompt}],
            "max_completion_tokens": 100,
        }
        if is_stream:
            body |= {"stream": True}
        try:
            async with self._session.post(url + PATH, json=body, headers=headers) as answer:
                if leaves:
                    await answer.content.readany()
                    answer.close()
                else:
                    await answer.read()
                return answer.status, answer.headers.get("dpop-nonce", "")
        except (aiohttp.ClientError, TimeoutError):
            return 0, ""

    async def _change(self) -> None:
        """A new key, frozen and freed, takes the place of an old one; once the old one's calls have
        ended it streams again, and is revoked meanwhile."""
        made = await asyncio.to_thread(self._rig.made_key)
        await self._admin("POST", f"/keys/{made['id']}/freeze", {"why": "soak"})
        await self._admin("POST", f"/keys/{made['id']}/unfreeze", {})
        await self._admin("PUT", "/caps", {"subject": f"key:{made['id']}", "cap": KEY_CAP})
        place = self._dice.randrange(KEYS)
        old, self._keys[place] = self._keys[place], made
        if self._under_way:
            await asyncio.wait(set(self._under_way))
        for _ in range(2):
            self._begin(self._stream_until_revoked(old["key"]))
        await asyncio.sleep(_STREAM_HELD_S)
        await self._admin("POST", f"/keys/{old['id']}/revoke", {"why": "soak"})

    async def _stream_until_revoked(self, key: str) -> None:
        status, _ = await self._ask({"authorization": f"Bearer {key}"}, SMALL, True, False)
        self.answers["revoked meanwhile"][status] += 1

    async def _admin(self, method: str, path: str, body: object) -> None:
        await asyncio.to_thread(self._rig.admin, method, path, body)
