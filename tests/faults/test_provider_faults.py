"""Whatever a provider does, the caller is never told that a broken answer is whole, and the ledger
never says less than the bill may."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from books import Booked, ended
from caller import SHAPES, Shape, Told, calling, chat, claude, new_key
from guard import GuardProcess, provider_settings, running_guard
from standin import StandinProcess, running_standin

STREAMS = [name for name in SHAPES if "document" not in name]
OUTPUT = "chunks=6; output_tokens=300"


async def play(guard: GuardProcess, shape: Shape, script: str, name: str) -> tuple[Told, Booked]:
    """One call with a key of its own, and how it was booked."""
    name = name.replace(" ", "-")
    _, key = await new_key(guard, "5.00/day")
    async with calling(guard.base_url) as caller:
        told = await caller.call(
            key, shape, f"{script}; tag={name}", headers={"x-request-id": name}
        )
    return told, (await ended(guard.folder / "data", name))[name]


@pytest.mark.req("M-5")
@pytest.mark.parametrize("script", ["usage=none", "usage=none; reasoning=400"])
@pytest.mark.parametrize("kind", SHAPES)
async def test_an_answer_without_usage_costs_the_whole_hold_and_says_that_it_is_an_estimate(
    guard: GuardProcess, standin: StandinProcess, kind: str, script: str
) -> None:
    name = f"no-usage-{kind}-{len(script)}"
    told, ledger = await play(guard, SHAPES[kind], f"{OUTPUT}; {script}", name)
    assert (told.status, told.is_whole) == (200, True)
    assert ledger.is_estimate
    assert ledger.cost_nusd == ledger.held_nusd
    line = standin.line(name.replace(" ", "-"))
    assert 0 < line["cost_nusd"] <= ledger.cost_nusd


@pytest.mark.req("M-1")
@pytest.mark.parametrize("kind", SHAPES)
async def test_a_whole_answer_costs_to_the_nano_dollar_what_the_provider_bills(
    guard: GuardProcess, standin: StandinProcess, kind: str
) -> None:
    name = f"whole-{kind}"
    script = f"{OUTPUT}; reasoning=100; cached=50; input_tokens=80"
    _, ledger = await play(guard, SHAPES[kind], script, name)
    assert not ledger.is_estimate
    line = standin.line(name.replace(" ", "-"))
    assert ledger.cost_nusd == line["cost_nusd"]


@pytest.mark.req("M-10")
@pytest.mark.parametrize("stream", [True, False])
async def test_a_dearer_tier_than_asked_for_is_priced_as_served(
    guard: GuardProcess, standin: StandinProcess, stream: bool
) -> None:
    costs = {}
    for tier in ("", "priority", "flex"):
        name = f"tier-{tier}-{stream}"
        script = f"{OUTPUT}; tier={tier}" if tier else OUTPUT
        _, ledger = await play(guard, chat(stream=stream), script, name)
        line = standin.line(name)
        assert (ledger.cost_nusd, ledger.overrun_nusd) == (line["cost_nusd"], 0)
        costs[tier] = ledger.cost_nusd
    assert costs["flex"] < costs[""] < costs["priority"]


@pytest.mark.req("M-11")
@pytest.mark.parametrize("status", [400, 401, 429, 500, 503, 529])
@pytest.mark.parametrize("kind", ["openai stream", "anthropic document", "gemini array"])
async def test_an_error_before_the_first_byte_is_passed_on_and_costs_nothing(
    guard: GuardProcess, standin: StandinProcess, kind: str, status: int
) -> None:
    name = f"status-{status}-{kind}"
    told, ledger = await play(guard, SHAPES[kind], f"status={status}", name)
    assert told.status == status
    assert told.is_whole
    assert (ledger.end, ledger.cost_nusd) == ("void", 0)
    assert standin.lines(name.replace(" ", "-")) == []


@pytest.mark.req("M-11")
@pytest.mark.parametrize("fault", ["error@0", "error@2", "garbage@2", "close@2", "reset@2"])
@pytest.mark.parametrize("kind", STREAMS)
async def test_a_stream_that_breaks_on_the_way_is_charged_and_never_looks_whole(
    guard: GuardProcess, standin: StandinProcess, kind: str, fault: str
) -> None:
    name = f"mid-{fault.replace('@', '-')}-{kind}"
    told, ledger = await play(guard, SHAPES[kind], f"{OUTPUT}; fail={fault}", name)
    assert (ledger.end, ledger.cost_nusd) == ("settle", ledger.held_nusd)
    line = standin.line(name.replace(" ", "-"))
    assert line["cost_nusd"] <= ledger.cost_nusd
    assert told.status == 200
    for ending in (b"[DONE]", b"message_stop", b'"finishReason"', b'"finish_reason":"stop"'):
        assert ending not in told.body
    if kind == "gemini array":
        assert not told.body.rstrip().endswith(b"]") or b'"error"' in told.body
    if fault == "reset@2":
        assert not told.is_whole or "provider:no_answer" in str(told.events[-1]["error"])


@pytest.mark.parametrize("kind", SHAPES)
async def test_a_reset_before_the_head_is_told_as_502_and_charged_in_full(
    guard: GuardProcess, standin: StandinProcess, kind: str
) -> None:
    told, ledger = await play(guard, SHAPES[kind], f"{OUTPUT}; fail=reset@0", f"early-{kind}")
    assert (told.status, told.code) == (502, "provider:no_answer")
    assert told.headers["x-should-retry"] == "false", "an SDK must not pay twice on its own"
    assert (ledger.end, ledger.cost_nusd) == ("settle", ledger.held_nusd)
    assert standin.line(f"early-{kind}".replace(" ", "-")), "it was sent, and once"


@pytest.mark.parametrize("fault", ["reset@1", "garbage@1", "close@1"])
@pytest.mark.parametrize("kind", [name for name in SHAPES if "document" in name])
async def test_a_document_that_breaks_is_charged_in_full_and_never_completed(
    guard: GuardProcess, standin: StandinProcess, kind: str, fault: str
) -> None:
    name = f"torn-{fault.replace('@', '-')}-{kind}"
    told, ledger = await play(guard, SHAPES[kind], f"{OUTPUT}; fail={fault}", name)
    assert (ledger.end, ledger.cost_nusd) == ("settle", ledger.held_nusd)
    line = standin.line(name.replace(" ", "-"))
    assert line["cost_nusd"] <= ledger.cost_nusd
    assert not told.is_whole or told.error == {}, "half a document is no document"


@pytest.mark.parametrize("script", ["chunks=1; huge=40000000", "chunks=2000; huge=40000000"])
@pytest.mark.parametrize("kind", SHAPES)
async def test_a_huge_answer_passes_whole_and_is_never_booked_below_the_bill(
    guard: GuardProcess, standin: StandinProcess, kind: str, script: str
) -> None:
    """One event or document of 40 MB is more than the meter reads: then the whole hold is due."""
    name = f"huge-{kind}-{len(script)}".replace(" ", "-")
    told, ledger = await play(guard, SHAPES[kind], script, name)
    assert told.is_whole
    assert len(told.body) > 40_000_000
    line = standin.line(name)
    assert line["cost_nusd"] <= ledger.cost_nusd <= ledger.held_nusd


@pytest.mark.req("S-6")
async def test_a_redirect_is_not_followed_and_does_not_lead_the_caller_astray(
    guard: GuardProcess, standin: StandinProcess
) -> None:
    """An SDK would follow it with the key in its `x-api-key` header."""
    script = f"redirect={standin.base_url}/v1/elsewhere"
    told, ledger = await play(guard, claude(), script, "astray")
    assert told.status == 302
    assert "location" not in told.headers
    assert not any(r["path"] == "/v1/elsewhere" for r in standin.requests(last=20))
    assert ledger.end in ("settle", "void")


async def test_a_provider_that_thinks_long_before_its_head_is_waited_for(
    guard: GuardProcess, standin: StandinProcess
) -> None:
    told, ledger = await play(guard, claude(), f"{OUTPUT}; first_ms=1500", "slow-head")
    assert told.is_whole
    assert ledger.cost_nusd == standin.line("slow-head")["cost_nusd"]


@pytest.fixture(scope="module")
def lonely(
    standin: StandinProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[GuardProcess, int]]:
    """A guard before a port where nobody listens, and the port."""
    with socket.socket() as taken:
        # Kept, so that no server of another test gets it; whoever asks for it by number still does.
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        settings = provider_settings(f"http://127.0.0.1:{port}")
        environ = {"PROVIDER_KEY": standin.credential}
        with running_guard(tmp_path_factory.mktemp("lonely"), settings, environ) as guard:
            yield guard, port


@pytest.mark.parametrize("kind", SHAPES)
async def test_a_provider_that_is_down_is_503_and_costs_nothing(
    lonely: tuple[GuardProcess, int], kind: str
) -> None:
    told, ledger = await play(lonely[0], SHAPES[kind], OUTPUT, f"down-{kind}")
    assert (told.status, told.code) == (503, "provider:unavailable")
    assert told.headers["x-should-retry"] == "true"
    assert (ledger.end, ledger.cost_nusd) == ("void", 0)


async def test_a_provider_that_comes_back_is_used_again_without_a_restart(
    lonely: tuple[GuardProcess, int], tmp_path: Path
) -> None:
    guard, port = lonely
    told, _ = await play(guard, claude(), OUTPUT, "away")
    assert told.status == 503
    with running_standin(tmp_path, port=port):
        told, ledger = await play(guard, claude(), OUTPUT, "back")
        assert (told.status, told.is_whole) == (200, True)
        assert (ledger.end, ledger.is_estimate) == ("settle", False)
    told, ledger = await play(guard, claude(), OUTPUT, "away-again")
    assert (told.status, ledger.cost_nusd) == (503, 0)
