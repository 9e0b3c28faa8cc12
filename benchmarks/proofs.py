"""What does it cost that only the holder can use a key?

    python -m benchmarks proofs

CPU of the guard a call at saturation for a key that is bound to nobody, one that is bound (`dpop`)
and one whose proofs cover the body too (`dpop+body`): all on the same guard, turn by turn in short
rounds, so that whatever else the machine does falls on all alike. Reported are the medians of the
rounds, and of the differences within each turn. Proofs are made by a process of their own before
each round, so the caller only sends. Then the parts of the verifier, one by one.
"""

import asyncio
import statistics
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import uvloop
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from benchmarks.load import Pool
from benchmarks.rig import Rig, report, running_rig
from tokenward.binding.addresses import PublicUrls
from tokenward.binding.digest import check_digest
from tokenward.binding.dpop import DpopVerifier, Proof, Shown
from tokenward.binding.interfaces import Epoch
from tokenward.binding.nonces import Nonces
from tokenward.client.signer import Signer, content_digest_of
from tokenward.kernel import jwk, jws
from tokenward.kernel.jwk import KEYS_MAX, PrivateKey, PublicKeys
from tokenward.machine import RealClock
from tokenward.store.sqlite.proofs import SqliteProofs

CONNECTIONS: Final = 64
CALLS: Final = 2_000
TURNS: Final = 9
PATH: Final = "/v1/chat/completions"
SCALAR: Final = 0x1CEB00DA
"""Of the holder's P-256 key: another process must have it too."""
EPOCH: Final = Epoch(bytes(range(32)), 0)
REPEATS: Final = 2_000
SAMPLES: Final = 7


def signer(key: PrivateKey, *, binds_body: bool = False) -> Signer:
    """As it runs at the caller."""
    return Signer(key, binds_body=binds_body, now_s=time.time, draw_id=lambda: uuid.uuid4().hex)


def holder() -> ec.EllipticCurvePrivateKey:
    """Whoever holds the bound keys."""
    return ec.derive_private_key(SCALAR, ec.SECP256R1())


def signed_requests(
    request: bytes, base_url: str, credential: str, nonce: str, binds_body: bool
) -> list[bytes]:
    """A round's requests, each with a proof of its own."""
    signs = signer(holder(), binds_body=binds_body)
    return [signed(request, base_url, credential, nonce, signs) for _ in range(CALLS)]


def signed(request: bytes, base_url: str, credential: str, nonce: str, signs: Signer) -> bytes:
    """The request with a fresh proof in the place of its bearer key."""
    head, _, body = request.partition(b"\r\n\r\n")
    plain = f"authorization: Bearer {credential}".encode()
    assert plain in head
    headers = signs.headers("POST", base_url + PATH, credential=credential, nonce=nonce, body=body)
    lines = "\r\n".join(f"{name}: {value}" for name, value in headers.items()).encode()
    return head.replace(plain, lines) + b"\r\n\r\n" + body


def nonce_of(rig: Rig, credential: str) -> str:
    """The guard's nonce of now: what it answers to a call without a proof."""
    asked = Request(rig.guard_url + PATH, b"{}", {"authorization": f"DPoP {credential}"})
    try:
        urlopen(asked, timeout=10).close()
    except HTTPError as refused:
        return str(refused.headers["dpop-nonce"])
    raise AssertionError("a bound key was taken without a proof")


async def take_turns(rig: Rig) -> dict[str, Any]:
    """CPU a call of each kind of key, round by round."""
    thumbprint = jwk.thumbprint_of(jwk.public_jwk(holder()))
    keys = {bind: rig.new_key(bind=bind, thumbprint=thumbprint) for bind in ("dpop", "dpop+body")}
    pool = Pool(rig.guard_url, rig.request())
    await pool.open(CONNECTIONS)
    await pool.saturate(CALLS)
    cpu_us: dict[str, list[float]] = {"none": [], **{bind: [] for bind in keys}}
    with ProcessPoolExecutor(1) as signers:
        for turn in range(TURNS):
            order = list(cpu_us) if turn % 2 else list(reversed(cpu_us))
            for bind in order:
                requests = [rig.request()] * CALLS
                if bind in keys:
                    requests = await asyncio.wrap_future(
                        signers.submit(
                            signed_requests,
                            rig.request().replace(rig.key.encode(), keys[bind].encode()),
                            rig.guard_url,
                            keys[bind],
                            nonce_of(rig, keys[bind]),
                            bind == "dpop+body",
                        )
                    )
                pool.feed(requests)
                cpu_s = rig.cpu_s()
                await pool.saturate(CALLS)
                cpu_us[bind].append((rig.cpu_s() - cpu_s) / CALLS * 1e6)
    pool.close()
    plain = cpu_us["none"]
    return {
        "cpu_us_a_call": {bind: round(statistics.median(us)) for bind, us in cpu_us.items()},
        "added_us": {
            bind: round(statistics.median(b - a for a, b in zip(plain, cpu_us[bind], strict=True)))
            for bind in keys
        },
        "ratio": {
            bind: round(
                statistics.median(b / a for a, b in zip(plain, cpu_us[bind], strict=True)), 2
            )
            for bind in keys
        },
        "rounds": {bind: [round(value) for value in us] for bind, us in cpu_us.items()},
    }


def parts_us() -> dict[str, float]:
    """Each part of the verifier by itself, and all of it but the replay store."""
    found = {}
    for name, key in (("ES256", holder()), ("Ed25519", ed25519.Ed25519PrivateKey.generate())):
        found |= {f"{part}, {name}": us for part, us in of_key(key).items()}
    nonces, now_ms = Nonces(lambda: EPOCH), RealClock().now_ms()
    found["nonce"] = timed_us(partial(nonces.is_fresh, nonces.current(now_ms), now_ms, EPOCH))
    for size in (2_000, 50_000):
        body = b"x" * size
        value = content_digest_of(body)
        check = partial(check_digest, value, value.encode(), body)
        found[f"digest of {size // 1000} kB"] = timed_us(check)
    return found


def of_key(key: PrivateKey) -> dict[str, float]:
    """What depends on the kind of key."""
    nonces, now_ms, keys = Nonces(lambda: EPOCH), RealClock().now_ms(), PublicKeys()
    urls = PublicUrls(("http://127.0.0.1:8484",))
    verifier = DpopVerifier(urls, nonces, keys, requires_nonce=True)
    signs = signer(key)
    nonce = nonces.current(now_ms)
    proof = signs.proof("POST", urls.issuer + PATH, credential="tw_sk_", nonce=nonce).encode()
    token = jws.read_compact(proof, 4096)
    public = jwk.public_jwk(key)
    read = keys.read(public)
    shown = Shown(
        proofs=(proof,),
        method="POST",
        path=PATH,
        credential="tw_sk_",
        thumbprint=signs.thumbprint,
    )
    assert isinstance(verifier.check(shown, now_ms), Proof)
    return {
        "all of it": timed_us(partial(verifier.check, shown, now_ms)),
        "take apart": timed_us(partial(jws.read_compact, proof, 4096)),
        "key seen before": timed_us(partial(keys.read, public)),
        "key not seen before": timed_us(lambda: PublicKeys().read(public)),
        "verify": timed_us(partial(read.verify, token.signed, token.signature)),
    }


def replay_store_us() -> dict[str, float]:
    """Using a proof up, alone and 16 at once, and forgetting those of five busy seconds."""
    with TemporaryDirectory() as folder:
        store = SqliteProofs(Path(folder), RealClock())
        since_ms = store.epoch.since_ms

        async def claim(count: int, at_once: int, until_ms: int) -> float:
            names = [uuid.uuid4().bytes * 2 for _ in range(count)]
            began_s = time.perf_counter()
            for at in range(0, count, at_once):
                claims = (
                    store.claim(name, until_ms, since_ms) for name in names[at : at + at_once]
                )
                await asyncio.gather(*claims)
            return round((time.perf_counter() - began_s) / count * 1e6, 1)

        async def take() -> dict[str, float]:
            await claim(100_000, 100, 1_000)
            alone, many = await claim(5_000, 1, 1), await claim(5_008, 16, 1)
            began_s = time.perf_counter()
            swept = await store.sweep(2)
            sweep_us = (time.perf_counter() - began_s) / swept * 1e6
            return {
                "use up, 100,000 known": alone,
                "use up, 16 at once": many,
                "forget one": round(sweep_us, 1),
            }

        found = uvloop.run(take())
        store.close()
    return found


def key_memory_mb() -> dict[str, float]:
    """Resident memory of this process by keys read; more than `KEYS_MAX` are not kept."""
    keys = PublicKeys()
    jwks = [jwk.public_jwk(ec.generate_private_key(ec.SECP256R1())) for _ in range(2 * KEYS_MAX)]
    before_mb, found = rss_mb(), {}
    for number, public in enumerate(jwks, start=1):
        keys.read(public)
        if number % KEYS_MAX == 0:
            found[f"{number} keys read"] = round(rss_mb() - before_mb, 1)
    assert len(keys) == KEYS_MAX
    return found


def rss_mb() -> float:
    """Of this process."""
    text = Path("/proc/self/status").read_text("ascii")
    return int(text.partition("VmRSS:")[2].split()[0]) / 1000


def timed_us(run: Callable[[], object]) -> float:
    """Median of some samples of many runs each."""
    samples = []
    for _ in range(SAMPLES):
        began_s = time.perf_counter()
        for _ in range(REPEATS):
            run()
        samples.append((time.perf_counter() - began_s) / REPEATS * 1e6)
    return round(statistics.median(samples), 1)


def main() -> None:
    """Measure and report."""
    with running_rig() as rig:
        found = uvloop.run(take_turns(rig))
        rig.check()
    with ProcessPoolExecutor(1) as alone:
        memory = alone.submit(key_memory_mb).result()
    found["parts_us"] = {**parts_us(), **replay_store_us()}
    report("proofs", {**found, "key_cache_mb": memory})


if __name__ == "__main__":
    main()
