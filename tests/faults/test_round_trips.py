"""How often is Valkey asked for a call, and waited for? Counted at the server.

It belongs here for its servers: nothing breaks.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from attacks.bound_calls import BoundKey, Call, netloc_of, new_bound_key, right_call
from attacks.probe import CHAT, new_key, post, say
from gateways import running_gateways
from guard import GuardProcess
from postgres_server import PostgresServer, why_not
from standin import StandinProcess
from tokenward.store.valkey.library import VERSION
from valkey_server import ValkeyServer, running_server

CALLS = 5
LIMITS = {"rpm": 1_000, "tpm": 1_000_000, "concurrency": 10}
WAITED_FOR = ("claim", "enter", "admit")
"""Of the library: what a call waits for. `use`, and that a place was left, are told only."""

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())


class Counting:
    """A guard on Valkey, whose server writes every command down."""

    def __init__(self, guard: GuardProcess, server: ValkeyServer) -> None:
        self.guard = guard
        self._server = server
        server.ask("CONFIG", "SET", "slowlog-max-len", 100_000)
        server.ask("CONFIG", "SET", "slowlog-log-slower-than", 0)

    def begin(self) -> None:
        """Count from now on."""
        self._server.ask("SLOWLOG", "RESET")

    def asked(self) -> dict[str, int]:
        """How often each function was called that a call waits for."""
        entries: Any = self._server.ask("SLOWLOG", "GET", -1)
        commands = [entry[3] for entry in entries]
        called = Counter(words[1].decode() for words in commands if words[0].upper() == b"FCALL")
        counts = {name: called[f"{name}_{VERSION}"] for name in WAITED_FOR}
        return {name: count for name, count in counts.items() if count}


@pytest.fixture(scope="module")
def counting(
    postgres: PostgresServer, standin: StandinProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Counting]:
    folder = tmp_path_factory.mktemp("counting")
    with (
        running_server(folder / "valkey") as server,
        running_gateways(folder, standin, postgres, server, 1) as (gateways, _),
    ):
        yield Counting(gateways.all[0], server)


def call_bound(counting: Counting, bound: BoundKey, text: str = "hi") -> None:
    body = {**CHAT.body, "messages": [{"role": "user", "content": text}]}
    calls = [right_call(counting.guard, bound, CHAT, body=body) for _ in range(CALLS)]
    counting.begin()
    for call in calls:
        answer = say(counting.guard.base_url, whole(call))
        assert answer.startswith(b"HTTP/1.1 200 "), answer


def whole(call: Call) -> bytes:
    """Head and body in one piece, so that a busy machine cannot come between them."""
    given = [("host", netloc_of(call.url)), ("connection", "close"), *call.headers()]
    given.append(("content-length", str(len(call.body))))
    head = "".join(f"{name}: {value}\r\n" for name, value in given)
    return f"POST {call.target} HTTP/1.1\r\n{head}\r\n".encode() + call.body


@pytest.mark.parametrize("bind", ["dpop", "dpop+body"])
def test_a_call_of_a_bound_key_with_limits_asks_once(counting: Counting, bind: str) -> None:
    call_bound(counting, new_bound_key(counting.guard, bind, **LIMITS))
    assert counting.asked() == {"admit": CALLS}


def test_a_body_that_is_still_to_come_costs_a_trip_of_its_own(counting: Counting) -> None:
    """Until it has come somebody else could use the proof; it takes longer than a trip anyway."""
    call_bound(counting, new_bound_key(counting.guard, **LIMITS), "x" * 200_000)
    assert counting.asked() == {"claim": CALLS, "enter": CALLS}


def test_a_call_of_a_bound_key_without_limits_asks_once(counting: Counting) -> None:
    call_bound(counting, new_bound_key(counting.guard))
    assert counting.asked() == {"claim": CALLS}


def test_a_call_that_is_refused_before_its_limits_are_asked_asks_once(counting: Counting) -> None:
    bound = new_bound_key(counting.guard, **LIMITS, models=["claude-*"])
    call = right_call(counting.guard, bound, CHAT)
    counting.begin()
    assert call.send(counting.guard).code == "model:not_allowed"
    assert call.send(counting.guard).code == "proof:replayed"
    assert counting.asked() == {"claim": 2}


@pytest.mark.parametrize(("wishes", "asked"), [({}, {}), (LIMITS, {"enter": CALLS})])
def test_a_call_without_a_proof_asks_about_limits_alone_and_without_them_nobody(
    counting: Counting, wishes: dict[str, Any], asked: dict[str, int]
) -> None:
    key = new_key(counting.guard, caps=["5.00/day"], **wishes)
    counting.begin()
    for _ in range(CALLS):
        assert post(counting.guard, CHAT, key.text, CHAT.body).status == 200
    assert counting.asked() == asked
