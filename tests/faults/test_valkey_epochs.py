"""Whatever the servers forget, no proof is taken twice, and service comes back by itself (K-9).

Each way of losing the memory of used proofs happens to real servers, and the test fails if it did
not happen.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from hot_engines import open_hot
from tokenward.binding.interfaces import Epoch
from tokenward.kernel.errors import StoreError
from valkey_gates import Gate, Maker, SetClock, Storm, soon
from valkey_server import ValkeyServer, running_server, wait_until

Gates = tuple[Gate, Gate]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ValkeyServer]:
    with running_server(tmp_path) as running:
        yield running


@pytest.fixture
async def gates(server: ValkeyServer) -> AsyncIterator[Gates]:
    async with AsyncExitStack() as stack:
        first, second = [await opened(stack, server.url.reveal()) for _ in range(2)]
        yield first, second


async def opened(stack: AsyncExitStack, url: str) -> Gate:
    clock = SetClock()
    return Gate(await stack.enter_async_context(open_hot(url, clock)), clock)


def flush(server: ValkeyServer) -> None:
    server.ask("FLUSHALL")


def flush_one_shard(server: ValkeyServer) -> None:
    """The marks of others stay as they are."""
    keys = server.ask("KEYS", "tw:{0[0-7]}:*")
    assert isinstance(keys, list)
    server.ask("DEL", *(key for key in keys if isinstance(key, bytes)))


def restart_empty(server: ValkeyServer) -> None:
    server.kill()
    server.start()


def restart_with_an_old_snapshot(server: ValkeyServer) -> None:
    """All marks are there; the last proofs are not."""
    server.restore_snapshot()
    assert server.ask("EXISTS", b"tw:{00}:mark") == 1


def reload_an_old_snapshot(server: ValkeyServer) -> None:
    """The same process makes itself the replica of one with old data, and primary again."""
    folder = server.folder / "other"
    with running_server(folder) as other:
        other.kill()
        (folder / "dump.rdb").write_bytes((server.folder / "kept.rdb").read_bytes())
        other.start()
        server.ask("REPLICAOF", "127.0.0.1", other.port)
        wait_until(lambda: server.facts().get("master_link_status") == "up", "it follows")
        server.ask("REPLICAOF", "NO", "ONE")
    assert server.ask("EXISTS", b"tw:{00}:mark") == 1


LOSSES: list[Callable[[ValkeyServer], None]] = [
    flush, flush_one_shard, restart_empty, restart_with_an_old_snapshot, reload_an_old_snapshot,
]  # fmt: skip


@pytest.mark.req("K-9")
@pytest.mark.parametrize("lose", LOSSES)
async def test_what_was_used_before_the_loss_is_good_nowhere_after_it(
    server: ValkeyServer, gates: Gates, lose: Callable[[ValkeyServer], None]
) -> None:
    server.save_snapshot()
    before = gates[0].hot.proofs.epoch
    used, unused = await use_some(gates)
    await asyncio.to_thread(lose, server)
    for _ in range(5):
        await nothing_is_taken(gates, used)
    after = await another_epoch(gates, before)
    await nothing_is_taken(gates, used + unused)
    assert after.since_ms > before.since_ms
    for gate in gates:
        await gate.open_again(Maker())
        gate.clock.ahead_ms += 60_000
        await nothing_is_taken(gates, used)
        await gate.open_again(Maker(has_nonce=False))


async def use_some(gates: Gates) -> tuple[list, list]:
    """Proofs of either kind that are used up, and some that were only made."""
    for gate in gates:
        gate.clock.ahead_ms += 10_000
    makers = [Maker(), Maker(has_nonce=False)]
    made = [make(gate) for _ in range(30) for gate in gates for make in makers]
    used, unused = made[:100], made[100:]
    for shown in used:
        assert await gates[0].show(shown) == "taken"
        assert await gates[1].show(shown) == "replayed"
    return used, unused


async def nothing_is_taken(gates: Gates, made: list) -> None:
    met = await asyncio.gather(*(gate.show(shown) for shown in made for gate in gates))
    assert "taken" not in met, met


async def another_epoch(gates: Gates, before: Epoch) -> Epoch:
    """Calls go on meanwhile, and meet what changed."""

    async def agree() -> bool:
        for gate in gates:
            await gate.show(Maker()(gate))
        now = {gate.hot.proofs.epoch for gate in gates}
        return len(now) == 1 and before not in now

    await soon(agree)
    return gates[0].hot.proofs.epoch


@pytest.mark.req("K-9")
@pytest.mark.parametrize("lose", LOSSES)
async def test_in_a_storm_of_calls_and_thefts_no_proof_is_taken_twice(
    server: ValkeyServer, gates: Gates, lose: Callable[[ValkeyServer], None]
) -> None:
    server.save_snapshot()
    before = gates[0].hot.proofs.epoch
    async with Storm(list(gates)) as storm:
        await storm.more()
        await asyncio.to_thread(lose, server)
        await another_epoch(gates, before)
        await storm.more()
    assert storm.taken_twice() == []
    assert storm.met["replayed"] > 0


async def test_a_loss_that_nobody_was_there_to_see_is_seen_when_they_are_back(
    server: ValkeyServer,
) -> None:
    """All gateways were down while an old snapshot was restored."""
    async with AsyncExitStack() as stack:
        gate = await opened(stack, server.url.reveal())
        before = gate.hot.proofs.epoch
        server.save_snapshot()
        used = Maker()(gate)
        assert await gate.show(used) == "taken"
    await asyncio.to_thread(server.restore_snapshot)
    async with AsyncExitStack() as stack:
        back = await opened(stack, server.url.reveal())
        assert back.hot.proofs.epoch.since_ms > before.since_ms
        assert await back.show(used) != "taken"


async def test_a_restart_of_the_gateways_alone_begins_nothing(server: ValkeyServer) -> None:
    epochs = set()
    for _ in range(3):
        async with AsyncExitStack() as stack:
            epochs.add((await opened(stack, server.url.reveal())).hot.proofs.epoch)
    assert len(epochs) == 1


async def test_many_gateways_that_start_on_an_empty_server_agree_on_one_epoch(
    server: ValkeyServer,
) -> None:
    async with AsyncExitStack() as stack:
        gates = await asyncio.gather(*(opened(stack, server.url.reveal()) for _ in range(8)))
        assert len({gate.hot.proofs.epoch for gate in gates}) == 1
        assert all([await gate.show(Maker()(gate)) == "taken" for gate in gates])


async def test_gateways_that_nobody_calls_notice_it_too(server: ValkeyServer, gates: Gates) -> None:
    """So that the first call already gets a nonce that is good."""
    before = gates[0].hot.proofs.epoch
    server.ask("FLUSHALL")

    async def agree() -> bool:
        now = {gate.hot.proofs.epoch for gate in gates}
        return len(now) == 1 and before not in now

    await soon(agree)


async def test_losses_one_after_another_are_all_noticed(server: ValkeyServer, gates: Gates) -> None:
    epoch, used = gates[0].hot.proofs.epoch, []
    for _ in range(5):
        used.append(Maker()(gates[0]))
        assert await gates[0].show(used[-1]) == "taken"
        server.ask("FLUSHALL")
        epoch = await another_epoch(gates, epoch)
        await nothing_is_taken(gates, used)


async def test_a_mark_that_somebody_wrote_wrong_is_a_loss(
    server: ValkeyServer, gates: Gates
) -> None:
    epoch = gates[0].hot.proofs.epoch
    for mark in (b"", b"x" * 300, b"0" * 20 + b":" + b"00" * 32):
        server.ask("SET", b"tw:{07}:mark", mark)
        for gate in gates:
            gate.hot._epochs.doubt()
        epoch = await another_epoch(gates, epoch)


async def test_a_server_that_cannot_write_takes_no_proof(
    server: ValkeyServer, gates: Gates
) -> None:
    make = Maker()
    server.ask("CONFIG", "SET", "min-replicas-to-write", "1")
    assert await gates[0].show(make(gates[0])) == "fault"
    server.ask("CONFIG", "SET", "min-replicas-to-write", "0")
    await gates[0].open_again(make)
    server.ask("CONFIG", "SET", "maxmemory", "1mb")
    assert await gates[0].show(make(gates[0])) == "fault"
    server.ask("CONFIG", "SET", "maxmemory", "0")
    await gates[0].open_again(make)


async def test_functions_that_somebody_flushed_are_loaded_again(
    server: ValkeyServer, gates: Gates
) -> None:
    server.ask("FUNCTION", "FLUSH")
    assert await gates[0].show(Maker()(gates[0])) == "fault"
    await gates[0].open_again(Maker())


async def test_a_server_made_a_replica_is_left_and_one_that_takes_over_is_found(
    server: ValkeyServer, tmp_path: Path
) -> None:
    """Two servers in the URL, of which one is the primary."""
    with running_server(tmp_path / "second") as second:
        second.ask("REPLICAOF", "127.0.0.1", server.port)
        wait_until(lambda: second.facts().get("master_link_status") == "up", "it follows")
        url = f"valkey://127.0.0.1:{second.port},127.0.0.1:{server.port}"
        async with AsyncExitStack() as stack:
            first, other = [await opened(stack, url) for _ in range(2)]
            epoch = first.hot.proofs.epoch
            used, _ = await use_some((first, other))
            second.ask("REPLICAOF", "NO", "ONE")
            server.ask("REPLICAOF", "127.0.0.1", second.port)
            epoch = await another_epoch((first, other), epoch)
            await nothing_is_taken((first, other), used)
            server.ask("REPLICAOF", "NO", "ONE")
            await asyncio.to_thread(second.kill)
            await another_epoch((first, other), epoch)
            await nothing_is_taken((first, other), used)
            await first.open_again(Maker())


async def test_a_closed_hot_state_says_so_and_starts_nothing(server: ValkeyServer) -> None:
    async with open_hot(server.url.reveal()) as hot:
        assert hot.why_not_ready == ""
        since_ms = hot.proofs.epoch.since_ms
    assert hot.why_not_ready != ""
    with pytest.raises(StoreError):
        await hot.proofs.claim(b"x" * 32, 10**15, since_ms)
    await hot.close()
