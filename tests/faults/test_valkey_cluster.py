"""A cluster of three, each with a replica: primaries die under load, and lag, and come back."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest

from hot_engines import PATIENCE_S
from tokenward.kernel.refusals import Refusal
from tokenward.limits.interfaces import KeyLimits
from tokenward.store.valkey import HotState
from tokenward.store.valkey.resp import ServerSaidError
from tokenward.store.valkey.servers import TAGS
from valkey_gates import Gate, Maker, SetClock, Storm, soon
from valkey_server import ValkeyCluster, ValkeyServer, running_cluster, wait_until

LIMIT_S = 1.0
TRIES = 10
Gates = list[Gate]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[ValkeyCluster]:
    with running_cluster(tmp_path) as running:
        yield running


@pytest.fixture
async def gates(cluster: ValkeyCluster) -> AsyncIterator[Gates]:
    async with AsyncExitStack() as stack:
        yield [await opened(stack, cluster, PATIENCE_S) for _ in range(2)]


async def opened(stack: AsyncExitStack, cluster: ValkeyCluster, limit_s: float) -> Gate:
    clock = SetClock()
    hot = await HotState.open(cluster.url, clock, limit_s=limit_s)
    stack.push_async_callback(hot.close)
    return Gate(hot, clock)


def is_primary(node: ValkeyServer) -> bool:
    return node.facts().get("role") == "master"


@pytest.mark.req("K-9")
async def test_a_primary_that_dies_under_load_costs_no_proof_its_oneness(
    cluster: ValkeyCluster, gates: Gates
) -> None:
    """And when it is back, and takes over again, neither."""
    primary, replica = await asyncio.to_thread(cluster.pair, 0)
    for gate in gates:
        await gate.open_again(Maker())
    epochs = [gates[0].hot.proofs.epoch]
    async with Storm(gates) as storm:
        await storm.more()
        await asyncio.to_thread(primary.kill)
        await asyncio.to_thread(wait_until, lambda: is_primary(replica), "the replica took over")
        for gate in gates:
            await gate.open_again(Maker())
        epochs.append(gates[0].hot.proofs.epoch)
        await asyncio.to_thread(primary.start)
        await asyncio.to_thread(wait_until, lambda: follows(primary), "the old one follows")
        await storm.more()
        await asyncio.to_thread(wait_until, lambda: fails_over(primary), "it took over again")
        for gate in gates:
            await gate.open_again(Maker())
        await storm.more()
        epochs.append(gates[0].hot.proofs.epoch)
    assert storm.taken_twice() == []
    assert storm.met["replayed"] > 0
    assert len(set(epochs)) == 3, "each time another server's memory took over"


def fails_over(replica: ValkeyServer) -> bool:
    """Asked to, which it gives up when its primary does not agree in time."""
    if not is_primary(replica):
        with suppress(ServerSaidError):
            replica.ask("CLUSTER", "FAILOVER")
        time.sleep(1.0)
    return is_primary(replica)


def follows(node: ValkeyServer) -> bool:
    return node.facts().get("master_link_status") == "up"


@pytest.mark.req("K-9")
async def test_a_replica_that_lacks_the_last_proofs_takes_over_and_they_are_good_nowhere(
    cluster: ValkeyCluster, gates: Gates
) -> None:
    pairs = [await asyncio.to_thread(cluster.pair, number) for number in range(3)]
    for gate in gates:
        await gate.open_again(Maker())
        gate.clock.ahead_ms += 10_000
    epoch = gates[0].hot.proofs.epoch
    for _, replica in pairs:
        replica.pause()
    makers = [Maker(), Maker(has_nonce=False)]
    used = [make(gates[0]) for make in makers for _ in range(100)]
    for shown in used:
        assert await gates[0].show(shown) == "taken"
    await asyncio.to_thread(pairs[0][0].kill)
    for _, replica in pairs:
        replica.resume()
    await asyncio.to_thread(wait_until, lambda: is_primary(pairs[0][1]), "the replica took over")
    for gate in gates:
        await gate.open_again(Maker())
        assert gate.hot.proofs.epoch.since_ms > epoch.since_ms
        gate.clock.ahead_ms += 45_000
        met = await asyncio.gather(*(gate.show(shown) for shown in used))
        assert "taken" not in met


async def test_the_shards_of_other_primaries_serve_on_while_one_is_away(
    cluster: ValkeyCluster,
) -> None:
    """Until the cluster as a whole says it is down, and after it is whole again. On a machine that
    is busy it may say so before it is asked."""
    make = Maker()
    async with AsyncExitStack() as stack:
        gate = await opened(stack, cluster, LIMIT_S)
        for _ in range(TRIES):
            await gate.open_again(make)
            primary, _ = await asyncio.to_thread(cluster.pair, 1)
            primary.pause()
            met = await asyncio.gather(*(gate.show(make(gate)) for _ in range(60)))
            primary.resume()
            await asyncio.to_thread(wait_until, cluster.is_whole, "all is well again")
            if {"taken", "fault"} <= set(met):
                break
        else:
            pytest.fail("never did some serve on while one was away")
        await gate.open_again(make)
        await soon(lambda: ready(gate))


async def ready(gate: Gate) -> bool:
    return gate.hot.why_not_ready == ""


async def test_slots_that_move_are_followed(cluster: ValkeyCluster, gates: Gates) -> None:
    """Eight of our shards, key by key, as an operator reshards."""
    async with Storm(gates) as storm:
        await storm.more()
        (source, _), (target, _) = [await asyncio.to_thread(cluster.pair, n) for n in (0, 1)]
        moved = await asyncio.to_thread(move_shards, source, target)
        for gate in gates:
            await gate.open_again(Maker())
        await storm.more()
    assert moved == 8
    assert storm.taken_twice() == []


def move_shards(source: ValkeyServer, target: ValkeyServer) -> int:
    """How many went from one to the other."""
    names = [node.ask("CLUSTER", "MYID") for node in (source, target)]
    moved = 0
    for slot in {number_of(source.ask("CLUSTER", "KEYSLOT", tag)) for tag in TAGS}:
        if moved == 8 or not source.ask("CLUSTER", "COUNTKEYSINSLOT", slot):
            continue
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", names[0])
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", names[1])
        while keys := source.ask("CLUSTER", "GETKEYSINSLOT", slot, 100):
            assert isinstance(keys, list)
            parts = ["MIGRATE", "127.0.0.1", target.port, "", 0, 5_000, "KEYS", *keys]
            source.ask(*parts)
        for node in (target, source):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", names[1])
        moved += 1
    return moved


def number_of(reply: object) -> int:
    assert isinstance(reply, int)
    return reply


async def test_limits_hold_over_all_gateways_before_and_after_a_primary_dies(
    cluster: ValkeyCluster, gates: Gates
) -> None:
    limits, keys = KeyLimits(rpm=5, concurrency=20), [f"key{number}" for number in range(20)]

    async def let_in(key: str) -> int:
        calls = [gate.hot.limiter.enter(key, limits) for gate in gates for _ in range(5)]
        met = await asyncio.gather(*calls, return_exceptions=True)
        return sum(not isinstance(one, Refusal | BaseException) for one in met)

    primary, replica = await asyncio.to_thread(cluster.pair, 2)
    for gate in gates:
        await soon(lambda at=gate: ready(at))
    assert [await let_in(key) for key in keys] == [5] * len(keys)
    await asyncio.to_thread(primary.kill)
    await asyncio.to_thread(wait_until, lambda: is_primary(replica), "the replica took over")
    for gate in gates:
        await soon(lambda at=gate: ready(at))
    met = [await let_in(key) for key in keys]
    assert all(count <= 5 for count in met), "at worst a minute is counted anew, once"
