"""How fast and how wide may a key be, over all gateways together?

The same minute as `limits/rates.py` and the same order as `limits/local.py`, in one step on the
server and by its clock. A running call has its place for `LEASE_MS` and its gateway renews it, so
that the places of a gateway that died come free by themselves.

What is lost with the servers' memory is counted anew: a key may then pass its limit of a minute
once more, and running calls have their places back with the next renewal. Memory of the servers: up
to 700 bytes a key and kind of limit that is in use, and 60 bytes a running call.
"""

import asyncio
import itertools
from collections.abc import Awaitable
from contextlib import suppress
from functools import partial
from typing import Final

from tokenward.kernel.errors import StoreError
from tokenward.kernel.refusals import Refusal
from tokenward.limits import wording
from tokenward.limits.interfaces import UNLIMITED, KeyLimits, Place
from tokenward.limits.local import ANYWHERE
from tokenward.store.valkey.link import heard
from tokenward.store.valkey.resp import Reply, pack
from tokenward.store.valkey.servers import TAGS, Servers, shard_of

LEASE_MS: Final = 15_000
RENEW_EVERY_S: Final = 5.0
RENEWED_AT_ONCE: Final = 500
KEPT_MAX: Final = 10_000
"""Keys whose leaves or tokens are kept while their server is away; of more they are dropped:
places run out by themselves, and tokens are not counted."""
_NO_LIMIT: Final = b""
_LEASE: Final = b"%d" % LEASE_MS

Keys = tuple[bytes, bytes, bytes]


def keys_of(key_id: str) -> tuple[int, Keys]:
    """The shard of a key, and where its requests, its tokens and its places are."""
    name = key_id.encode()
    shard = shard_of(name)
    tag = TAGS[shard]
    return shard, (tag + b"r:" + name, tag + b"t:" + name, tag + b"c:" + name)


class _Leased:
    """A place that is renewed until it is left."""

    __slots__ = ("_key_id", "_limiter", "_name")

    def __init__(self, limiter: "ValkeyLimiter", key_id: str, name: bytes) -> None:
        self._limiter: ValkeyLimiter | None = limiter
        self._key_id, self._name = key_id, name

    def leave(self) -> None:
        """Give it back; a second time does nothing."""
        limiter, self._limiter = self._limiter, None
        if limiter is not None:
            limiter.drop(self._key_id, self._name)


class ValkeyLimiter:
    """Fulfils `limits.interfaces.Limiter`. `gateway` makes its places' names its own."""

    def __init__(self, servers: Servers, gateway: bytes) -> None:
        self._servers = servers
        self._names = (b"%b%x" % (gateway, number) for number in itertools.count())
        self._places: dict[str, set[bytes]] = {}
        self._left: dict[str, list[bytes]] = {}
        self._used: dict[str, int] = {}
        self._left_late: dict[str, list[bytes]] = {}
        self._used_late: dict[str, int] = {}

    @property
    def running(self) -> int:
        """Places that this gateway has."""
        return sum(map(len, self._places.values()))

    async def enter(self, key_id: str, limits: KeyLimits) -> Place | Refusal:
        """A place, if the key is within its limits. Without limits nobody is asked."""
        if limits == UNLIMITED:
            return ANYWHERE
        shard, keys = keys_of(key_id)
        name, args = self.ask(limits)
        asked = self._servers.run(shard, "enter", keys, args)
        return self.read(await self.hear(asked, key_id, name), key_id, limits, name)

    def use(self, key_id: str, tokens: int) -> None:
        """Count what a call has used, with the others of this turn; at most once."""
        if tokens > 0:
            self._tell_soon()
            self._used[key_id] = self._used.get(key_id, 0) + tokens

    def ask(self, limits: KeyLimits) -> tuple[bytes, tuple[bytes, ...]]:
        """A name for the place, and the arguments of `enter`."""
        name = b"" if limits.concurrency is None else next(self._names)
        said = (_NO_LIMIT if limit is None else b"%d" % limit for limit in limits)
        return name, (*said, name, _LEASE)

    async def hear(self, asked: Awaitable[Reply], key_id: str, name: bytes) -> Reply:
        """The server's answer. A place that it may have given unheard is given back."""
        try:
            return await asked
        except BaseException:
            if name:
                self._leave(key_id, name)
            raise

    def read(self, answer: Reply, key_id: str, limits: KeyLimits, name: bytes) -> Place | Refusal:
        """What the server says. Raises `StoreError`."""
        if answer == 1:
            return self._settle(key_id, name) if name else ANYWHERE
        match answer:
            case [1, int(used), int(wait_s)] if limits.rpm is not None:
                return wording.too_fast("requests", limit=limits.rpm, used=used, wait_s=wait_s)
            case [2, int(used), int(wait_s)] if limits.tpm is not None:
                return wording.too_fast("tokens", limit=limits.tpm, used=used, wait_s=wait_s)
            case [3, int(running), int()] if limits.concurrency is not None:
                return wording.too_wide(limit=limits.concurrency, running=running)
        raise StoreError("the hot store's answer says nothing about the limits")

    async def renew(self) -> None:
        """Every `RENEW_EVERY_S`: keep the places of running calls, and tell what could not be
        told. Raises nothing: what fails is done again next time."""
        for key_id, names in list(self._places.items()):
            shard, (_, _, places) = keys_of(key_id)
            some = tuple(names)
            with suppress(StoreError):
                for at in range(0, len(some), RENEWED_AT_ONCE):
                    args = (_LEASE, *some[at : at + RENEWED_AT_ONCE])
                    self._servers.run(shard, "renew", (places,), args).add_done_callback(heard)
            await asyncio.sleep(0)
        self._tell_soon()
        for key_id, late in self._left_late.items():
            self._left.setdefault(key_id, []).extend(late)
        for key_id, tokens in self._used_late.items():
            self._used[key_id] = self._used.get(key_id, 0) + tokens
        self._left_late, self._used_late = {}, {}

    def drop(self, key_id: str, name: bytes) -> None:
        """Only for places: nobody runs there any more."""
        names = self._places[key_id]
        names.remove(name)
        if not names:
            del self._places[key_id]
        self._leave(key_id, name)

    def _settle(self, key_id: str, name: bytes) -> Place:
        self._places.setdefault(key_id, set()).add(name)
        return _Leased(self, key_id, name)

    def _leave(self, key_id: str, name: bytes) -> None:
        self._tell_soon()
        self._left.setdefault(key_id, []).append(name)

    def _tell_soon(self) -> None:
        if not self._left and not self._used:
            asyncio.get_running_loop().call_soon(self._tell)

    def _tell(self) -> None:
        """What was left and used in this turn; what cannot be sent now is told later."""
        left, self._left = self._left, {}
        for key_id, names in left.items():
            shard, (_, _, places) = keys_of(key_id)
            try:
                answer = self._servers.home(shard).send(pack(b"ZREM", places, *names))
            except StoreError:
                self._keep(key_id, names)
            else:
                answer.add_done_callback(partial(self._heard, key_id, names))
        used, self._used = self._used, {}
        for key_id, tokens in used.items():
            shard, (_, counted, _) = keys_of(key_id)
            try:
                answer = self._servers.run(shard, "use", (counted,), (b"%d" % tokens,))
            except StoreError:
                if len(self._used_late) < KEPT_MAX:
                    self._used_late[key_id] = self._used_late.get(key_id, 0) + tokens
            else:
                answer.add_done_callback(heard)

    def _heard(self, key_id: str, names: list[bytes], answer: "asyncio.Future[Reply]") -> None:
        """To leave twice does no harm, so what was perhaps not done is said again."""
        if answer.cancelled() or answer.exception() is not None:
            self._keep(key_id, names)

    def _keep(self, key_id: str, names: list[bytes]) -> None:
        if len(self._left_late) < KEPT_MAX:
            self._left_late.setdefault(key_id, []).extend(names)
