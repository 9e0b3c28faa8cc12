"""Are the servers set up so that what the guard promises holds? For `doctor`, not for calls."""

import ssl
from typing import Final, NamedTuple

from tokenward.kernel.clock import Clock
from tokenward.kernel.errors import StoreError
from tokenward.kernel.secret import Secret
from tokenward.store.valkey.address import parse_url
from tokenward.store.valkey.handshake import Facts, ask_facts, why_forgetful
from tokenward.store.valkey.link import Link
from tokenward.store.valkey.resp import Reply, pack
from tokenward.store.valkey.servers import Servers

CLOCKS_APART_MS: Final = 1_000
NODE_TIMEOUT_MS: Final = 15_000


class Finding(NamedTuple):
    """One thing looked at: what, whether it is as it should be, and why (not)."""

    name: str
    ok: bool
    why: str


async def check_servers(
    url: Secret, clock: Clock, *, limit_s: float, tls: ssl.SSLContext | None = None
) -> list[Finding]:
    """What a running guard would meet. Changes nothing but loads the functions; never raises."""
    try:
        servers = Servers(parse_url(url.reveal(), tls), limit_s)
    except ValueError as error:
        return [Finding("hot store", False, str(error))]
    try:
        await servers.refresh()
        if servers.why_away:
            return [Finding("hot store", False, servers.why_away)]
        findings = []
        for link in servers.links:
            findings += await _check(link, clock, is_cluster=servers.is_cluster)
        return findings
    except StoreError as error:
        return [Finding("hot store", False, str(error))]
    finally:
        servers.close()


async def _check(link: Link, clock: Clock, *, is_cluster: bool) -> list[Finding]:
    facts = await ask_facts(link)
    version = facts.get("valkey_version") or facts.get("redis_version", "?")
    known = f"{link.address} answers as a primary, version {version}"
    return [
        Finding("hot store", True, known),
        _memory(link, facts),
        _clock(link, clock, await link.send(pack(b"TIME"))),
        await _replicas(link, facts, is_cluster=is_cluster),
    ]


def _memory(link: Link, facts: Facts) -> Finding:
    why = why_forgetful(facts)
    evicted = facts.get("evicted_keys", "0")
    if not why and evicted != "0":
        why = f"it has evicted {evicted} keys since it started; used proofs may be among them"
    return Finding("hot store memory", not why, f"{link.address}: {why or 'nothing is evicted'}")


def _clock(link: Link, clock: Clock, time: Reply) -> Finding:
    now_ms = clock.now_ms()
    match time:
        case [bytes(seconds), bytes(micros)]:
            apart_ms = abs(int(seconds) * 1000 + int(micros) // 1000 - now_ms)
        case _:
            return Finding("hot store clock", False, f"{link.address}: it does not say its time")
    why = f"{link.address}: {apart_ms} ms from this machine's clock"
    return Finding("hot store clock", apart_ms <= CLOCKS_APART_MS, why)


async def _replicas(link: Link, facts: Facts, *, is_cluster: bool) -> Finding:
    """Where a replica may take over, the old primary must soon stop: until then both take proofs.
    That nonces are asked for (`binding.require_nonce`) makes even that harmless for calls."""
    name, replicas = "hot store replicas", facts.get("connected_slaves", "0")
    if replicas == "0":
        return Finding(name, True, f"{link.address}: no replica can take over by mistake")
    wanted = await _setting(link, b"min-replicas-to-write")
    bound_ms = await _setting(link, b"cluster-node-timeout") if is_cluster else ""
    if wanted not in ("", "0"):
        why = (
            f"{link.address}: cut off from its {replicas} replicas it stops (min-replicas-to-write)"
        )
        return Finding(name, True, why)
    if bound_ms.isdecimal() and int(bound_ms) <= NODE_TIMEOUT_MS:
        why = f"{link.address}: cut off from the others it stops after {bound_ms} ms"
        return Finding(name, True, f"{why} (cluster-node-timeout)")
    return Finding(
        name,
        False,
        f"{link.address}: cut off from its {replicas} replicas it goes on, and what is used up "
        "there can be used again at the server that took over, where no nonce is asked for. Set "
        "min-replicas-to-write to 1 (or let the guard's user read it: +config|get)",
    )


async def _setting(link: Link, name: bytes) -> str:
    """Its value; "" where it is not shown to us."""
    try:
        match await link.send(pack(b"CONFIG", b"GET", name)):
            case [_, bytes(value)]:
                return value.decode("utf-8", "replace")
    except StoreError:
        pass
    return ""
