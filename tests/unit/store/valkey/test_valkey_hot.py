"""Hot state on one server: what it asks of it, and how it may be reached."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest
import uvloop

from certificates import SERVERS, authority, make
from hot_engines import open_hot
from tokenward.binding.wording import REPLAYED
from tokenward.kernel.errors import StoreError
from tokenward.kernel.refusals import Refusal
from tokenward.kernel.secret import Secret
from tokenward.limits.interfaces import KeyLimits
from tokenward.machine import RealClock
from tokenward.store.valkey import HotState, check_servers
from tokenward.store.valkey.library import NAME, VERSION
from tokenward.store.valkey.limiter import keys_of
from tokenward.store.valkey.pokes import CHANNEL
from valkey_server import ValkeyServer, running_server

LIMITS = KeyLimits(rpm=2, concurrency=5)
ACL = (
    "on >pw:d resetchannels &tw:changed resetkeys ~tw:* -@all +auth +client|setname +info +ping "
    "+function|load +fcall +script|load +evalsha +cluster|slots +publish +subscribe +time "
    "+get +set +hmget +hset +hincrby +hdel +del +pexpire +zadd +zrem +zcard +zremrangebyscore"
)
"""What docs/explanation/hot-state.md tells operators to allow."""


async def use_it(hot: HotState, key_id: str) -> None:
    """Everything once."""
    proofs, until_ms = hot.proofs, RealClock().now_ms() + 60_000
    name, since_ms = key_id.encode().ljust(32, b"\0"), proofs.epoch.since_ms
    assert await proofs.claim(name, until_ms, since_ms)
    assert not await proofs.claim(name, until_ms, since_ms)
    place = await hot.limiter.enter(key_id, LIMITS)
    assert not isinstance(place, Refusal)
    hot.limiter.use(key_id, 5)
    await hot.limiter.renew()
    place.leave()
    hot.pokes.publish()
    await asyncio.sleep(0.05)
    assert isinstance(await hot.limiter.enter(key_id, KeyLimits(tpm=5)), Refusal)


@pytest.mark.parametrize("way", ["tcp", "socket", "gone"])
def test_it_runs_on_the_loop_that_the_guard_runs_on(tmp_path: Path, way: str) -> None:
    """Its transports and timers are others than those of asyncio."""

    async def use(server: ValkeyServer) -> None:
        url = server.url.reveal() if way != "socket" else f"unix://{tmp_path / 's'}"
        async with open_hot(url) as hot:
            await use_it(hot, "k")
            if way == "gone":
                server.kill()
                with pytest.raises(StoreError):
                    await use_it(hot, "l")

    with running_server(tmp_path, unixsocket=str(tmp_path / "s")) as server:
        uvloop.run(use(server))


async def test_a_proof_and_the_limits_are_asked_in_one_step(
    hot: HotState, server: ValkeyServer
) -> None:
    until_ms, since_ms = RealClock().now_ms() + 60_000, hot.proofs.epoch.since_ms
    first, second, third = (bytes([number]) * 32 for number in (1, 2, 3))
    assert not isinstance(await hot.admit("k", LIMITS, first, until_ms, since_ms), Refusal)
    assert await hot.admit("k", LIMITS, first, until_ms, since_ms) == REPLAYED
    assert not isinstance(await hot.admit("k", LIMITS, second, until_ms, since_ms), Refusal)
    refusal = await hot.admit("k", LIMITS, third, until_ms, since_ms)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "rate:exceeded"
    again = await hot.admit("k", LIMITS, third, until_ms, since_ms)
    assert again == REPLAYED, "it is used up even so"
    with pytest.raises(StoreError, match="judged"):
        await hot.admit("k", LIMITS, bytes(32), until_ms, since_ms - 1)
    _, (_, _, places) = keys_of("k")
    assert server.ask("ZCARD", places) == 2, "what was refused has no place"


async def test_a_proof_is_forgotten_only_when_its_time_is_over(
    hot: HotState, server: ValkeyServer
) -> None:
    until_ms = RealClock().now_ms() + 75_000
    assert await hot.proofs.claim(b"p" * 32, until_ms, hot.proofs.epoch.since_ms)
    (name,) = server.ask("KEYS", "*:p:*")  # type: ignore[misc]
    left_ms, size = server.ask("PTTL", name), server.ask("MEMORY", "USAGE", name)
    assert isinstance(left_ms, int)
    assert isinstance(size, int)
    assert 60_000 < left_ms <= 75_000
    assert size <= 150


async def test_a_server_without_functions_is_given_the_same_as_a_script(tmp_path: Path) -> None:
    with running_server(tmp_path, **{"rename-command FUNCTION": ""}) as server:
        async with open_hot(server.url.reveal()) as hot, open_hot(server.url.reveal()) as other:
            await use_it(hot, "k1")
            await use_it(other, "k2")
            server.ask("SCRIPT", "FLUSH")
            with pytest.raises(StoreError):
                await use_it(hot, "k3")


async def test_two_versions_of_the_functions_stand_side_by_side(
    hot: HotState, server: ValkeyServer
) -> None:
    older = "#!lua name=tokenward_older\nredis.register_function('claim_older', redis.log)"
    server.ask("FUNCTION", "LOAD", older)
    await use_it(hot, "k")
    listed = server.ask("FUNCTION", "LIST")
    assert NAME.encode() in repr(listed).encode()
    assert VERSION in NAME


async def test_it_needs_no_more_than_the_commands_and_keys_it_says(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        server.ask("ACL", "SETUSER", "guard", *ACL.split())
        url = f"valkey://guard:pw%3Ad@127.0.0.1:{server.port}"
        async with open_hot(url) as hot:
            await use_it(hot, "k")
        keys = server.ask("KEYS", "*")
        assert isinstance(keys, list)
        assert all(isinstance(key, bytes) and key.startswith(b"tw:{") for key in keys)


async def test_a_wrong_password_starts_nothing_and_is_not_told(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        server.ask("CONFIG", "SET", "requirepass", "right")
        for login in ("", ":wr0ng@", "guard:wr0ng@"):
            with pytest.raises(StoreError) as met:
                async with open_hot(f"valkey://{login}127.0.0.1:{server.port}"):
                    pass
            assert "wr0ng" not in str(met.value)
        async with open_hot(f"valkey://:right@127.0.0.1:{server.port}/5") as hot:
            await use_it(hot, "k")


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
@pytest.mark.parametrize("way", ["tcp", "socket", "silent"])
def test_a_server_that_cannot_be_reached_is_named_with_what_to_do(
    tmp_path: Path, way: str, run: Callable[[Coroutine[None, None, None]], None]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        if way == "tcp":
            taken.close()  # nobody listens there now
        if way == "socket":
            where = f"{tmp_path}/nothing"
        url = f"unix://u5er:s3cret@{where}" if way == "socket" else f"valkey://u5er:s3cret@{where}"

        async def start() -> None:
            await HotState.open(Secret(url, "store.hot"), RealClock(), limit_s=0.3)

        with pytest.raises(StoreError) as met:
            run(start())
    said = str(met.value)
    if way == "silent":  # it may be the connection or its first answer that does not come
        assert said.startswith("store.hot: ")
        assert where in said
    else:
        assert said.startswith(f"store.hot: the Valkey server at {where} cannot be reached: ")
    assert "or correct store.hot" in said
    for secret in ("u5er", "s3cret", "Errno"):
        assert secret not in said


async def test_a_url_that_cannot_be_starts_nothing_and_is_not_told() -> None:
    with pytest.raises(StoreError, match=r"store\.hot") as met:
        await HotState.open(Secret("http://u:s3cret@h", "store.hot"), RealClock())
    assert "s3cret" not in str(met.value)


async def test_a_socket_is_as_good(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with running_server(tmp_path, unixsocket=str(path)):
        async with open_hot(f"unix://{path}") as hot:
            await use_it(hot, "k")


@pytest.mark.parametrize("knows_authority", [True, False])
async def test_an_encrypted_server_is_believed_if_its_certificate_is_good(
    server: ValkeyServer, tmp_path: Path, knows_authority: bool
) -> None:
    """The server's own TLS is not in the wheel: a door before it has one."""
    signer = authority(tmp_path)
    inside = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    inside.load_cert_chain(*make(tmp_path, "server", signer, usage=SERVERS).files)
    door = await asyncio.start_server(passing_to(server), "127.0.0.1", 0, ssl=inside)
    outside = ssl.create_default_context()
    if knows_authority:
        outside.load_verify_locations(cafile=str(signer.pem))
    url = Secret(f"valkeys://127.0.0.1:{door.sockets[0].getsockname()[1]}", "url")
    if knows_authority:
        hot = await HotState.open(url, RealClock(), limit_s=20.0, tls=outside)
        await use_it(hot, "k")
        await hot.close()
    else:
        with pytest.raises(StoreError, match="certificate"):
            await HotState.open(url, RealClock(), limit_s=20.0, tls=outside)
    door.close()


async def test_servers_that_may_forget_proofs_are_refused_and_named(tmp_path: Path) -> None:
    settings = {"maxmemory": "50mb", "maxmemory_policy": "volatile-lru"}
    with running_server(tmp_path, **settings) as server:
        with pytest.raises(StoreError, match="noeviction"):
            await HotState.open(server.url, RealClock())
        (finding,) = await check_servers(server.url, RealClock(), limit_s=20.0)
        assert not finding.ok
        assert "noeviction" in finding.why
        server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
        async with open_hot(server.url.reveal()) as hot:
            await use_it(hot, "k")


async def test_a_replica_is_no_server_of_hot_state(server: ValkeyServer, tmp_path: Path) -> None:
    with running_server(tmp_path) as replica:
        replica.ask("REPLICAOF", "127.0.0.1", server.port)
        with pytest.raises(StoreError, match="replica"):
            await HotState.open(replica.url, RealClock())


async def test_doctor_says_how_the_servers_are(server: ValkeyServer, tmp_path: Path) -> None:
    clock = RealClock()
    found = await check_servers(server.url, clock, limit_s=20.0)
    assert [finding.name for finding in found if not finding.ok] == []
    with running_server(tmp_path) as replica:
        replica.ask("REPLICAOF", "127.0.0.1", server.port)
        for _ in range(500):
            if server.facts()["connected_slaves"] == "1":
                break
            await asyncio.sleep(0.01)
        (unsafe,) = [f for f in await check_servers(server.url, clock, limit_s=20.0) if not f.ok]
        assert "min-replicas-to-write" in unsafe.why
    assert not (await check_servers(Secret("redis://", "u"), clock, limit_s=1.0))[0].ok
    replica.port = replica.port or 1
    (away,) = await check_servers(replica.url, clock, limit_s=1.0)
    assert not away.ok


class Late(RealClock):
    def now_ms(self) -> int:
        return super().now_ms() - 5_000


async def test_doctor_names_a_clock_that_is_another(server: ValkeyServer) -> None:
    (wrong,) = [f for f in await check_servers(server.url, Late(), limit_s=20.0) if not f.ok]
    assert "clock" in wrong.name


async def test_a_poke_reaches_every_gateway_and_after_a_break_again(tmp_path: Path) -> None:
    heard = [0, 0]

    def hear(number: int) -> None:
        heard[number] += 1

    async def both_hear(hot: HotState) -> None:
        before = list(heard)
        async with asyncio.timeout(20.0):
            while any(now <= was for now, was in zip(heard, before, strict=True)):
                hot.pokes.publish()
                await asyncio.sleep(0.02)

    with running_server(tmp_path) as server:
        opened = [
            await HotState.open(server.url, RealClock(), limit_s=20.0, on_poke=lambda n=n: hear(n))
            for n in range(2)
        ]
        await both_hear(opened[0])
        await both_hear(opened[1])
        server.ask("PUBLISH", CHANNEL, "from anybody")
        server.ask("CLIENT", "KILL", "TYPE", "pubsub")
        await both_hear(opened[0])
        server.kill()
        opened[0].pokes.publish()
        server.start()
        await both_hear(opened[1])
        for hot in opened:
            await hot.close()


def passing_to(server: ValkeyServer):  # type: ignore[no-untyped-def]
    """What the door does with a connection."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
        except OSError:
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.gather(copy(reader, back), copy(there, writer))

    return serve
