"""The decision by itself: pure, whole, and the only one that refuses for a cap."""

import ast

import pytest

from house.source import SRC, shown, trees
from ledger_world import NOON_MS, ask, cap, exactly
from tokenward.kernel.bound import CostBound
from tokenward.ledger.granting import Denial, Grant, decide
from tokenward.ledger.records import Cap, CapStatus, Unit, Waitable, Window


def status(one: Cap, spent: int = 0, held: int = 0, resets_ms: int | None = NOON_MS) -> CapStatus:
    return CapStatus(
        cap=one, window_start_ms=0, spent=spent, held=held, resets_ms=resets_ms,
        running=1 if held else 0,
    )  # fmt: skip


def granted(answer: Grant | Denial) -> Grant:
    assert isinstance(answer, Grant), answer
    return answer


def denied(answer: Grant | Denial) -> Denial:
    assert isinstance(answer, Denial), answer
    return answer


@pytest.mark.req("F-4")
def test_one_file_of_the_whole_program_refuses_for_a_cap() -> None:
    refusing = set()
    for path, tree in trees(SRC):
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                constants = [n.value for n in node.args if isinstance(n, ast.Constant)]
                is_cap = bool({"cap:reached", "cap:held", "cap:max_call"} & set(constants))
                if is_cap and ("efus" in name or name == "Waitable"):
                    refusing.add(shown(path))
    assert refusing == {"src/tokenward/ledger/granting.py"}


@pytest.mark.req("F-4")
def test_without_caps_the_whole_wish_is_granted() -> None:
    bound = CostBound(1_000, 500, 10, 1, 4_000, choices=2)
    assert granted(decide((), ask(bound))) == Grant(4_001, 8_010, 4_000, is_capped=False)


def test_a_cap_of_requests_alone_does_not_make_a_call_capped() -> None:
    standing = [status(cap("key:k1", "5req/day"))]
    assert not granted(decide(standing, ask(5))).is_capped


def test_a_fixed_output_limit_is_all_or_nothing() -> None:
    standing = [status(cap("key:k1", "0/day", limit=100))]
    assert granted(decide(standing, ask(CostBound(0, 1_000, 0, 100, 100)))).amount_nusd == 100
    assert denied(decide(standing, ask(CostBound(0, 1_000, 0, 101, 101))))


def test_what_the_cap_affords_is_used_to_the_last_unit_and_never_beyond() -> None:
    for left in range(60):
        standing = [status(cap("key:k1", "0/day", limit=left))]
        bound = CostBound(3_700, 900, 0, 1, 50, choices=2)
        answer = decide(standing, ask(bound))
        fitting = [n for n in range(1, 51) if bound.cost_nusd(n) <= left]
        if fitting:
            assert granted(answer).output_tokens == max(fitting)
        else:
            assert denied(answer)


def test_the_cap_that_blocks_longest_is_the_one_that_is_named() -> None:
    full = [
        status(cap("key:k1", "0/hour", limit=1), spent=1, resets_ms=NOON_MS + 1),
        status(cap("project:p1", "0/month", limit=1), spent=1, resets_ms=NOON_MS + 9),
        status(cap("account:a1", "0/day", limit=1), held=1, resets_ms=NOON_MS + 99),
    ]
    answer = denied(decide(full, ask(1)))
    assert answer.refusal.code == "cap:reached"
    assert dict(answer.refusal.facts)["subject"] == "project:p1"
    assert list(answer.reached) == full[:2]
    never = status(cap("account:a1", "0/total", limit=1), spent=1, resets_ms=None)
    assert dict(denied(decide([*full, never], ask(1))).refusal.facts)["window"] == "total"


def test_waiting_is_offered_only_if_every_cap_in_the_way_throttles() -> None:
    waits = status(cap("key:k1", "0/minute", limit=1, throttles=True), spent=1)
    blocks = status(cap("key:k1", "0/day", limit=1), spent=1)
    roomy = status(cap("key:k1", "0/month", limit=100))
    assert isinstance(denied(decide([waits, roomy], ask(1))).refusal, Waitable)
    assert not isinstance(denied(decide([waits, blocks], ask(1))).refusal, Waitable)


@pytest.mark.parametrize(
    ("one", "spent", "held", "text"),
    [
        (
            cap("key:4FqA", "20.00/day"), 19_710_000_000, 0,
            ("Key tw_sk_4FqA… reached its daily cap of $20.00 (spent $19.71, held nothing); this "
            "call needs $30.00. Resets 12:00 UTC, or raise it: "
            "tokenward cap set key:4FqA 25.00/day"),
        ),
        (
            cap("project:bot", "1000tok/month", model="o*", zone="Europe/Berlin"), 990, 5,
            ("Project bot reached its monthly cap of 1,000 tokens on o* (spent 990 tokens, held 5 "
            "tokens by 1 running call); this call needs 2,000 tokens. Resets 2026-01-15 13:00 "
            "Europe/Berlin, or raise it: tokenward cap set project:bot 1250tok/month --model 'o*'"),
        ),
        (
            cap("account:acme", "1req/minute"), 1, 0,
            ("Account acme reached its minute cap of 1 request (spent 1 request, held nothing); "
            "this call needs 1 request. Resets 12:00 UTC, or raise it: "
            "tokenward cap set account:acme 2req/minute"),
        ),
        (
            cap("account:acme", "50.00/total", id="credit:acme"), 50_000_000_000, 0,
            ("Account acme reached its prepaid credit of $50.00 (spent $50.00, held nothing); this "
            "call needs $30.00. Add more: tokenward credit add acme 50.00"),
        ),
    ],
)  # fmt: skip
@pytest.mark.req("F-2")
def test_a_refusal_reads_like_a_sentence_and_says_what_to_do(
    one: Cap, spent: int, held: int, text: str
) -> None:
    wish = ask(exactly(30_000_000_000, tokens=2_000))
    assert denied(decide([status(one, spent, held)], wish)).refusal.message == text


@pytest.mark.parametrize("unit", list(Unit))
@pytest.mark.parametrize("window", list(Window))
def test_every_cap_can_be_named(unit: Unit, window: Window) -> None:
    one = cap("key:k1", "0/day", limit=0, unit=unit, window=window)
    refusal = denied(decide([status(one)], ask(exactly(5, tokens=5)))).refusal
    assert "cap of" in refusal.message
    held = cap("key:k1", "0/day", limit=9, unit=unit, window=window)
    refusal = denied(decide([status(held, held=9)], ask(exactly(5, tokens=5)))).refusal
    assert (refusal.code, refusal.retry_after_s) == ("cap:held", 5)
    assert "Try again" in refusal.message
