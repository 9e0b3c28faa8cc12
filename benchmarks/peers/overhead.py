"""How much later does an answer come because of a gateway, ours or LiteLLM's, on the same machine?

    python -m benchmarks.peers.overhead [--peer tokenward-sqlite] [--peer litellm]

The measurement is that of `benchmarks/overhead.py`, in its own code: one provider, and each round
of calls goes directly and through every gateway, in random order; what a gateway adds to the direct
call of its round counts. One gateway process of each kind, all running at once, every one with a
key that has a budget. What is not as usual about LiteLLM here stands in README.md: the engine of
its database runs in Node, so what it adds for the database is more than elsewhere, most of all in
CPU. On each side everything is on that a budget needs, nothing else.
"""

import asyncio
import random
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, cast

import uvloop

from benchmarks import processes
from benchmarks.load import Line, Pool, request_bytes
from benchmarks.options import parser_of, read_options
from benchmarks.overhead import DIRECT, at_rate, in_turn
from benchmarks.peers.litellm import LiteLLM
from benchmarks.peers.tokenward import Tokenward
from benchmarks.rig import LARGE, SMALL, report, running_provider
from benchmarks.storms.load import MODEL
from benchmarks.storms.peer import Peer, Setting
from benchmarks.storms.stores import Postgres, Stores, Valkey

SHOWS: Final = ("P-1", "P-4")
PEERS: Final[Mapping[str, Callable[[Setting], Peer]]] = {
    "tokenward": Tokenward,
    "tokenward-sqlite": partial(Tokenward, engine="sqlite"),
    "litellm": partial(LiteLLM, is_strict=False),
    "litellm-strict": partial(LiteLLM, is_strict=True),
}
USUAL: Final = ("tokenward", "tokenward-sqlite", "litellm")
NEED_STORES: Final = frozenset(PEERS) - {"tokenward-sqlite"}
BUDGET_NUSD: Final = 50_000 * 10**9
PAIRS: Final = 500
LARGE_PAIRS: Final = 100
WARM_UP: Final = 50
RATE: Final = 25
"""Below what the slowest of them carries on one core."""
TURNS: Final = 10
CALLS: Final = 600
ROUNDS: Final = 3
CONNECTIONS: Final = 16


@dataclass(frozen=True, kw_only=True)
class Server:
    """A gateway to be measured, or the provider itself."""

    url: str
    key: str
    pid: int = 0
    about: Mapping[str, str]

    def request(self, text: str = SMALL) -> bytes:
        """The same call for all."""
        return request_bytes(self.url, self.key, text=text, model=MODEL)


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """The stores as a gateway sees them: nothing stands between."""

    postgres: Postgres
    valkey: Valkey

    def postgres_url(self, database: str) -> str:
        """Of a database."""
        return f"postgresql://postgres@127.0.0.1:{self.postgres.port}/{database}"

    @property
    def valkey_port(self) -> int:
        """On 127.0.0.1."""
        return self.valkey.port


@contextmanager
def running(names: Sequence[str]) -> Iterator[dict[str, Server]]:
    """The provider, as `direct`, and these gateways in front of it; each with stores of its own
    where it has any."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="tokenward-peers-")))
        folder.chmod(0o711)  # PostgreSQL runs as somebody else, who must get to its own
        provider = stack.enter_context(running_provider(folder))
        servers = {DIRECT: Server(url=provider, key="sk-benchmark", about={})}
        for name in names:
            place = folder / name
            place.mkdir(mode=0o711)
            stores = _running_stores(stack, place) if name in NEED_STORES else None
            setting = Setting(
                folder=str(place),
                stores=cast(Stores, stores),  # SQLite asks for none
                provider_url=provider,
                credential="sk-benchmark",
                gateways=1,
                seed=1,
            )
            peer = PEERS[name](setting)
            stack.callback(peer.stop)
            peer.start()
            key = asyncio.run(peer.new_key(BUDGET_NUSD))
            gateway = peer.gateways[0]
            servers[name] = Server(url=gateway.url, key=key.text, pid=gateway.pid, about=peer.about)
        yield servers


def _running_stores(stack: ExitStack, place: Path) -> Stores:
    postgres, valkey = Postgres(folder=place / "postgres"), Valkey(folder=place / "valkey")
    for server in (postgres, valkey):
        server.folder.mkdir(mode=0o711)
        server.start()
        stack.callback(server.stop)
    seen = cast(Any, _Seen(postgres=postgres, valkey=valkey))
    return Stores(postgres=postgres, valkey=valkey, seen=(seen,))


def measure(
    servers: Mapping[str, Server],
    dice: random.Random,
    *,
    pairs: int = PAIRS,
    large_pairs: int = LARGE_PAIRS,
    turns: int = TURNS,
    turn_s: float = 1.0,
    warm_up: int = WARM_UP,
    calls: int = CALLS,
    rounds: int = ROUNDS,
) -> dict[str, Any]:
    """Added latency, and what each gateway carries at 16 calls at a time."""

    def lines(text: str) -> dict[str, Line]:
        return {name: Line(each.url, each.request(text)) for name, each in servers.items()}

    def pools() -> dict[str, Pool]:
        return {name: Pool(each.url, each.request()) for name, each in servers.items()}

    gateways = {name: each for name, each in servers.items() if name != DIRECT}
    return {
        "gateways": {name: dict(each.about) for name, each in gateways.items()},
        "idle_rss_mb": {n: processes.rss_mb(processes.family(g.pid)) for n, g in gateways.items()},
        "small_prompt": in_turn(lines(SMALL), pairs, dice, warm_up),
        "prompt_of_50000_tokens": in_turn(lines(LARGE), large_pairs, dice, warm_up // 5),
        "fixed_rate": uvloop.run(
            at_rate(pools, dice, rate=RATE, turns=turns, turn_s=turn_s, warm_up=warm_up)
        ),
        "saturated": uvloop.run(_saturate(gateways, dice, calls, rounds)),
        "rss_mb": {n: processes.rss_mb(processes.family(g.pid)) for n, g in gateways.items()},
        "processes": {n: len(processes.family(g.pid)) for n, g in gateways.items()},
    }


async def _saturate(
    gateways: Mapping[str, Server], dice: random.Random, calls: int, rounds: int
) -> dict[str, Any]:
    """Medians of rounds in random order. CPU is that of the gateway and all it started; that of
    the stores is not in it."""
    pools = {name: Pool(each.url, each.request()) for name, each in gateways.items()}
    for pool in pools.values():
        await pool.open(CONNECTIONS)
        await pool.saturate(CONNECTIONS)
    rates: dict[str, list[float]] = {name: [] for name in pools}
    cpu_us: dict[str, list[float]] = {name: [] for name in pools}
    for _ in range(rounds):
        for name in dice.sample(list(pools), len(pools)):
            family = processes.family(gateways[name].pid)
            cpu_s = processes.cpu_s(family)
            took_s = await pools[name].saturate(calls)
            rates[name].append(calls / took_s)
            cpu_us[name].append((processes.cpu_s(family) - cpu_s) / calls * 1e6)
    for pool in pools.values():
        pool.close()
    return {
        name: {
            "calls_a_s": round(statistics.median(rates[name])),
            "cpu_us_a_call": round(statistics.median(cpu_us[name])),
        }
        for name in pools
    }


def main() -> None:
    """Measure and report."""
    parser = parser_of(__doc__)
    parser.add_argument("--peer", action="append", choices=sorted(PEERS), help="default: three")
    args = read_options(parser)
    tiny = {"pairs": 20, "large_pairs": 5, "turns": 2, "warm_up": 10, "calls": 50, "rounds": 2}
    with running(args.peer or USUAL) as servers:
        found = measure(servers, random.Random(1), **(tiny if args.quick else {}))
    report("peers-overhead", found, is_kept=not args.quick)


if __name__ == "__main__":
    main()
