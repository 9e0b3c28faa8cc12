"""Streams pass as they come: the same bytes, at the provider's pace, at the caller's pace."""

import asyncio
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import aiohttp
import pytest

from books import billed, ended, underpaid
from caller import Shape, Told, calling, cap_of, chat, claude, gemini, new_key
from guard import GuardProcess, provider_settings, running_guard
from standin import StandinProcess
from stepwise import running_stepwise

STREAMS = {
    "openai": chat(),
    "anthropic": claude(),
    "gemini": gemini(),
    "gemini array": gemini(verb="streamGenerateContent"),
}
DOCUMENTS = {
    "openai": chat(stream=False),
    "anthropic": claude(stream=False),
    "gemini": gemini(verb="generateContent"),
}
_CONTENT = re.compile(rb'"delta":\{"content"|"text_delta"|"parts":\[\{"text":"[^"]')
_END = re.compile(rb"\r?\n\r?\n|,\r\n")
_VARYING = re.compile(rb'(chatcmpl-|msg_|standin|gen-)[0-9a-f]+|"created":\d+')


def steady(body: bytes) -> bytes:
    """The body without what differs from call to call: ids and times."""
    return _VARYING.sub(b"*", body)


async def both(
    guard: GuardProcess, standin: StandinProcess, shape: Shape, script: str, key: str, name: str
) -> tuple[Told, Told]:
    """The same call straight to the provider and through the guard."""
    async with calling(standin.base_url) as direct, calling(guard.base_url) as through:
        told = await direct.call(standin.credential, shape, f"{script}; tag={name}-direct")
        headers = {"x-request-id": name}
        return told, await through.call(key, shape, f"{script}; tag={name}", headers=headers)


@pytest.mark.req("M-2")
@pytest.mark.parametrize("script", ["chunks=7; output_tokens=60", "huge=300000; chunks=9"])
@pytest.mark.parametrize("dialect", STREAMS)
async def test_a_stream_through_the_guard_is_the_providers_stream_byte_for_byte(
    guard: GuardProcess, standin: StandinProcess, dialect: str, script: str
) -> None:
    _, key = await new_key(guard, "5.00/day")
    name = f"bytes-{dialect.replace(' ', '-')}-{len(script)}"
    direct, through = await both(guard, standin, STREAMS[dialect], script, key, name)
    assert through.is_whole
    assert steady(through.body) == steady(direct.body)
    assert through.headers["content-type"] == direct.headers["content-type"]
    ledger = await ended(guard.folder / "data", name)
    assert {name: ledger[name].cost_nusd} == billed(standin.lines(name))


@pytest.mark.parametrize("dialect", DOCUMENTS)
async def test_a_document_through_the_guard_is_the_providers_document_byte_for_byte(
    guard: GuardProcess, standin: StandinProcess, dialect: str
) -> None:
    _, key = await new_key(guard, "5.00/day")
    name = f"document-{dialect}"
    script = "huge=5000000; output_tokens=60"
    direct, through = await both(guard, standin, DOCUMENTS[dialect], script, key, name)
    assert steady(through.body) == steady(direct.body)
    ledger = await ended(guard.folder / "data", name)
    assert {name: ledger[name].cost_nusd} == billed(standin.lines(name))


@pytest.mark.req("M-2")
async def test_asking_for_usage_or_not_changes_what_the_caller_sees_and_never_what_is_booked(
    guard: GuardProcess, standin: StandinProcess
) -> None:
    _, key = await new_key(guard, "5.00/day")
    wishes: dict[str, dict[str, object]] = {
        "absent": {},
        "false": {"stream_options": {"include_usage": False}},
        "true": {"stream_options": {"include_usage": True}},
    }
    costs = set()
    for wish, more in wishes.items():
        name = f"usage-{wish}"
        direct, through = await both(
            guard, standin, chat(**more), "chunks=5; output_tokens=40", key, name
        )
        assert steady(through.body) == steady(direct.body), wish
        has_usage = any(isinstance(e, dict) and e.get("usage") for e in through.events)
        assert has_usage == (wish == "true")
        costs.add((await ended(guard.folder / "data", name))[name].cost_nusd)
    assert costs == set(billed(standin.lines("usage-absent")).values())


@pytest.mark.parametrize("dialect", STREAMS)
async def test_every_piece_is_passed_on_before_the_next_one_is_made(
    standin: StandinProcess, tmp_path: Path, dialect: str
) -> None:
    shape, environ = STREAMS[dialect], {"PROVIDER_KEY": standin.credential}
    async with calling(standin.base_url) as direct:
        whole = await direct.call(standin.credential, shape, "chunks=5; output_tokens=40")
    pieces = in_pieces(whole.body)
    assert len(pieces) == 5
    async with running_stepwise(whole.headers["content-type"], pieces) as provider:
        with running_guard(tmp_path, provider_settings(provider.base_url), environ) as guard:
            _, key = await new_key(guard, "5.00/day")
            async with aiohttp.ClientSession() as session:
                url, headers = guard.base_url + shape.path, shape.headers(key, {})
                async with session.post(url, json=shape.body, headers=headers) as answer:
                    body = b""
                    async for piece in answer.content.iter_any():
                        body += piece
                        provider.has_arrived(len(_CONTENT.findall(body)))
    assert body == whole.body


def in_pieces(body: bytes) -> list[bytes]:
    """One for each event with a piece of text; what comes before and after is in the first and in
    the last."""
    ends = [_END.search(body, found.start()) for found in _CONTENT.finditer(body)]
    cuts = [0, *(end.end() for end in ends[:-1] if end is not None), len(body)]
    return [body[start:end] for start, end in pairwise(cuts)]


@pytest.fixture(scope="module")
def strict(
    standin: StandinProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GuardProcess]:
    """A guard with little patience."""
    yield from _hasty(standin, tmp_path_factory.mktemp("strict"), "call_limit_s = 1.5")


@pytest.fixture(scope="module")
def restless(
    standin: StandinProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GuardProcess]:
    """A guard that soon gives up what its callers left behind."""
    yield from _hasty(standin, tmp_path_factory.mktemp("restless"), "hangup_drain_s = 0.5")


def _hasty(standin: StandinProcess, folder: Path, limit: str) -> Iterator[GuardProcess]:
    settings = f"{provider_settings(standin.base_url)}\n[server]\n{limit}\n"
    with running_guard(folder, settings, {"PROVIDER_KEY": standin.credential}) as running:
        yield running


@pytest.mark.req("M-4")
@pytest.mark.parametrize("leaves", ["after the first piece", "midway", "before the head"])
@pytest.mark.parametrize("dialect", STREAMS)
async def test_a_caller_that_hangs_up_again_and_again_gets_no_token_for_free(
    guard: GuardProcess, standin: StandinProcess, dialect: str, leaves: str
) -> None:
    key_id, key = await new_key(guard, "50.00/day")
    prefix = f"hangup-{dialect}-{leaves}".replace(" ", "")
    names = [f"{prefix}-{i}" for i in range(30)]
    script = "chunks=8; gap_ms=15; output_tokens=400"
    is_early = leaves == "before the head"
    if is_early:
        script += "; first_ms=600"
    async with calling(guard.base_url) as caller:
        for start in range(0, 30, 6):
            await asyncio.gather(*(
                caller.call(
                    key, STREAMS[dialect], f"{script}; tag={name}",
                    leave_at={"after the first piece": 1, "midway": 5}.get(leaves),
                    leave_when=standin.has_seen(name) if is_early else None,
                    headers={"x-request-id": name},
                )
                for name in names[start : start + 6]
            ))  # fmt: skip
    ledger = await ended(guard.folder / "data", *names)
    bill = billed(line for line in standin.bill()["lines"] if line["tag"] in names)
    assert set(bill) == set(names), "the provider made every one of them"
    assert underpaid(bill, ledger) == {}
    assert all(cost > 0 for cost in bill.values())
    cap = await cap_of(guard, f"key:{key_id}")
    assert (cap["held"], cap["spent"]) == (0, sum(ledger[name].cost_nusd for name in names))


@pytest.mark.req("M-4")
@pytest.mark.parametrize("dialect", STREAMS)
async def test_what_a_caller_left_behind_is_read_to_its_end_and_booked_at_its_real_cost(
    guard: GuardProcess, standin: StandinProcess, dialect: str
) -> None:
    _, key = await new_key(guard, "5.00/day")
    name = f"drained-{dialect.replace(' ', '-')}"
    async with calling(guard.base_url) as caller:
        told = await caller.call(
            key, STREAMS[dialect], f"chunks=8; gap_ms=40; tag={name}",
            leave_at=2, headers={"x-request-id": name},
        )  # fmt: skip
    assert told.left
    ledger = await ended(guard.folder / "data", name)
    assert not ledger[name].is_estimate
    assert {name: ledger[name].cost_nusd} == billed(standin.lines(name))


@pytest.mark.req("M-4")
@pytest.mark.parametrize(
    "script", ["chunks=200; gap_ms=50", "fail=hang@2", "chunks=200; gap_ms=50; deaf=1"]
)
async def test_draining_ends_at_its_limit_and_the_whole_hold_is_charged(
    restless: GuardProcess, standin: StandinProcess, script: str
) -> None:
    _, key = await new_key(restless, "5.00/day")
    name = f"undrained-{len(script)}"
    async with calling(restless.base_url) as caller:
        await caller.call(
            key, claude(), f"{script}; tag={name}", leave_at=1, headers={"x-request-id": name}
        )
    ledger = (await ended(restless.folder / "data", name))[name]
    assert ledger.is_estimate
    assert ledger.cost_nusd == ledger.held_nusd
    standin.bill_when(lambda bill: any(line["tag"] == name for line in bill["lines"]))
    assert standin.lines(name)[0]["cost_nusd"] <= ledger.cost_nusd


@pytest.mark.parametrize("shape", [claude(), claude(stream=False)], ids=["stream", "document"])
@pytest.mark.parametrize("script", ["fail=hang@0", "fail=hang@3", "first_ms=20000"])
async def test_a_provider_that_hangs_is_given_up_at_the_calls_limit_and_charged_in_full(
    strict: GuardProcess, standin: StandinProcess, shape: Shape, script: str
) -> None:
    _, key = await new_key(strict, "5.00/day")
    name = f"hang-{script[-2:].replace('@', 'after')}-{shape.body['stream']}"
    async with calling(strict.base_url) as caller:
        told = await caller.call(
            key, shape, f"{script}; chunks=5; tag={name}", headers={"x-request-id": name}
        )
    if told.status != 200:  # a guard that was stopped for a while comes to it before the head
        assert (told.status, told.code) == (504, "call:too_long")
    elif shape.body["stream"]:
        assert told.events[-1]["error"]["code"] == "call:too_long"
    else:
        assert not told.is_whole
    assert script == "fail=hang@3" or told.status != 200
    ledger = (await ended(strict.folder / "data", name))[name]
    assert (ledger.end, ledger.cost_nusd) == ("settle", ledger.held_nusd)


async def test_a_caller_that_reads_slowly_slows_the_provider_and_not_fills_the_guard(
    guard: GuardProcess, standin: StandinProcess
) -> None:
    """100 MB are on their way; what is not read must wait at the provider."""
    _, key = await new_key(guard)
    before_kb = _resident_kb(guard.pid)
    async with calling(guard.base_url) as caller:
        reading = asyncio.create_task(_sip(caller.base_url, key))
        most_kb = 0
        while not reading.done():
            await asyncio.sleep(0.1)
            most_kb = max(most_kb, _resident_kb(guard.pid))
        assert await reading > 100_000, "some of it came"
    assert most_kb - before_kb < 40_000, f"grew from {before_kb} to {most_kb} kB"


async def _sip(base_url: str, key: str) -> int:
    """Read a huge stream a little at a time, then leave; the bytes that were read."""
    host, _, port = base_url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=16_384)
    body = b'{"model":"gpt-5-mini","stream":true,"messages":[{"role":"user","content":"hi"}]}'
    script = "chunks=1000; huge=100000000"
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n"
        f"x-standin: {script}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    size = 0
    for _ in range(40):
        size += len(await reader.read(16_384))
        await asyncio.sleep(0.05)
    writer.close()
    return size


def _resident_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1])
