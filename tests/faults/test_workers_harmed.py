"""Workers and their keeper are killed, stopped and told to end: no money is forgotten or held for
ever, and nobody acts on what may be out of date."""

import asyncio
import json
import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from books import billed, booked, underpaid
from caller import NOT_NOW_S, Caller, Told, admin, calling, cap_of, claude, new_key
from crew_guard import (
    LONG,
    NOTICED_S,
    Line,
    admin_at,
    counted,
    is_alive,
    lines_to_all,
    running_crew,
    until_so,
    workers_of,
)
from guard import GuardProcess, provider_settings
from standin import StandinProcess

IMPATIENT = {"TOKENWARD_LEDGER__COMMIT_LIMIT_S": "0.75"}
STREAM_S = 30.0
"""How long a stream of `LONG` goes on, and a call with it that nobody cuts."""


@pytest.mark.slow
@pytest.mark.req("F-1", "O-1")
async def test_a_worker_killed_under_load_leaves_no_money_held_and_comes_back(
    standin: StandinProcess, tmp_path: Path
) -> None:
    standin.reset()
    with running_crew(tmp_path, standin, workers=2) as guard:
        key_id, key = await new_key(guard, "50.00/day")
        names: list[str] = []
        passed = 0
        is_over = False

        async def call_on(caller: Caller) -> None:
            nonlocal passed
            while not is_over:
                name = f"storm-{len(names)}"
                names.append(name)
                told = await caller.call(
                    key, claude(), f"chunks=5; gap_ms=10; tag={name}",
                    headers={"x-request-id": name},
                )  # fmt: skip
                passed += told.is_whole

        async with calling(guard.base_url) as caller:
            callers = [asyncio.create_task(call_on(caller)) for _ in range(20)]
            for _ in range(4):
                enough = passed + 40
                await until_so(lambda enough=enough: passed >= enough, 60.0)
                await _kill_one_and_wait(guard)
            is_over = True
            await asyncio.gather(*callers)
        guard.wait_until_settled()
        ledger = booked(guard.folder / "data")
        mine = {name: ledger[name] for name in names if name in ledger}
        assert all(each.end for each in mine.values())
        ends = Counter(each.end for each in mine.values())
        assert ends["expire"] > 0
        assert ends["settle"] > 0
        seen = {dict(request["headers"])["x-request-id"] for request in standin.requests(last=9000)}
        assert seen & set(names) <= set(mine), "a call was sent without a hold"
        standin.bill_when(lambda bill: seen & set(names) <= {e["tag"] for e in bill["lines"]})
        bill = billed(line for line in standin.bill()["lines"] if line["tag"] in mine)
        assert underpaid(bill, ledger) == {}
        cap = await cap_of(guard, f"key:{key_id}")
        assert (cap["held"], cap["spent"]) == (0, sum(each.cost_nusd for each in mine.values()))
        assert (await admin(guard, "GET", "/doctor?audit=true"))["ok"]
        assert guard.log().count("ended with status -9") == 4
        async with lines_to_all(guard) as lines:
            for line in lines:
                assert await line.call(key, f"afterwards-{line.worker}") == (200, "")


async def _kill_one_and_wait(guard: GuardProcess) -> None:
    """The one killed is buried, and another one lives in its place."""
    victim = workers_of(guard)[0]
    os.kill(victim, signal.SIGKILL)
    await until_so(lambda: victim not in (left := workers_of(guard)) and len(left) == 2)


@pytest.mark.req("K-1", "K-2")
async def test_a_worker_that_was_stopped_while_a_key_was_revoked_forwards_nothing_afterwards(
    standin: StandinProcess, tmp_path: Path
) -> None:
    with running_crew(tmp_path, standin, workers=2) as guard:
        async with lines_to_all(guard) as lines:
            stopped = lines[0]
            for number in range(5):
                key_id, key = await new_key(guard)
                assert await stopped.call(key, f"before-{number}") == (200, "")
                late = asyncio.create_task(stopped.call_once(key, f"late-{number}"))
                os.kill(stopped.worker, signal.SIGSTOP)
                try:
                    await admin_at(lines[1], guard, f"/keys/{key_id}/revoke")
                    await asyncio.sleep(0.3 * number)
                finally:
                    os.kill(stopped.worker, signal.SIGCONT)
                if (answer := await late) not in NOT_FORWARDED:
                    assert answer == (200, ""), "it went out before the worker was stopped"
                else:
                    assert not standin.lines(f"late-{number}")
                await _is_dead(stopped, key, standin, f"later-{number}")


NOT_FORWARDED = {(401, "key:invalid"), (503, "key:stale_view")}


async def _is_dead(line: Line, key: str, standin: StandinProcess, tag: str) -> None:
    """The worker soon says so; until it can know, it says that it cannot. Nothing is forwarded."""
    until = time.monotonic() + NOTICED_S
    while (answer := await line.call_once(key, tag)) != (401, "key:invalid"):
        assert answer in NOT_FORWARDED
        assert time.monotonic() < until, "it never learns of the revocation"
        await asyncio.sleep(NOT_NOW_S)
    assert not any(tag in str(request["headers"]) for request in standin.requests())


@pytest.mark.req("K-2")
async def test_workers_refuse_while_the_keeper_hangs_and_go_on_when_it_is_back(
    standin: StandinProcess, tmp_path: Path
) -> None:
    with running_crew(tmp_path, standin, workers=2) as guard:
        _, key = await new_key(guard, "5.00/day")
        async with lines_to_all(guard) as lines:
            os.kill(guard.pid, signal.SIGSTOP)
            try:
                await asyncio.sleep(1.0)
                for line in lines:
                    status, code = await line.call_once(key, "hanging")
                    assert (status, code) == (503, "key:stale_view")
                    status, body = await line.get("/readyz")
                    assert (status, json.loads(body)["ok"]) == (503, False)
                    assert (await line.get("/healthz"))[0] == 200
            finally:
                os.kill(guard.pid, signal.SIGCONT)
            for line in lines:
                assert await line.call(key, f"back-{line.worker}") == (200, "")
        assert not standin.lines("hanging")
        guard.wait_until_settled()


async def test_calls_that_wait_for_a_keeper_that_hangs_are_told_so_within_the_limit(
    standin: StandinProcess, tmp_path: Path
) -> None:
    """They were let in while the view was fresh; what the keeper does for them later is undone."""
    with running_crew(tmp_path, standin, workers=2, environ=IMPATIENT) as guard:
        _, key = await new_key(guard, "5.00/day")
        async with lines_to_all(guard) as lines:
            for line in lines:
                await line.call(key, f"warm-{line.worker}")
            os.kill(guard.pid, signal.SIGSTOP)
            try:
                answers = await asyncio.wait_for(
                    asyncio.gather(
                        *(line.call_once(key, f"caught-{n}") for n, line in enumerate(lines))
                    ),
                    NOTICED_S,
                )
            finally:
                os.kill(guard.pid, signal.SIGCONT)
        assert {answer[0] for answer in answers} == {503}
        guard.wait_until_settled()
        for name in ("caught-0", "caught-1"):
            assert not standin.lines(name)
            each = booked(guard.folder / "data").get(name)
            assert each is None or each.end == "void"


@pytest.mark.req("F-1")
async def test_workers_end_soon_after_their_keeper_was_killed_and_the_next_guard_charges_in_full(
    standin: StandinProcess, tmp_path: Path
) -> None:
    with running_crew(tmp_path, standin, workers=2) as guard:
        _, key = await new_key(guard, "5.00/day")
        began = asyncio.Event()
        async with calling(guard.base_url) as caller:
            running = asyncio.create_task(
                caller.call(
                    key, claude(), f"{LONG}; tag=orphan",
                    headers={"x-request-id": "orphan"}, on_piece=began.set,
                )
            )  # fmt: skip
            await asyncio.wait_for(began.wait(), 30)
            children = workers_of(guard)
            guard.kill()
            told: Told = await asyncio.wait_for(running, STREAM_S / 2)
            assert told.events[-1]["error"]["code"] == "guard:stopping"
        await until_so(lambda: not any(is_alive(pid) for pid in children))
        guard.start(int(guard.base_url.rpartition(":")[2]))
        ledger = booked(guard.folder / "data")["orphan"]
        assert (ledger.end, ledger.cost_nusd) == ("expire", ledger.held_nusd)


@pytest.mark.req("M-7")
async def test_streams_that_end_in_time_are_finished_before_all_workers_stop_and_longer_ones_cut(
    standin: StandinProcess, tmp_path: Path
) -> None:
    patient = "drain_s = 5\n"
    with running_crew(tmp_path, standin, workers=2, settings=patient) as guard:
        _, key = await new_key(guard, "5.00/day")
        scripts = {f"drained-{n}": "chunks=12; gap_ms=60" for n in range(6)} | {
            f"long-{n}": LONG for n in range(6)
        }
        began = {name: asyncio.Event() for name in scripts}
        async with calling(guard.base_url) as caller:
            calls = [
                asyncio.create_task(
                    caller.call(
                        key, claude(), f"{script}; tag={name}",
                        headers={"x-request-id": name}, on_piece=began[name].set,
                    )
                )
                for name, script in scripts.items()
            ]  # fmt: skip
            await asyncio.wait_for(asyncio.gather(*(each.wait() for each in began.values())), 30)
            assert await asyncio.to_thread(guard.stop) == 0
            told = await asyncio.gather(*calls)
        for name, each in zip(scripts, told, strict=True):
            if name.startswith("drained"):
                assert each.events[-1] == {"type": "message_stop"}
            else:
                assert each.events[-1]["error"]["code"] == "guard:stopping"
        ledger = booked(guard.folder / "data")
        assert {ledger[name].end for name in scripts} == {"settle"}
        bill = billed(line for line in standin.bill()["lines"] if line["tag"] in scripts)
        assert underpaid(bill, ledger) == {}
        assert guard.cli("doctor", "--audit")["ok"]


async def test_a_guard_whose_workers_cannot_start_says_why_and_ends(
    standin: StandinProcess, tmp_path: Path
) -> None:
    settings = provider_settings(standin.base_url) + "\n[server]\nworkers = 2\n"
    guard = GuardProcess(tmp_path, settings, {"PROVIDER_KEY": ""})
    done = await asyncio.to_thread(guard.run, "--json", "serve", "--port", "0")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "PROVIDER_KEY" in json.loads(done.stderr.splitlines()[-1])["error"]["message"]


async def test_a_reader_of_metrics_is_answered_also_when_a_worker_hangs(
    standin: StandinProcess, tmp_path: Path
) -> None:
    with running_crew(tmp_path, standin, workers=2) as guard:
        _, key = await new_key(guard, "5.00/day")
        async with lines_to_all(guard) as lines:
            for line in lines:
                assert await line.call(key, f"hung-{line.worker}") == (200, "")
            assert await counted(lines[1], 2) == 2
            os.kill(lines[0].worker, signal.SIGSTOP)
            try:
                assert await counted(lines[1]) == 2
            finally:
                os.kill(lines[0].worker, signal.SIGCONT)
            victim = lines[0].worker
            os.kill(victim, signal.SIGKILL)
            await until_so(lambda: victim not in (left := workers_of(guard)) and len(left) == 2)
            assert await counted(lines[1]) == 2, "counts never go back"


@pytest.mark.slow
async def test_a_guard_whose_workers_die_again_and_again_says_so_and_ends(
    standin: StandinProcess, tmp_path: Path
) -> None:
    credential = tmp_path / "credential"
    credential.write_text(standin.credential, "ascii")
    credential.chmod(0o600)
    settings = provider_settings(standin.base_url).replace("env:PROVIDER_KEY", "file:credential")
    guard = GuardProcess(tmp_path, settings + "\n[server]\nworkers = 2\n", {})
    guard.start()
    credential.unlink()
    for pid in workers_of(guard):
        os.kill(pid, signal.SIGKILL)
    await until_so(lambda: not guard.is_running, 60.0)
    assert guard.stop() == 1
    log = guard.log()
    assert "another one starts in" in log
    assert "workers end as soon as they start" in log
