"""Since when was nothing forgotten? The epochs of used proofs, and how one begins.

Each shard has a mark: the epoch in which its proofs are used up, and the memory they are kept in,
which is a server process since it became primary. A claim counts only under that epoch and in that
memory (`library.lua`). So one epoch has one memory for each shard, and when a memory is lost, put
back or taken over by another server, no claim counts until a new epoch has begun: nonces of the old
one are not fresh in it, and what was made before it without a nonce is not taken.

A new epoch begins whenever the shards do not all say the same, each in its own memory. Its secret
is drawn after the shards were looked at, and each is marked only if it is still as it was then. Two
gateways that begin at once spoil it for each other, wait and look again.
"""

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from tokenward.binding.interfaces import Epoch
from tokenward.kernel.clock import Clock
from tokenward.kernel.errors import StoreError
from tokenward.store.valkey.link import Link, heard
from tokenward.store.valkey.resp import Reply
from tokenward.store.valkey.servers import TAGS, Servers

SECRET_BYTES: Final = 32
TAG_CHARS: Final = 20
ATTEMPTS: Final = 12
CLOCKS_APART_MS: Final = 2_000
"""How far ahead the clock of another gateway may be that took a proof which is forgotten now."""
WAIT_MS: Final = (20, 80)
"""Longer than to mark every shard; drawn, so that two that begin at once do not do so again."""
log = logging.getLogger("tokenward.store")


def mark_key(shard: int) -> bytes:
    """Where a shard's mark is."""
    return TAGS[shard] + b"mark"


def tag_of(epoch: Epoch) -> bytes:
    """What marks carry of an epoch: when it began and which of those it is, in `TAG_CHARS`."""
    return b"%012x%b" % (epoch.since_ms, hashlib.sha256(epoch.secret).hexdigest()[:8].encode())


class _Look(NamedTuple):
    """What a shard said: its mark as it is, the memory that answered, and its time."""

    mark: bytes
    memory: bytes
    at_ms: int

    def epoch(self) -> Epoch | None:
        """The epoch that the mark names, if it was set in the memory that answered."""
        if self.mark[TAG_CHARS:].rpartition(b":")[0] != self.memory:
            return None
        return _epoch_in(self.mark)


class Epochs:
    """The epoch of now, as all shards have it."""

    def __init__(self, servers: Servers, clock: Clock) -> None:
        self._servers, self._clock = servers, clock
        self._now: Epoch | None = None
        self._tag = b""
        self.is_in_doubt = True
        """Whether a shard said something else: `settle` must look."""

    @property
    def now(self) -> Epoch:
        """The epoch of now."""
        assert self._now is not None, "the state is opened before it is used"
        return self._now

    @property
    def tag(self) -> bytes:
        """What the marks of its shards begin with."""
        return self._tag

    def doubt(self) -> None:
        """A shard has another epoch, or lost its memory: look."""
        self.is_in_doubt = True
        self._servers.trouble.set()

    async def settle(self) -> None:
        """Find out which epoch it is, and begin one where the shards that can be reached do not
        agree. Raises `StoreError`, and is still in doubt then."""
        self.is_in_doubt = True
        marks_before: list[bytes] = []
        for _ in range(ATTEMPTS):
            homes = self._servers.homes()
            if not homes:
                raise StoreError(f"the hot store is away: {self._servers.why_away}")
            looks = await _look(homes)
            agreed = _agreed(looks.values())
            if agreed is not None and not self._is_past(agreed):
                self._adopt(agreed)
                return
            marks = [look.mark for look in looks.values()]
            if marks == marks_before and await self._begin(homes, looks):
                return
            marks_before = marks  # where they change, another gateway begins one
            low, high = WAIT_MS
            await asyncio.sleep((low + secrets.randbelow(high - low)) / 1000)
        raise StoreError("the gateways did not agree on an epoch of used proofs; they try again")

    async def peek(self, turn: int) -> None:
        """Whether a shard of each server still says the same, for gateways that nobody calls."""
        homes = list(self._servers.homes().items())
        some = {link: n for n, link in homes[turn % len(homes) :] + homes} if homes else {}
        looks = await _look({n: link for link, n in some.items()})
        if any(look.epoch() != self._now for look in looks.values()):
            self.doubt()

    def _is_past(self, epoch: Epoch) -> bool:
        """Whether it is older than one this gateway has seen: then what was used in the newer one
        is not known there."""
        return self._now is not None and epoch.since_ms < self._now.since_ms

    async def _begin(self, homes: Mapping[int, Link], looks: Mapping[int, _Look]) -> bool:
        """Whether every shard was marked with a new epoch as it was looked at."""
        marked = [found.since_ms for look in looks.values() if (found := _epoch_in(look.mark))]
        if self._now is not None:
            marked.append(self._now.since_ms)
        since_ms = max(self._clock.now_ms() + CLOCKS_APART_MS, *(seen + 1 for seen in marked), 0)
        epoch = Epoch(secrets.token_bytes(SECRET_BYTES), since_ms)
        rest = b":" + epoch.secret.hex().encode()
        answers = await _answers(
            homes[shard].run(
                "mark",
                (mark_key(shard),),
                (look.mark, look.memory, b"%d" % look.at_ms, tag_of(epoch), rest),
            )
            for shard, look in looks.items()
        )
        if any(answer != 1 for answer in answers):
            return False
        lost = sum(look.epoch() is None for look in looks.values())
        self._adopt(epoch)
        log.warning(
            "tokenward: a new epoch of used proofs began: %d of %d shards had lost their memory or "
            "were new. Callers sign again with a fresh nonce.", lost, len(looks),
        )  # fmt: skip
        return True

    def _adopt(self, epoch: Epoch) -> None:
        self.is_in_doubt = False
        if epoch != self._now:
            self._now, self._tag = epoch, tag_of(epoch)


def _agreed(looks: Iterable[_Look]) -> Epoch | None:
    """The epoch of all, each in its own memory."""
    found = {look.epoch() for look in looks}
    return found.pop() if len(found) == 1 else None


def _epoch_in(mark: bytes) -> Epoch | None:
    """What a mark says: tag, memory, ":" and the secret in hex."""
    try:
        secret = bytes.fromhex(mark.rpartition(b":")[2].decode("ascii"))
        epoch = Epoch(secret, int(mark[:12], 16))
    except ValueError:
        return None
    return epoch if len(secret) == SECRET_BYTES and mark.startswith(tag_of(epoch)) else None


async def _look(homes: Mapping[int, Link]) -> dict[int, _Look]:
    answers = await _answers(link.run("look", (mark_key(n),), ()) for n, link in homes.items())
    looks = {}
    for shard, answer in zip(homes, answers, strict=True):
        match answer:
            case [bytes(mark), bytes(memory), int(at_ms)] if memory:
                looks[shard] = _Look(mark, memory, at_ms)
            case _:
                raise StoreError("a server does not say whose memory it has")
    return looks


async def _answers(calls: Iterable["asyncio.Future[Reply]"]) -> list[Reply]:
    """All answers; the first fault when all have ended."""
    asked: list[asyncio.Future[Reply]] = []
    try:
        asked.extend(calls)
    except StoreError:
        for answer in asked:
            answer.add_done_callback(heard)
        raise
    met = await asyncio.gather(*asked, return_exceptions=True)
    for fault in met:
        if isinstance(fault, BaseException):
            raise fault
    return [answer for answer in met if not isinstance(answer, BaseException)]
