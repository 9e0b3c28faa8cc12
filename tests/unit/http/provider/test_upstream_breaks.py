"""What the outgoing client says when things go wrong: was anything sent, and is this the end?"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from tokenward.http.upstream import HttpAnswer, HttpUpstream
from tokenward.kernel.errors import BrokenError, UnsentError
from tokenward.providers.interfaces import Headers
from unit.http.raw_sockets import Wire, free_port, provider

SECRET = "sk-very-secret-4711"
HEADERS: Headers = ((b"authorization", f"Bearer {SECRET}".encode()),)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
SHORT_S = 0.2


@pytest.fixture
async def upstream() -> AsyncIterator[HttpUpstream]:
    client = HttpUpstream(connect_timeout_s=5, pool_wait_s=5, head_timeout_s=20, idle_timeout_s=20)
    yield client
    await client.close()


async def call(client: HttpUpstream, url: str) -> HttpAnswer:
    return await client.send("POST", url, HEADERS, b"{}")


async def read_all(answer: HttpAnswer) -> bytes:
    body = b""
    while chunk := await answer.read():
        body += chunk
    return body


async def test_a_refused_connection_is_unsent(upstream: HttpUpstream) -> None:
    with pytest.raises(UnsentError, match="could not be reached"):
        await call(upstream, f"http://127.0.0.1:{free_port()}/v1")


async def test_a_name_that_does_not_exist_is_unsent(upstream: HttpUpstream) -> None:
    with pytest.raises(UnsentError, match="could not be reached"):
        await call(upstream, "http://no-such-host.invalid/v1")


async def test_a_connection_that_is_not_accepted_in_time_is_unsent() -> None:
    client = HttpUpstream(connect_timeout_s=SHORT_S)
    with socket.socket() as end, contextlib.ExitStack() as waiting:
        end.bind(("127.0.0.1", 0))
        end.listen(0)
        for _ in range(4):  # fills the queue of connections nobody accepts
            filler = waiting.enter_context(socket.socket())
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(end.getsockname())
        with pytest.raises(UnsentError):
            await call(client, f"http://127.0.0.1:{end.getsockname()[1]}/v1")
    await client.close()


@pytest.mark.parametrize("has_head", [False, True])
async def test_waiting_too_long_for_a_connection_is_unsent(has_head: bool) -> None:
    client = HttpUpstream(connect_timeout_s=SHORT_S, pool_wait_s=SHORT_S, max_connections=1)

    async def script(wire: Wire) -> None:
        await wire.request()
        if has_head:
            await wire.say(CHUNKED)
        await wire.until_closed()

    async with provider(script) as served:
        first = asyncio.create_task(call(client, served.url))
        while not served.connections:
            await asyncio.sleep(0)
        with pytest.raises(UnsentError):
            await call(client, served.url)
        if has_head:
            await (await first).close()
        else:
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
    await client.close()
    assert served.connections == 1


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ],
)
@pytest.mark.parametrize("is_reset", [False, True])
async def test_no_head_or_a_garbled_one_is_broken(
    upstream: HttpUpstream, said: bytes, is_reset: bool
) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.say(said)
        if is_reset:
            wire.reset()

    async with provider(script) as served:
        with pytest.raises(BrokenError) as caught:
            await call(upstream, served.url)
    assert served.connections == 1
    assert SECRET not in repr(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        CHUNKED + b"3\r\nabc\r\n",
        CHUNKED + b"30\r\nabc",
        CHUNKED + b"3\r\nabc\r\n0\r\n",
        CHUNKED + b"3\r\nabc\r\nzz\r\nabc\r\n",
    ],
)
@pytest.mark.parametrize("is_reset", [False, True])
async def test_a_cut_body_is_broken_and_never_a_clean_end(
    upstream: HttpUpstream, said: bytes, is_reset: bool
) -> None:
    read = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.say(said)
        if is_reset:
            await read.wait()
            wire.reset()

    async def call_and_read() -> None:
        answer = await call(upstream, served.url)
        read.set()
        await read_all(answer)

    async with provider(script) as served:
        with pytest.raises(BrokenError):
            await call_and_read()


async def test_a_reset_is_not_the_end_of_a_body_without_a_length(upstream: HttpUpstream) -> None:
    read = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.say(b"HTTP/1.1 200 OK\r\n\r\nabc")
        await read.wait()
        wire.reset()

    async with provider(script) as served:
        answer = await call(upstream, served.url)
        assert await answer.read() == b"abc"
        read.set()
        with pytest.raises(BrokenError):
            await answer.read()


async def test_a_provider_that_never_answers_is_broken_and_let_go() -> None:
    client = HttpUpstream(connect_timeout_s=0.1, pool_wait_s=0, head_timeout_s=SHORT_S)
    closed = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.until_closed()
        closed.set()

    async with provider(script) as served:
        with pytest.raises(BrokenError):
            await call(client, served.url)
        await asyncio.wait_for(closed.wait(), 10)
    await client.close()


async def test_a_provider_that_falls_silent_within_the_body_is_broken_and_let_go() -> None:
    client = HttpUpstream(idle_timeout_s=SHORT_S)
    closed = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.say(CHUNKED + b"3\r\nabc\r\n")
        await wire.until_closed()
        closed.set()

    async with provider(script) as served:
        answer = await call(client, served.url)
        assert await answer.read() == b"abc"
        with pytest.raises(BrokenError):
            await answer.read()
        await asyncio.wait_for(closed.wait(), 10)
    await client.close()


async def test_silence_before_the_head_may_be_longer_than_within_the_body() -> None:
    client = HttpUpstream(head_timeout_s=20, idle_timeout_s=0.05)

    async def script(wire: Wire) -> None:
        await wire.request()
        await asyncio.sleep(0.3)
        await wire.say(OK)

    async with provider(script) as served:
        assert await read_all(await call(client, served.url)) == b"ok"
    await client.close()


@pytest.mark.parametrize("when", ["before the head", "within the body", "by close()"])
async def test_a_cancelled_call_closes_its_connection_at_once(
    upstream: HttpUpstream, when: str
) -> None:
    asked, closed = asyncio.Event(), asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        asked.set()
        if when != "before the head":
            await wire.say(CHUNKED + b"3\r\nabc\r\n")
        await wire.until_closed()
        closed.set()

    async def one_call(url: str) -> None:
        answer = await call(upstream, url)
        await answer.read()
        if when == "by close()":
            await answer.close()
            await answer.close()
        else:
            await answer.read()

    async with provider(script) as served:
        task = asyncio.create_task(one_call(served.url))
        await asked.wait()
        if when == "by close()":
            await task
        else:
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await asyncio.wait_for(closed.wait(), 10)


@pytest.mark.parametrize("end", ["fin", "half", "reset"])
async def test_a_post_is_never_sent_twice_when_the_provider_closes_as_it_is_sent(
    upstream: HttpUpstream, end: str
) -> None:
    """Every connection serves one request and goes away at about the time of the next; with
    "half" it goes on reading, so that a request sent into the closing is seen."""
    seen: list[bytes] = []
    late: list[bytes] = []

    async def script(wire: Wire) -> None:
        seen.append((await wire.request())[1])
        await wire.say(OK)
        await asyncio.sleep(len(seen) % 5 * 0.0003)
        if end == "reset":
            wire.reset()
        elif end == "half":
            wire.writer.write_eof()
            late.append((await wire.request())[1])

    outcomes = {"ok": 0, "broken": 0}
    async with provider(script) as served:
        for index in range(300):
            try:
                answer = await upstream.send("POST", served.url, HEADERS, b"%d" % index)
                await read_all(answer)
                outcomes["ok"] += 1
            except BrokenError:
                outcomes["broken"] += 1
            await asyncio.sleep(index % 7 * 0.0002)
    everything = seen + late
    assert len(everything) == len(set(everything))
    assert outcomes["ok"] == len(seen)
    assert sum(outcomes.values()) == 300


@pytest.mark.parametrize(
    "head",
    [
        b"X-A: " + b"a" * 200_000 + b"\r\n",
        b"".join(b"X-%d: a\r\n" % index for index in range(2000)),
    ],
)
async def test_a_huge_head_is_broken(upstream: HttpUpstream, head: bytes) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + head + b"\r\n")
        await wire.until_closed()

    async with provider(script) as served:
        with pytest.raises(BrokenError):
            await call(upstream, served.url)


async def test_a_slow_reader_holds_an_endless_body_back(upstream: HttpUpstream) -> None:
    sent = 0
    stuck = asyncio.Event()

    async def script(wire: Wire) -> None:
        nonlocal sent
        wire.writer.transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDBUF, 65536
        )
        await wire.request()
        await wire.say(CHUNKED)
        while sent < 200_000_000:
            try:
                async with asyncio.timeout(1):
                    await wire.say(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
            except TimeoutError:
                break
            sent += 0x4000
        stuck.set()

    async with provider(script) as served:
        answer = await call(upstream, served.url)
        await asyncio.wait_for(stuck.wait(), 30)
        first = await answer.read()
        await answer.close()
    assert len(first) <= 512 * 1024  # what was read ahead of us
    assert sent < 32 * 1024 * 1024  # with all the kernel's buffers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"x-a", b"a\r\nx-evil: 1"),
        (b"x-a", b"a\nb"),
        (b"x-a", b"a\x00b"),
        (b"x-a\r\nx-evil", b"1"),
        (b"x a", b"1"),
        (b"", b"1"),
        (b"x-a", b"caf\xe9"),
        (b"authorization", b"Bearer sk-\r\nx"),
    ],
)
async def test_a_header_that_could_split_the_request_is_never_sent(
    upstream: HttpUpstream, name: bytes, value: bytes
) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()

    async with provider(script) as served:
        with pytest.raises(UnsentError) as caught:
            await upstream.send("POST", served.url, ((name, value),), b"{}")
        assert value.decode("latin-1") not in str(caught.value)
    assert served.connections == 0


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/",
        "nonsense",
        "http://",
        "http://user:pass@127.0.0.1/",
        "http://127.0.0.1/a b",
        "http://127.0.0.1/a\r\nx: 1",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1/#f",
    ],
)
async def test_a_url_that_is_not_plain_is_never_sent_to(upstream: HttpUpstream, url: str) -> None:
    with pytest.raises(UnsentError):
        await call(upstream, url)


async def test_a_secret_is_in_no_message(upstream: HttpUpstream) -> None:
    with pytest.raises(UnsentError) as caught:
        await call(upstream, f"http://127.0.0.1:{free_port()}/v1?key={SECRET}")
    assert SECRET not in f"{caught.value!r} {caught.value.__cause__!r}"
