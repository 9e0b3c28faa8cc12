"""The load of a storm: seeded calls, streamed or not, hung up or not, broken by the provider or
not; and callers that send them to any of several gateways. Knows nothing of any gateway.

    drawn = Drawn(seed=7, storm="a")
    async with calling(lambda: ["http://127.0.0.1:8080"]) as callers:
        told = await callers.all_at_once(key, [drawn.ask() for _ in range(1_000)])

Each call asks for OpenAI chat completions of `MODEL`. How the stand-in shall answer stands in the
prompt, so it passes every gateway; `tag` names the call on the provider's bill.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

MODEL: Final = "gpt-4o"
NUSD_A_TOKEN: Final = 10_000
"""Of output. The prompt of a storm's call adds a sixth of a thousandth of a dollar, about."""
CALL_LIMIT_S: Final = 120.0
FAULTS: Final = (
    "status=500",
    "status=429",
    "fail=reset@0",
    "fail=reset@2",
    "fail=close@2",
    "fail=error@2",
)
"""What real providers do now and then. All but a status is billed as far as it came."""
_TEXT_KEPT: Final = 4_096
_REACH_AGAIN_S: Final = 0.05
_BUSY_AGAIN_S: Final = 0.2
_IDLE_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One call: `output` tokens of at most `output_max`, in `chunks` that are `gap_ms` apart."""

    tag: str
    output: int
    output_max: int
    is_stream: bool = False
    wants_usage: bool = False
    chunks: int = 5
    gap_ms: int = 4
    fault: str = ""
    leave_at: int | None = None
    """Hang up when so many pieces of the answer came; 0: as soon as its head came."""
    leave_s: float | None = None
    """Hang up after so long, wherever it is then."""

    def body(self) -> dict[str, Any]:
        """What is sent."""
        words = f"output_tokens={self.output} chunks={self.chunks} gap_ms={self.gap_ms}"
        how = f"[[standin {words} tag={self.tag} {self.fault}]]".replace(" ]]", "]]")
        message = {"role": "user", "content": f"Say something. {how}"}
        body: dict[str, Any] = {"model": MODEL, "messages": [message]}
        body |= {"max_tokens": self.output_max, "stream": self.is_stream}
        if self.wants_usage and self.is_stream:
            body["stream_options"] = {"include_usage": True}
        return body


class Drawn:
    """Calls of one storm, the same for the same seed."""

    def __init__(
        self,
        *,
        seed: int,
        storm: str,
        output: tuple[int, int] = (200, 1_000),
        faults: float = 0.2,
        hangups: float = 0.25,
        gap_ms: int = 4,
    ) -> None:
        """`output`: fewest and most tokens of a call, which is allowed the most; `faults` and
        `hangups` are shares of the calls."""
        self._storm = storm
        self._dice = random.Random(f"{seed}-{storm}")
        self._output = output
        self._faults = faults
        self._hangups = hangups
        self._gap_ms = gap_ms
        self._count = 0

    def ask(self) -> Ask:
        """The next one."""
        self._count += 1
        dice, gap_ms = self._dice, self._gap_ms
        fewest, most = self._output
        output, is_stream = dice.randint(fewest, most), dice.random() < 0.6
        fault = dice.choice(FAULTS) if dice.random() < self._faults else ""
        leave_at, leave_s = dice.randrange(5), dice.uniform(0, 6 * gap_ms / 1000)
        draw = dice.random()
        return Ask(
            tag=f"{self._storm}-{self._count}",
            output=output,
            output_max=most,
            is_stream=is_stream,
            wants_usage=dice.random() < 0.5,
            gap_ms=gap_ms,
            fault=fault,
            leave_at=leave_at if draw < self._hangups * 0.7 else None,
            leave_s=leave_s if self._hangups * 0.7 <= draw < self._hangups else None,
        )


@dataclass(slots=True, kw_only=True)
class Told:
    """What came of one call. `status` 0: no head of an answer came."""

    tag: str
    gateway: str = ""
    status: int = 0
    text: str = ""
    """The beginning of the body."""
    is_whole: bool = False
    has_left: bool = False
    """The caller hung up by itself."""
    began_s: float = 0.0
    head_s: float = 0.0
    """When the head came, on the monotonic clock, as all times here."""
    ended_s: float = 0.0
    pieces: int = 0
    tries: int = 1


class Callers:
    """Any number of callers, each at whatever gateway lives."""

    def __init__(
        self,
        urls: Callable[[], Sequence[str]],
        session: aiohttp.ClientSession,
        is_busy: Callable[["Told"], bool],
    ) -> None:
        self._urls = urls
        self._session = session
        self._is_busy = is_busy
        self._turn = 0

    async def all_at_once(self, key: str, asks: Iterable[Ask]) -> list[Told]:
        """Every call in the same moment, spread evenly over the gateways."""
        return await asyncio.gather(*(self.call(key, ask) for ask in asks))

    async def paced(self, key: str, asks: Sequence[Ask], over_s: float) -> list[Told]:
        """The calls begin evenly over `over_s` seconds, whatever comes of them (an open loop)."""
        began_s = time.monotonic()

        async def later(number: int, ask: Ask) -> Told:
            due_s = began_s + number * over_s / len(asks)
            await asyncio.sleep(due_s - time.monotonic())
            return await self.call(key, ask)

        return await asyncio.gather(*(later(number, ask) for number, ask in enumerate(asks)))

    async def call(self, key: str, ask: Ask, url: str | None = None) -> Told:
        """One call, to the next gateway or to this one. A gateway that takes no connection got
        nothing, so the next one is asked, as a balancer would; one that is busy is asked again.
        Nothing else is repeated."""
        until_s = time.monotonic() + CALL_LIMIT_S
        tries = 1
        while self._is_busy(told := await self._try(key, ask, url)) and told.ended_s < until_s:
            await asyncio.sleep(_BUSY_AGAIN_S)
            tries += 1
        told.tries = tries
        return told

    async def _try(self, key: str, ask: Ask, url: str | None) -> Told:
        told = Told(tag=ask.tag, began_s=time.monotonic())
        limit_s = CALL_LIMIT_S if ask.leave_s is None else min(ask.leave_s, CALL_LIMIT_S)
        try:
            async with asyncio.timeout(limit_s):
                while not await self._reach(told, key, ask, url or self._next()):
                    if url is not None:
                        break
                    await asyncio.sleep(_REACH_AGAIN_S)
        except TimeoutError:
            told.has_left = ask.leave_s is not None
        told.ended_s = time.monotonic()
        return told

    def _next(self) -> str:
        urls = self._urls()
        assert urls, "no gateway to call"
        self._turn += 1
        return urls[self._turn % len(urls)]

    async def _reach(self, told: Told, key: str, ask: Ask, url: str) -> bool:
        told.gateway = url
        try:
            await self._exchange(told, key, ask, url)
        except aiohttp.ClientConnectorError:
            return False
        except (aiohttp.ClientError, ConnectionError):
            pass  # `status` and `is_whole` say how far it came
        return True

    async def _exchange(self, told: Told, key: str, ask: Ask, url: str) -> None:
        async with self._session.post(
            f"{url}/v1/chat/completions",
            json=ask.body(),
            headers={"authorization": f"Bearer {key}"},
            allow_redirects=False,
        ) as answer:
            told.status, told.head_s = answer.status, time.monotonic()
            while ask.leave_at is None or told.pieces < ask.leave_at or told.status >= 400:
                piece = await answer.content.readany()
                if not piece:
                    told.is_whole = True
                    return
                told.pieces += 1
                if len(told.text) < _TEXT_KEPT:
                    told.text += piece.decode("utf-8", "replace")
            told.has_left = True
            answer.close()


@asynccontextmanager
async def calling(
    urls: Callable[[], Sequence[str]], is_busy: Callable[[Told], bool] = lambda _told: False
) -> AsyncIterator[Callers]:
    """Callers with a pool of connections of their own; `urls` is asked before each call. `is_busy`:
    the gateway said that the same call may fit a moment later."""
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_S)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield Callers(urls, session, is_busy)
