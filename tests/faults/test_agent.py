"""What goes wrong around `tokenward agent`: it dies, the guard is away, the clock is wrong, others
try to use it. No call is repeated that may have been sent, none costs what nobody asked for."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from pathlib import Path

import aiohttp
import pytest

from agent import AgentProcess, enrolled_agent
from books import billed, ended, underpaid
from caller import Told, calling, chat, claude, gemini
from guard import GuardProcess, provider_settings, running_guard
from standin import StandinProcess
from tokenward.client import enrol
from tokenward.client.agent import AgentServer, SignedLink
from tokenward.kernel.secret import Secret
from unit.http.raw_sockets import say

SHAPES = {"openai": chat(), "anthropic": claude(), "gemini": gemini()}
BOUND = ("--bind", "dpop", "--cap", "5.00/day")
LONG = "chunks=40; gap_ms=100"


@pytest.fixture(scope="module")
def agent(guard: GuardProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    """One that several tests use and none ends."""
    with enrolled_agent(guard, tmp_path_factory.mktemp("agent"), *BOUND) as running:
        yield running


async def in_mid_stream(agent: AgentProcess, name: str, script: str = LONG) -> "asyncio.Task[Told]":
    """A call whose stream is under way when this returns."""
    began = asyncio.Event()

    async def call() -> Told:
        async with calling(agent.base_url) as caller:
            return await caller.call(
                agent.token,
                claude(),
                f"tag={name}; {LONG}",
                headers={"x-request-id": name},
                on_piece=began.set,
            )

    task = asyncio.create_task(call())
    await asyncio.wait_for(began.wait(), 30)
    return task


async def one_call(agent: AgentProcess, name: str, script: str = "output_tokens=9") -> Told:
    """A call of a few tokens."""
    async with calling(agent.base_url) as caller:
        headers = {"x-request-id": name}
        return await caller.call(agent.token, chat(), f"tag={name}; {script}", headers=headers)


async def settled(guard: GuardProcess, standin: StandinProcess, name: str) -> None:
    """The guard booked the call and not less than what the provider bills."""
    line = await asyncio.to_thread(standin.line, name)
    ledger = await ended(guard.folder / "data", name)
    assert ledger[name].end == "settle"
    assert underpaid(billed([line]), ledger) == {}


@pytest.mark.req("M-4")
async def test_an_agent_killed_in_mid_stream_leaves_nothing_open_and_starts_again_as_it_was(
    guard: GuardProcess, standin: StandinProcess, tmp_path: Path
) -> None:
    with enrolled_agent(guard, tmp_path, *BOUND) as agent:
        before, token = agent.ready, agent.token
        running = await in_mid_stream(agent, "agent-killed")
        assert agent.stop(signal.SIGKILL) == -signal.SIGKILL
        told = await running
        assert not told.is_whole
        await settled(guard, standin, "agent-killed")
        agent.start(port=int(before["url"].rpartition(":")[2]))
        assert (agent.ready, agent.token) == (before, token)
        assert (await one_call(agent, "agent-again")).is_whole
        await settled(guard, standin, "agent-again")


@pytest.mark.req("M-4")
@pytest.mark.parametrize("leaves", ["in mid-stream", "before the head"])
async def test_a_tool_that_hangs_up_hangs_up_on_the_guard_which_settles(
    agent: AgentProcess, guard: GuardProcess, standin: StandinProcess, leaves: str
) -> None:
    name, is_early = f"agent-left-{len(leaves)}", leaves == "before the head"
    async with calling(agent.base_url) as caller:
        told = await caller.call(
            agent.token,
            claude(),
            f"tag={name}; {LONG}" + ("; first_ms=2000" if is_early else ""),
            leave_at=None if is_early else 2,
            leave_when=standin.has_seen(name) if is_early else None,
            headers={"x-request-id": name},
        )
    assert told.left
    await settled(guard, standin, name)


async def test_a_stopped_agent_ends_its_calls_or_on_a_second_signal_cuts_them_and_exits_well(
    guard: GuardProcess, standin: StandinProcess, tmp_path: Path
) -> None:
    with enrolled_agent(guard, tmp_path, *BOUND) as agent:
        running = asyncio.create_task(
            one_call(agent, "agent-stopped", "chunks=8; gap_ms=150; output_tokens=9")
        )
        while "agent-stopped" not in str(await asyncio.to_thread(standin.requests)):
            await asyncio.sleep(0.05)
        assert await asyncio.to_thread(agent.stop) == 0
        assert (await running).is_whole
        agent.start()
        running = await in_mid_stream(agent, "agent-interrupted")
        assert await asyncio.to_thread(agent.stop, signal.SIGTERM, signal.SIGINT) == 0
        assert not (await running).is_whole
        await settled(guard, standin, "agent-interrupted")
        assert agent.log() == ""


async def test_a_guard_that_is_away_is_said_in_every_dialect_and_its_return_is_enough(
    standin: StandinProcess, tmp_path: Path
) -> None:
    settings = provider_settings(standin.base_url) + "\n[server]\ndrain_s = 1\n"
    environ = {"PROVIDER_KEY": standin.credential}
    with (
        running_guard(tmp_path / "g", settings, environ) as guard,
        enrolled_agent(guard, tmp_path / "a", *BOUND) as agent,
    ):
        assert (await one_call(agent, "agent-before")).is_whole
        running = await in_mid_stream(agent, "agent-cut")
        port = int(guard.base_url.rpartition(":")[2])
        await asyncio.to_thread(guard.kill)
        assert not (await running).is_whole
        for dialect, shape in SHAPES.items():
            async with calling(agent.base_url, tries_again=False) as caller:
                told = await caller.call(agent.token, shape)
            assert (told.status, told.code) == (503, "agent:guard_unreachable"), dialect
            assert told.headers["x-should-retry"] == "true"
        await asyncio.to_thread(guard.start, port)
        assert (await one_call(agent, "agent-after")).is_whole
        await settled(guard, standin, "agent-after")
        assert agent.log().count("\n") == 2, "gone once, back once"


@contextlib.asynccontextmanager
async def wrong_clock_agent(
    guard: GuardProcess, ahead_s: float, warnings: list[str]
) -> AsyncIterator[str]:
    """An agent on a machine whose clock is wrong, from its enrolment on; its URL."""

    def now_s() -> float:
        return time.time() + ahead_s

    made = guard.cli("key", "create", "--project", "tests", *BOUND)
    holder = await asyncio.to_thread(enrol, guard.base_url, made["enrolment_code"], now_s=now_s)
    link = SignedLink(holder, now_s=now_s, warn=warnings.append)
    server = AgentServer(link, Secret("tw_la_test", "local token"), "localhost", 0, warnings.append)
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(server.serve(ready.set_result))
    try:
        yield await ready
    finally:
        server.stop()
        await serving


@pytest.mark.parametrize("ahead_s", [7200.0, -7200.0, 20.0, -30.0])
async def test_a_wrong_clock_is_put_right_by_the_guards_without_anybody_acting(
    guard: GuardProcess,
    standin: StandinProcess,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ahead_s: float,
) -> None:
    monkeypatch.setenv("TOKENWARD_HOLDER_FILE", str(tmp_path / "holder.json"))
    warnings: list[str] = []
    async with (
        wrong_clock_agent(guard, ahead_s, warnings) as base_url,
        calling(base_url) as caller,
    ):
        for number in range(2):
            headers = {"x-request-id": f"agent-clock-{ahead_s:.0f}-{number}"}
            told = await caller.call("tw_la_test", chat(), headers=headers)
            assert told.is_whole
            assert told.status == 200, told.body
    is_refused = not -60 < ahead_s < 5  # what a guard takes as it is
    assert len(warnings) == is_refused
    assert not is_refused or "set this machine's clock" in warnings[0]


def test_what_the_agent_keeps_is_closed_to_other_users(agent: AgentProcess) -> None:
    holders = agent.home / "holders"
    assert holders.stat().st_mode & 0o777 == 0o700
    kept = {path.name: path.stat().st_mode & 0o777 for path in holders.iterdir()}
    assert kept == {"default.json": 0o600, "default.token": 0o600}
    assert {path.stat().st_uid for path in holders.iterdir()} == {os.geteuid()}


@pytest.mark.parametrize("name", ["default.json", "default.token"])
def test_an_agent_whose_files_others_can_read_does_not_start(
    guard: GuardProcess, tmp_path: Path, name: str
) -> None:
    with enrolled_agent(guard, tmp_path) as agent:
        assert agent.stop() == 0
        (tmp_path / "holders" / name).chmod(0o644)
        done = agent.run()
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "Others on this machine may read" in done.stderr


async def test_a_wrong_local_token_is_refused_and_nothing_of_the_request_is_forwarded(
    agent: AgentProcess, guard: GuardProcess, standin: StandinProcess
) -> None:
    name = "agent-wrong-token"
    for shape in SHAPES.values():
        async with calling(agent.base_url) as caller:
            told = await caller.call(
                agent.token[:-1] + "-", shape, f"tag={name}", headers={"x-request-id": name}
            )
        assert (told.status, told.code) == (401, "agent:token")
    records = await asyncio.to_thread(guard.cli, "records", "--limit", "1000")
    assert name not in str(records)
    assert standin.lines(name) == []


@pytest.mark.req("S-2")
@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("Host: tokens.evil.test", "agent:host"),
        ("Host: 127.0.0.1:{port}\r\nOrigin: https://evil.test", "agent:browser"),
    ],
)
async def test_a_page_in_a_browser_cannot_spend_even_with_the_token(
    agent: AgentProcess, line: str, code: str
) -> None:
    head = f"POST /v1/chat/completions HTTP/1.1\r\n{line.format(port=agent.port)}\r\n"
    head += f"Authorization: Bearer {agent.token}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"
    answer = await say(agent.port, head.encode() + b"{}")
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert code.encode() in answer
    assert b"access-control" not in answer.lower()


async def test_a_body_as_large_as_the_guard_takes_passes_and_a_larger_one_is_refused(
    guard: GuardProcess, standin: StandinProcess, tmp_path: Path
) -> None:
    name = "agent-large"
    body = b'{"model":"gpt-5-mini","messages":[{"role":"user","content":"hi"}]}'
    with enrolled_agent(guard, tmp_path, "--bind", "dpop+body") as agent:
        headers = {
            "authorization": f"Bearer {agent.token}",
            "x-standin": f"tag={name}",
            "content-type": "application/json",
        }
        async with aiohttp.ClientSession(agent.base_url, headers=headers) as session:
            path = "/v1/chat/completions"
            async with session.post(path, data=BytesIO(body.ljust(32_000_000))) as answer:
                assert answer.status == 200, await answer.text()
            async with session.post(path, data=BytesIO(body.ljust(32_000_001))) as answer:
                assert answer.status == 413
                assert (await answer.json())["error"]["code"] == "agent:body_too_large"
        assert (await asyncio.to_thread(standin.line, name))["status"] == 200


def test_an_agent_that_cannot_listen_or_is_for_another_guard_says_so_in_one_line(
    agent: AgentProcess,
) -> None:
    for words, said in (
        (("--port", str(agent.port)), "is taken"),
        (("--host", "0.0.0.0"), "this machine only"),
        (("--guard", "https://elsewhere.test"), "was enrolled at"),
        (("--name", "nobody"), "--enrol"),
    ):
        done = agent.run(*words)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.count("\n") == 1
        assert said in done.stderr


def test_nothing_that_an_agent_prints_holds_a_secret(agent: AgentProcess) -> None:
    kept = (agent.home / "holders" / "default.json").read_text()
    shown = str(agent.ready) + agent.log()
    assert agent.token not in shown
    assert "tw_sk_" in kept
    assert "tw_sk_" not in shown
    assert "tw_ec_" not in shown
