"""Several processes on one machine are one guard: one truth about money, keys, limits and proofs,
whichever of them a caller meets."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from books import billed, ended, underpaid
from caller import NOT_NOW, admin, calling, cap_of, claude, new_key
from crew_guard import LONG, WORKERS, Line, counted, lines_to_all, running_crew, until_so
from guard import GuardProcess, provider_settings
from holder import Holder, claims_for
from standin import StandinProcess

CUT_LIMIT_S = 10.0
"""Promised are two seconds of a machine that is not full of tests; the streams go on for thirty."""
BUSY_S = 3.0


@pytest.fixture(scope="module")
def crew(
    standin: StandinProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GuardProcess]:
    """Four workers, for tests that harm none of them."""
    with running_crew(tmp_path_factory.mktemp("crew"), standin) as guard:
        yield guard


@pytest.mark.req("B-3")
async def test_two_hundred_calls_at_once_over_four_workers_stay_below_a_fresh_cap(
    crew: GuardProcess, standin: StandinProcess
) -> None:
    cap_nusd = 300_000_000
    key_id, key = await new_key(crew, "0.30/day")
    names = [f"fresh-{number}" for number in range(200)]
    async with calling(crew.base_url) as caller:
        told = await asyncio.gather(
            *(
                caller.call(
                    key, claude(stream=False), f"tag={name}", headers={"x-request-id": name}
                )
                for name in names
            )
        )
    passed = [name for name, each in zip(names, told, strict=True) if each.status == 200]
    assert 0 < len(passed) < 200
    assert {each.code for each in told if each.status != 200} <= {"cap:held", "cap:reached"}
    ledger = await ended(crew.folder / "data", *passed)
    bill = billed(line for line in standin.bill()["lines"] if line["tag"] in names)
    assert set(bill) == set(passed), "refused calls were not sent"
    assert sum(bill.values()) <= cap_nusd
    assert underpaid(bill, ledger) == {}
    cap = await cap_of(crew, f"key:{key_id}")
    assert (cap["held"], cap["spent"]) == (0, sum(ledger[name].cost_nusd for name in passed))


@pytest.mark.req("K-1")
async def test_a_key_revoked_at_one_worker_is_dead_at_all_with_their_next_call(
    crew: GuardProcess, standin: StandinProcess
) -> None:
    async with lines_to_all(crew) as lines:
        for number in range(20):
            key_id, key = await new_key(crew)
            name = f"all-{number}"
            for line in lines:
                assert await line.call(key, f"{name}-{line.worker}") == (200, "")
            await admin(crew, "POST", f"/keys/{key_id}/revoke")
            late = f"{name}-late"
            answers = await asyncio.gather(*(line.call_once(key, late) for line in lines))
            assert {code for _, code in answers} <= {"key:invalid", "key:stale_view"}
            answers = await asyncio.gather(*(line.call(key, late) for line in lines))
            assert {status for status, _ in answers} == {401}
    assert not [line for line in standin.bill()["lines"] if str(line["tag"]).endswith("-late")]


@pytest.mark.req("K-1")
async def test_a_key_revoked_at_one_worker_cuts_its_streams_at_all(
    crew: GuardProcess, standin: StandinProcess
) -> None:
    key_id, key = await new_key(crew, "5.00/day")
    began = [asyncio.Event() for _ in range(16)]
    async with calling(crew.base_url) as caller:
        streams = [
            asyncio.create_task(caller.call(key, claude(), LONG, on_piece=event.set))
            for event in began
        ]
        await asyncio.wait_for(asyncio.gather(*(event.wait() for event in began)), 30)
        await admin(crew, "POST", f"/keys/{key_id}/revoke")
        told = await asyncio.wait_for(asyncio.gather(*streams), CUT_LIMIT_S)
    assert {each.events[-1]["error"]["code"] for each in told} == {"key:invalid"}
    crew.wait_until_settled()


async def test_a_keys_rate_is_one_over_all_workers(crew: GuardProcess) -> None:
    """A call that counted and then lost sight of its key is one of the six."""
    async with lines_to_all(crew) as lines:
        _, hurried = await new_key(crew, rpm=6)
        codes: Counter[str] = Counter()
        while codes["rate:exceeded"] < 6:
            number = codes.total()
            line = lines[number % len(lines)]
            codes[(await line.call_once(hurried, f"hurried-{number}"))[1]] += 1
            assert number < 100, codes
    not_now = sum(codes.pop(code, 0) for code in NOT_NOW)
    assert codes.keys() == {"", "rate:exceeded"}
    assert 6 - not_now <= codes[""] <= 6, codes


async def test_calls_of_a_key_that_run_at_once_are_counted_over_all_workers(
    crew: GuardProcess, standin: StandinProcess
) -> None:
    """Two run for three seconds, and meanwhile none of the others is let in. A round in which the
    others were answered too late says nothing."""
    async with lines_to_all(crew) as lines:
        for number in range(10):
            _, busy = await new_key(crew, concurrency=2)
            names = [f"busy-{number}-{line.worker}" for line in lines]
            begun_s, script = time.monotonic(), f"first_ms={BUSY_S * 1_000}"
            slow = [
                asyncio.create_task(line.call(busy, name, script))
                for line, name in zip(lines[:2], names[:2], strict=True)
            ]
            await until_so(lambda names=names: _arrived(standin, names[:2]))
            others = [await line.call_once(busy, "busy-others") for line in lines[2:]]
            is_telling = time.monotonic() - begun_s < BUSY_S
            if is_telling:
                assert {code for _, code in others} <= {"concurrency:exceeded", *NOT_NOW}
                assert not standin.lines("busy-others")
            assert await asyncio.gather(*slow) == [(200, "")] * 2
            if is_telling and {code for _, code in others} == {"concurrency:exceeded"}:
                break
        else:
            pytest.fail("the machine was never quick enough to see it")
        for line in lines:
            await _place_is_free(line, busy)


def _arrived(standin: StandinProcess, names: list[str]) -> bool:
    seen = str(standin.requests())
    return all(name in seen for name in names)


async def _place_is_free(line: Line, key: str) -> None:
    """A place comes free with a word to the keeper that nobody waits for."""
    until = time.monotonic() + 20.0
    while (told := await line.call(key, f"after-{line.worker}")) != (200, ""):
        assert told[1] == "concurrency:exceeded", told
        assert time.monotonic() < until, "places were not given back"
        await asyncio.sleep(0.02)


async def test_money_is_free_at_every_worker_before_the_caller_knows_that_its_call_is_over(
    crew: GuardProcess,
) -> None:
    """The cap has room for one call at a time."""
    _, key = await new_key(crew, "0.036/day")
    async with lines_to_all(crew) as lines:
        for number in range(40):
            line = lines[number % len(lines)]
            assert await line.call(key, f"free-{number}", "output_tokens=1") == (200, "")


async def test_every_worker_answers_every_command_and_shows_the_sum_of_all(
    crew: GuardProcess,
) -> None:
    name, key = await new_key(crew, "5.00/day")
    async with lines_to_all(crew) as lines:
        before = await counted(lines[0])
        for line in lines:
            await line.call(key, f"counted-{line.worker}")
        for line in lines:
            assert await counted(line, before + len(lines)) == before + len(lines)
        assert [await line.get("/readyz") for line in lines] == [(200, b'{"ok":true}')] * 4
    for _ in range(8):
        (cap,) = await admin(crew, "GET", f"/caps?subject=key:{name}")
        assert cap["spent"] > 0
        assert (await admin(crew, "GET", "/doctor?audit=true"))["ok"]
        assert await admin(crew, "GET", "/keys")
        assert await admin(crew, "GET", "/records?limit=5")


async def test_a_pool_of_kept_connections_spreads_over_the_workers(crew: GuardProcess) -> None:
    lines = await asyncio.gather(*(Line(crew).open() for _ in range(64)))
    share = Counter(line.worker for line in lines)
    for line in lines:
        line.close()
    assert len(share) == WORKERS
    assert min(share.values()) >= 2, share


async def test_a_port_that_another_guard_of_workers_has_is_taken(
    crew: GuardProcess, standin: StandinProcess, tmp_path: Path
) -> None:
    settings = provider_settings(standin.base_url) + "\n[server]\nworkers = 2\n"
    other = GuardProcess(tmp_path, settings, {"PROVIDER_KEY": standin.credential})
    port = crew.base_url.rpartition(":")[2]
    done = await asyncio.to_thread(other.run, "serve", "--port", port)
    assert done.returncode == 1
    assert f"port {port} on 127.0.0.1 is taken" in done.stderr


async def test_a_proof_is_good_once_whichever_worker_it_is_shown_to(
    crew: GuardProcess, standin: StandinProcess
) -> None:
    holder = Holder()
    _, key = await new_key(crew, "5.00/day", bind="dpop", thumbprint=holder.thumbprint)
    url = f"{crew.base_url}/v1/messages"
    async with lines_to_all(crew) as lines:
        won = 0
        for number in range(50):
            stale = holder.proof(claims_for("POST", url, credential=key))
            assert (await lines[0].call_once(key, "stale", proof=stale))[0] in (401, 503)
            if not lines[0].nonce:
                continue
            claims = claims_for("POST", url, credential=key, nonce=lines[0].nonce)
            proof = holder.proof(claims)
            tag = f"proved-{number}"
            answers = await asyncio.gather(
                *(line.call_once(key, tag, proof=proof) for line in lines)
            )
            codes = Counter(code for _, code in answers)
            assert codes.keys() <= {"", "proof:replayed", *NOT_NOW}, codes
            assert codes[""] <= 1
            assert codes.keys() & set(NOT_NOW) or codes[""] == 1, codes
            assert len(standin.lines(tag)) <= codes[""]
            won += codes[""]
            if won == 10:
                break
        assert won == 10
