"""A key that is stopped is stopped: for the next call, for the running ones, at once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from books import billed, booked, ended, underpaid
from caller import Caller, Shape, Told, admin, calling, cap_of, chat, claude, gemini, new_key
from crew_guard import until_so
from guard import GuardProcess, provider_settings, running_guard
from standin import StandinProcess

CUT_LIMIT_S = 10
"""R5, K-1 promise two seconds of a machine that is not full of tests; `LONG` goes on for thirty."""
AFTER = 3
TOLD = {"freeze": "key:frozen", "revoke": "key:invalid"}
"""What the caller hears in its stream: of a revoked key no more than of an unknown one."""
LONG = "chunks=300; gap_ms=100"
QUICK = "output_tokens=5"


class Running:
    """A call that is under way, and how it went on."""

    def __init__(self, caller: Caller, key: str, shape: Shape, script: str, name: str) -> None:
        self._began = asyncio.Event()
        self.name = name
        self._call = asyncio.create_task(
            caller.call(
                key,
                shape,
                f"{script}; tag={name}",
                headers={"x-request-id": name},
                on_piece=self._began.set,
            )
        )

    async def streams(self) -> None:
        """Its first piece came."""
        await asyncio.wait_for(self._began.wait(), 30)

    async def is_cut(self) -> Told:
        """It ends within the time that was promised; what it was told."""
        return await asyncio.wait_for(self._call, CUT_LIMIT_S)


async def _stop(guard: GuardProcess, way: str, verb: str, key_id: str) -> None:
    if way == "http":
        await admin(guard, "POST", f"/keys/{key_id}/{verb}")
    else:
        await asyncio.to_thread(guard.cli, "key", verb, key_id)


@pytest.mark.req("K-1")
@pytest.mark.parametrize("way", ["http", "command line"])
@pytest.mark.parametrize(("verb", "status"), [("revoke", 401), ("freeze", 403)])
async def test_the_very_next_call_of_a_stopped_key_is_refused(
    guard: GuardProcess, standin: StandinProcess, way: str, verb: str, status: int
) -> None:
    name = f"next-{way[:4]}-{verb}"
    key_id, key = await new_key(guard)
    async with calling(guard.base_url) as caller:
        for _ in range(3):
            told = await caller.call(key, chat(), f"{QUICK}; tag={name}")
            assert told.status == 200
        await _stop(guard, way, verb, key_id)
        for shape in (chat(), claude(), gemini()):
            told = await caller.call(key, shape, f"{QUICK}; tag={name}")
            assert told.status == status, told
        if verb == "freeze":
            await _stop(guard, way, "unfreeze", key_id)
            assert (await caller.call(key, chat(), f"{QUICK}; tag={name}")).status == 200
    assert len(standin.lines(name)) == (4 if verb == "freeze" else 3)


@pytest.mark.req("K-1")
async def test_a_stopped_key_is_refused_also_among_hundreds_of_calls(
    guard: GuardProcess, standin: StandinProcess
) -> None:
    """Every call that begins after the answer to the revocation is refused."""
    key_id, key = await new_key(guard)
    told_after: list[Told] = []
    is_revoked = False
    async with calling(guard.base_url) as caller:

        async def go_on() -> None:
            after = 0
            while after < AFTER:
                began_after = is_revoked
                told = await caller.call(key, chat(stream=False), QUICK)
                if began_after:
                    told_after.append(told)
                    after += 1

        callers = [asyncio.create_task(go_on()) for _ in range(20)]
        await asyncio.sleep(0.2)
        await admin(guard, "POST", f"/keys/{key_id}/revoke")
        is_revoked = True
        await asyncio.gather(*callers)
    assert Counter(told.status for told in told_after) == {401: 20 * AFTER}


@pytest.mark.req("K-1", "M-4")
@pytest.mark.parametrize("verb", ["revoke", "freeze"])
@pytest.mark.parametrize(
    "shape", [chat(), claude(), gemini(), gemini(verb="streamGenerateContent")],
    ids=["openai", "anthropic", "gemini", "gemini array"],
)  # fmt: skip
async def test_a_running_stream_is_cut_and_settled(
    guard: GuardProcess,
    standin: StandinProcess,
    verb: str,
    shape: Shape,
    request: pytest.FixtureRequest,
) -> None:
    name = f"cut-{request.node.callspec.id.replace(' ', '')}"
    key_id, key = await new_key(guard, "5.00/day", concurrency=1)
    async with calling(guard.base_url) as caller:
        running = Running(caller, key, shape, LONG, name)
        await running.streams()
        assert (await caller.call(key, shape, QUICK)).code == "concurrency:exceeded"
        stopped = await admin(guard, "POST", f"/keys/{key_id}/{verb}")
        told = await running.is_cut()
        assert stopped["calls_cut"] == 1
        if told.headers["content-type"].startswith("text/event-stream"):
            assert TOLD[verb] in str(told.events[-1]["error"])
        else:
            assert not told.is_whole, "an array without its end cannot be taken for whole"
        if verb == "freeze":
            await admin(guard, "POST", f"/keys/{key_id}/unfreeze")
            assert (await caller.call(key, shape, QUICK)).status == 200, "the slot was given back"
    ledger = await ended(guard.folder / "data", name)
    assert ledger[name].end == "settle"
    assert underpaid(billed([standin.line(name)]), ledger) == {}
    cap = await cap_of(guard, f"key:{key_id}")
    assert cap["held"] == 0


@pytest.mark.req("K-1", "M-11")
@pytest.mark.parametrize("stream", [True, False])
async def test_a_call_is_cut_while_the_provider_has_not_answered_and_is_charged_in_full(
    guard: GuardProcess, standin: StandinProcess, stream: bool
) -> None:
    name = f"headless-{stream}"
    key_id, key = await new_key(guard, "5.00/day")
    async with calling(guard.base_url) as caller:
        running = Running(caller, key, claude(stream=stream), "first_ms=30000", name)
        await standin.has_seen(name)
        await admin(guard, "POST", f"/keys/{key_id}/freeze")
        told = await running.is_cut()
    assert (told.status, told.code) == (403, "key:frozen")
    ledger = (await ended(guard.folder / "data", name))[name]
    assert (ledger.end, ledger.cost_nusd) == ("settle", ledger.held_nusd)


@pytest.mark.req("K-1")
async def test_a_stream_that_nobody_reads_is_cut_as_well(
    guard: GuardProcess, standin: StandinProcess
) -> None:
    """The guard waits for the caller to take what was written, and must not for this."""
    key_id, key = await new_key(guard, "5.00/day")
    host, _, port = guard.base_url.removeprefix("http://").partition(":")
    body = b'{"model":"gpt-5-mini","stream":true,"messages":[{"role":"user","content":"hi"}]}'
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n"
        "x-standin: chunks=1000; huge=50000000; tag=unread\r\nx-request-id: unread\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(host, int(port), limit=4096)
    writer.write(head.encode() + body)
    assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
    await asyncio.sleep(0.5)
    stopped = await admin(guard, "POST", f"/keys/{key_id}/revoke")
    assert stopped["calls_cut"] == 1
    ledger = await ended(guard.folder / "data", "unread")
    assert ledger["unread"].cost_nusd == ledger["unread"].held_nusd
    writer.close()


@pytest.mark.req("K-1")
async def test_a_key_frozen_between_hold_and_send_sends_nothing_and_costs_nothing(
    guard: GuardProcess, standin: StandinProcess
) -> None:
    """R2: the key is looked at again when its money is held. Calls and freezes race until some
    calls were caught in between; those are voided, and the provider never saw them."""
    key_id, key = await new_key(guard, "50.00/day")
    caught: set[str] = set()
    async with calling(guard.base_url) as caller:
        for number in range(100):
            names = [f"between-{number}-{i}" for i in range(20)]
            calls = [
                caller.call(
                    key,
                    claude(stream=False),
                    f"{QUICK}; tag={name}",
                    headers={"x-request-id": name},
                )
                for name in names
            ]
            freeze = admin(guard, "POST", f"/keys/{key_id}/freeze")
            await asyncio.gather(*calls[:10], freeze, *calls[10:])
            await admin(guard, "POST", f"/keys/{key_id}/unfreeze")
            ledger = booked(guard.folder / "data")
            caught = {
                name for name, each in ledger.items()
                if name.startswith("between-") and each.end == "void"
            }  # fmt: skip
            if caught:
                break
    assert caught, "no call was caught in between"
    assert {booked(guard.folder / "data")[name].why for name in caught} == {"key:frozen"}
    tags = {line["tag"] for line in standin.bill()["lines"]}
    assert not caught & tags
    guard.wait_until_settled()


@pytest.mark.req("K-5")
async def test_a_rotated_key_and_its_successor_both_work_until_the_grace_is_over(
    guard: GuardProcess,
) -> None:
    key_id, old = await new_key(guard, "5.00/day")
    async with calling(guard.base_url) as caller:
        made = await admin(guard, "POST", f"/keys/{key_id}/rotate", grace="6s")
        new = made["key"]
        assert made["id"] == key_id
        both = [await caller.call(key, claude(), QUICK) for key in (old, new)]
        assert [told.status for told in both] == [200, 200]
        while (await caller.call(old, claude(), QUICK)).status == 200:
            await asyncio.sleep(0.1)
        assert (await caller.call(old, claude(), QUICK)).status == 401
        assert (await caller.call(new, claude(), QUICK)).status == 200
        await admin(guard, "POST", f"/keys/{key_id}/rotate", grace="1h")
        await admin(guard, "POST", f"/keys/{key_id}/revoke")
        assert (await caller.call(new, claude(), QUICK)).status == 401, "an emergency has no grace"


@pytest.mark.req("K-5")
async def test_rotation_without_grace_stops_the_old_secret_at_once(guard: GuardProcess) -> None:
    key_id, old = await new_key(guard)
    async with calling(guard.base_url) as caller:
        assert (await caller.call(old, chat(), QUICK)).status == 200
        made = await admin(guard, "POST", f"/keys/{key_id}/rotate")
        assert (await caller.call(old, chat(), QUICK)).status == 401
        assert (await caller.call(made["key"], chat(), QUICK)).status == 200


@pytest.fixture
async def silent() -> AsyncIterator[str]:
    """A provider whose TLS handshake never ends, so that no request can go out to it."""
    ends: list[asyncio.StreamWriter] = []

    async def keep(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends.append(writer)

    async with await asyncio.start_server(keep, "127.0.0.1", 0) as server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for writer in ends:
            writer.close()


@pytest.mark.req("K-1")
@pytest.mark.parametrize(("verb", "code"), [("freeze", "key:frozen"), ("revoke", "key:invalid")])
async def test_a_call_that_still_waits_for_a_connection_is_stopped_and_costs_nothing(
    silent: str, tmp_path: Path, verb: str, code: str
) -> None:
    with running_guard(
        tmp_path / "guard", provider_settings(silent), {"PROVIDER_KEY": "sk-x"}
    ) as guard:
        key_id, key = await new_key(guard, "5.00/day")
        async with calling(guard.base_url) as caller:
            call = asyncio.create_task(
                caller.call(key, claude(), QUICK, headers={"x-request-id": "waits"})
            )
            await until_so(lambda: "waits" in booked(guard.folder / "data"))
            await admin(guard, "POST", f"/keys/{key_id}/{verb}")
            assert (await asyncio.wait_for(call, CUT_LIMIT_S)).code == code
        hold = (await ended(guard.folder / "data", "waits"))["waits"]
        assert (hold.end, hold.cost_nusd) == ("void", 0)
