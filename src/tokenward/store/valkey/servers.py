"""Which server has what? One server, or the primaries of a cluster, each with one connection.

Whether it is a cluster the servers say themselves. All keys lie in `SHARDS` shards, each in one
slot of the cluster, so that whatever one call needs is together on one server.
"""

import asyncio
from binascii import crc_hqx
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

from tokenward.kernel.errors import StoreError
from tokenward.store.valkey.address import Address, Target
from tokenward.store.valkey.handshake import Facts, ask_facts, dial, load_library, why_unfit
from tokenward.store.valkey.link import Link
from tokenward.store.valkey.resp import Reply, ServerSaidError, pack

SHARDS: Final = 256
SLOTS: Final = 16_384
TAGS: Final = tuple(b"tw:{%02x}:" % shard for shard in range(SHARDS))
"""What every key of a shard begins with."""
_SLOT_OF: Final = tuple(crc_hqx(b"%02x" % shard, 0) % SLOTS for shard in range(SHARDS))
_LAYOUT: Final = pack(b"CLUSTER", b"SLOTS")
_PING: Final = pack(b"PING")
_MOVED: Final = frozenset(("MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN"))
_UNFIT: Final = frozenset(("READONLY", "NOSCRIPT", "LOADING", "MASTERDOWN", "NOAUTH"))
KNOWN_MAX: Final = 64
L = TypeVar("L", bound=Link)


def shard_of(name: bytes) -> int:
    """The shard of a key id or another name."""
    return crc_hqx(name, 0) % SHARDS


class Servers:
    """Connections by shard. `trouble` is set when something changed that `refresh` should see."""

    def __init__(self, target: Target, limit_s: float) -> None:
        self.trouble = asyncio.Event()
        self.why_away = "there is no connection yet"
        self.is_cluster = False
        self._target, self._limit_s = target, limit_s
        self._links: dict[Address, Link] = {}
        self._homes: list[Link | None] = [None] * SHARDS
        self._known: tuple[Address, ...] = ()
        self._turn = 0

    @property
    def links(self) -> list[Link]:
        """Those that are open."""
        return [link for link in self._links.values() if link.is_open]

    @property
    def waiting(self) -> int:
        """Calls that wait for an answer."""
        return sum(link.waiting for link in self._links.values())

    def homes(self) -> dict[int, Link]:
        """The shards that can be reached, and where."""
        return {n: link for n, link in enumerate(self._homes) if link is not None}

    def run(
        self, shard: int, name: str, keys: tuple[bytes, ...], args: tuple[bytes, ...]
    ) -> asyncio.Future[Reply]:
        """Call a function where the shard is. Raises `StoreError`, here or from the future."""
        return self.home(shard).run(name, keys, args)

    def home(self, shard: int) -> Link:
        """The connection to the server that has the shard. Raises `StoreError`."""
        link = self._homes[shard]
        if link is None:
            raise StoreError(f"the hot store is away: {self.why_away}")
        return link

    async def refresh(self) -> bool:
        """Look who has what, connect where there is no connection; whether anything changed.

        Raises `StoreError` where nobody answers; `why_away` says who does not. Probes every
        connection, so that one that hangs is known before it is needed.
        """
        before = list(self._homes)
        self.trouble.clear()
        try:
            layout = await self._ask_layout()
        except StoreError as error:
            self.why_away = str(error)
            raise
        for address, link in list(self._links.items()):
            if address not in layout:
                link.close("another server took its place")
        missing = [each for each in dict.fromkeys(layout) if each and each not in self._links]
        self._settle_in(layout)
        probes = [link.send(_PING) for link in self.links]
        met = await asyncio.gather(
            *(self._join(address) for address in missing), *probes, return_exceptions=True
        )
        self._settle_in(layout)
        away = [str(fault) for fault in met if isinstance(fault, StoreError)]
        if not away and None in self._homes:
            away = ["the cluster has slots that no server serves"]
        self.why_away = "; ".join(away)
        return self._homes != before

    async def dial(self, make: Callable[[Address], L]) -> L:
        """A connection of one's own to any server. Raises `StoreError`."""
        faults = []
        for address in dict.fromkeys((*self._links, *self._target.servers, *self._known)):
            try:
                return await dial(partial(make, address), address, self._target, self._limit_s)
            except StoreError as error:
                faults.append(str(error))
        raise StoreError("; ".join(faults))

    def close(self) -> None:
        """End every connection; calls are faults from now on."""
        for link in list(self._links.values()):
            link.close()
        self.why_away = "it was closed"

    def _settle_in(self, layout: tuple[Address | None, ...]) -> None:
        self._homes = [self._links.get(each) if each else None for each in layout]

    async def _ask_layout(self) -> tuple[Address | None, ...]:
        """Each shard's server: by one that is connected, each refresh another, or by any."""
        links = self.links
        self._turn += 1
        for link in links[self._turn % len(links) :] + links if links else ():
            if not self.is_cluster:
                return (link.address,) * SHARDS
            try:
                return self._read_layout(await link.send(_LAYOUT), link.address)
            except StoreError:
                continue
        faults = []
        for address in dict.fromkeys((*self._target.servers, *self._known)):
            try:
                return await self._first_layout(address)
            except StoreError as error:
                faults.append(str(error))
        raise StoreError("; ".join(faults))

    async def _first_layout(self, address: Address) -> tuple[Address | None, ...]:
        link, facts = await self._greet(address)
        self.is_cluster = facts.get("cluster_enabled") == "1"
        try:
            if self.is_cluster:
                return self._read_layout(await link.send(_LAYOUT), address)
            await self._adopt(link, facts)
        finally:
            if self._links.get(address) is not link:
                link.close()
        return (address,) * SHARDS

    async def _join(self, address: Address) -> None:
        link, facts = await self._greet(address)
        try:
            await self._adopt(link, facts)
        finally:
            if self._links.get(address) is not link:
                link.close()

    async def _greet(self, address: Address) -> tuple[Link, Facts]:
        link = await dial(
            lambda: Link(address, self._limit_s, self._ended, self._refused),
            address,
            self._target,
            self._limit_s,
        )
        try:
            return link, await ask_facts(link)
        except BaseException:
            link.close()
            raise

    async def _adopt(self, link: Link, facts: Facts) -> None:
        """Let it serve, if it may. Raises `StoreError`."""
        why = why_unfit(facts)
        if why:
            raise StoreError(f"{link.address}: {why}")
        try:
            await load_library(link)
        except ServerSaidError as error:
            raise StoreError(f"{link.address}: it does not take our functions: {error}") from error
        if link.is_open:
            self._links[link.address] = link

    def _read_layout(self, reply: Reply, asked: Address) -> tuple[Address | None, ...]:
        """`CLUSTER SLOTS`: [first, last, [host, port, …] of the primary, of replicas…] a range."""
        primaries: list[Address | None] = [None] * SHARDS
        known: dict[Address, None] = {}
        for entry in reply if isinstance(reply, list) else []:
            match entry:
                case [int(first), int(last), *nodes] if nodes:
                    servers = [_address(node, asked) for node in nodes]
                case _:
                    raise StoreError(f"{asked}: it does not say who has which slots")
            known.update(dict.fromkeys(servers))
            for shard, slot in enumerate(_SLOT_OF):
                if first <= slot <= last:
                    primaries[shard] = servers[0]
        self._known = tuple(known)[:KNOWN_MAX]
        return tuple(primaries)

    def _ended(self, link: Link) -> None:
        if self._links.get(link.address) is link:
            del self._links[link.address]
            self.why_away = f"{link.address}: {link.why_closed}"
            self._homes = [None if each is link else each for each in self._homes]
            self.trouble.set()

    def _refused(self, link: Link, error: ServerSaidError) -> None:
        """Slots that moved are looked for; what makes a server unfit ends the connection, so that
        the next one is greeted anew."""
        if error.code in _MOVED:
            self.trouble.set()
        elif self._links.get(link.address) is link and (
            error.code in _UNFIT or "unction not found" in error.text
        ):
            link.close(f"it answered {error.text}")


def _address(node: Reply, asked: Address) -> Address:
    """A server that does not know its own name is where it was asked."""
    match node:
        case [bytes(host), int(port), *_] if host not in (b"", b"?"):
            return Address(host.decode("utf-8", "replace"), port)
        case [_, int(port), *_]:
            return Address(asked.host, port)
    raise StoreError(f"{asked}: it names a server without a port")
