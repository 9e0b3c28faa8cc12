"""What runs on the server, by itself: its minutes are those of `limits/`, whatever the hour."""

import asyncio

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ledger_world import MovingClock
from tokenward.kernel.refusals import Refusal
from tokenward.limits.interfaces import KeyLimits, Place
from tokenward.limits.local import LocalLimiter
from tokenward.store.valkey.address import parse_url
from tokenward.store.valkey.library import SCRIPT
from tokenward.store.valkey.limiter import LEASE_MS, ValkeyLimiter, keys_of
from tokenward.store.valkey.resp import Reply
from tokenward.store.valkey.servers import Servers
from valkey_server import ValkeyServer

TIMED = SCRIPT.replace("redis.call('TIME')", "redis.call('HMGET', 'time', 's', 'us')")
LIMIT = st.one_of(st.none(), st.integers(1, 4))
STEP = st.one_of(
    st.tuples(st.just("enter"), st.builds(KeyLimits, LIMIT, LIMIT, LIMIT)),
    st.tuples(st.just("leave"), st.integers(0, 9)),
    st.tuples(st.just("use"), st.integers(1, 4)),
    st.tuples(st.just("wait"), st.sampled_from([1, 400, 999, 1_000, 7_300, 59_999, 61_000, 10**6])),
)

ONE = ("enter", KeyLimits(rpm=2))
A_MINUTE = ("wait", 61_000)


class Library:
    """The functions as they are, but with a clock that the test moves."""

    def __init__(self, server: ValkeyServer, clock: MovingClock, key_id: str) -> None:
        script = server.ask("SCRIPT", "LOAD", TIMED)
        assert isinstance(script, bytes)
        self.server, self.clock, self.script = server, clock, script
        _, self.keys = keys_of(key_id)
        self.limiter = ValkeyLimiter(Servers(parse_url(server.url.reveal()), 1.0), b"gateway-")
        self.held: list[bytes] = []

    def call(self, name: str, keys: tuple[bytes, ...], *args: bytes) -> Reply:
        seconds, ms = divmod(self.clock.now_ms(), 1_000)
        self.server.ask("HSET", "time", "s", seconds, "us", ms * 1_000)
        return self.server.ask("EVALSHA", self.script, len(keys), *keys, name, *args)

    def enter(self, limits: KeyLimits) -> Place | Refusal | bytes:
        name, args = self.limiter.ask(limits)
        answer = self.call("enter", self.keys, *args)
        if answer == 1:
            return name
        return self.limiter.read(answer, "k", limits, name)


@example([ONE, ONE, A_MINUTE, ONE, A_MINUTE, ONE, ONE, ONE])
@given(st.lists(STEP, max_size=40))
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_it_lets_in_and_refuses_just_as_one_process_would(
    server: ValkeyServer, steps: list[tuple[str, object]]
) -> None:
    """The same answers, word for word, with the same seconds to wait."""
    asyncio.run(_walk(server, steps))


async def _walk(server: ValkeyServer, steps: list[tuple[str, object]]) -> None:
    server.ask("FLUSHALL")
    clock = MovingClock()
    local, there = LocalLimiter(clock), Library(server, clock, "k")
    held: list[tuple[Place, bytes]] = []
    for step in steps:
        match step:
            case ("enter", KeyLimits() as limits):
                here, remote = await local.enter("k", limits), there.enter(limits)
                assert isinstance(here, Refusal) == isinstance(remote, Refusal)
                if isinstance(here, Refusal):
                    assert here == remote
                elif limits.concurrency is not None and isinstance(remote, bytes):
                    held.append((here, remote))
            case ("leave", int(which)) if held:
                place, name = held.pop(which % len(held))
                place.leave()
                server.ask("ZREM", there.keys[2], name)
            case ("use", int(tokens)):
                local.use("k", tokens)
                there.call("use", (there.keys[1],), b"%d" % tokens)
            case ("wait", int(ms)):
                clock.at_ms += ms
                if held:
                    there.call("renew", (there.keys[2],), b"%d" % LEASE_MS, *(n for _, n in held))


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock()


def test_a_place_that_nobody_renews_comes_free_and_one_that_is_renewed_does_not(
    server: ValkeyServer, clock: MovingClock
) -> None:
    there, limits = Library(server, clock, "k"), KeyLimits(concurrency=2)
    kept, dropped = there.enter(limits), there.enter(limits)
    assert isinstance(kept, bytes)
    assert isinstance(dropped, bytes)
    for _ in range(3):
        assert isinstance(there.enter(limits), Refusal)
        clock.at_ms += LEASE_MS // 3
        there.call("renew", (there.keys[2],), b"%d" % LEASE_MS, kept)
    assert isinstance(there.enter(limits), bytes), "the one of the gateway that died"
    assert isinstance(there.enter(limits), Refusal)


def test_places_that_were_lost_are_back_with_the_next_renewal(
    server: ValkeyServer, clock: MovingClock
) -> None:
    there, limits = Library(server, clock, "k"), KeyLimits(concurrency=1)
    name = there.enter(limits)
    assert isinstance(name, bytes)
    server.ask("FLUSHALL")
    there.call("renew", (there.keys[2],), b"%d" % LEASE_MS, name)
    assert isinstance(there.enter(limits), Refusal)


def test_a_clock_that_is_put_back_a_little_gives_nothing_away(
    server: ValkeyServer, clock: MovingClock
) -> None:
    """A replica that takes over with a clock of its own."""
    there, limits = Library(server, clock, "k"), KeyLimits(rpm=2)
    for _ in range(2):
        assert isinstance(there.enter(limits), bytes)
    clock.at_ms -= 5_000
    refusal = there.enter(limits)
    assert isinstance(refusal, Refusal)
    assert refusal.retry_after_s == 66
    clock.at_ms += 66_000
    assert isinstance(there.enter(limits), bytes)


def test_a_clock_that_is_put_back_by_an_hour_stops_nobody_for_an_hour(
    server: ValkeyServer, clock: MovingClock
) -> None:
    there, limits = Library(server, clock, "k"), KeyLimits(rpm=2)
    for _ in range(2):
        assert isinstance(there.enter(limits), bytes)
    clock.at_ms -= 3_600_000
    met = [isinstance(there.enter(limits), bytes) for _ in range(3)]
    assert met == [True, True, False]


def test_memory_is_what_is_stated_and_comes_free_by_itself(
    server: ValkeyServer, clock: MovingClock
) -> None:
    there = Library(server, clock, "k" * 12)
    for _ in range(61):
        assert isinstance(there.enter(KeyLimits(rpm=10**6)), bytes)
        there.call("use", (there.keys[1],), b"50000")
        clock.at_ms += 1_000
    for _ in range(100):
        there.enter(KeyLimits(concurrency=100))
    sizes = [server.ask("MEMORY", "USAGE", key, "SAMPLES", 0) for key in there.keys]
    requests, tokens, places = (size for size in sizes if isinstance(size, int))
    assert max(requests, tokens) < 900
    assert places < 100 * 60
    lives = [server.ask("PTTL", key) for key in there.keys]
    assert all(isinstance(life, int) and 0 < life <= 62_000 for life in lives)


def test_every_key_of_a_shard_is_in_one_slot(server: ValkeyServer) -> None:
    """By the server's own arithmetic."""
    for key_id in ("a", "tw_sk", "}{", "é" * 20):
        shard, keys = keys_of(key_id)
        slots = {server_slot(key) for key in keys}
        assert len(slots) == 1, shard


def server_slot(key: bytes) -> int:
    """CRC16 of the tag, written out (XMODEM), as the cluster's specification has it."""
    tag = key[key.index(b"{") + 1 : key.index(b"}")]
    crc = 0
    for byte in tag:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1) ^ 0x1021 if crc & 0x8000 else crc << 1
    return (crc & 0xFFFF) % 16_384
