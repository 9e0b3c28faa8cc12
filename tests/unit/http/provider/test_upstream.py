"""What the outgoing client says and hears when all goes well."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tokenward.http.upstream import HttpAnswer, HttpUpstream
from tokenward.kernel.errors import UnsentError
from tokenward.providers.interfaces import Headers
from unit.http.raw_sockets import Provider, Script, Wire, provider

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
JSON: Headers = ((b"content-type", b"application/json"),)


@pytest.fixture
async def upstream() -> AsyncIterator[HttpUpstream]:
    client = HttpUpstream(connect_timeout_s=5, pool_wait_s=5, head_timeout_s=20, idle_timeout_s=20)
    yield client
    await client.close()


async def whole(client: HttpUpstream, url: str, body: bytes = b"{}") -> tuple[int, Headers, bytes]:
    answer = await client.send("POST", url, JSON, body)
    read = b""
    while chunk := await answer.read():
        read += chunk
    await answer.close()
    return answer.status, answer.headers, read


def answering(answer: bytes, heads: list[bytes] | None = None) -> Script:
    async def script(wire: Wire) -> None:
        while True:
            head, _ = await wire.request()
            if heads is not None:
                heads.append(head)
            await wire.say(answer)

    return script


async def head_of(call: Callable[[Provider], Awaitable[HttpAnswer]]) -> bytes:
    heads: list[bytes] = []
    async with provider(answering(OK, heads)) as served:
        await (await call(served)).close()
    return heads[0]


async def test_a_request_goes_out_with_nothing_added_but_what_frames_it(
    upstream: HttpUpstream,
) -> None:
    headers: Headers = ((b"Accept", b"text/event-stream"), (b"x-stainless-lang", b"python"))
    head = await head_of(lambda p: upstream.send("POST", p.url, headers, b"{}"))
    lines = head.rstrip().split(b"\r\n")
    assert lines[0] == b"POST /v1/chat/completions HTTP/1.1"
    host = lines[1]
    assert host.startswith(b"Host: 127.0.0.1:")
    assert lines[2:] == [
        b"accept: text/event-stream",
        b"x-stainless-lang: python",
        b"Content-Length: 2",
    ]


@pytest.mark.req("S-6")
async def test_host_and_framing_headers_of_the_caller_are_never_sent(
    upstream: HttpUpstream,
) -> None:
    headers: Headers = (
        (b"Host", b"evil.example"),
        (b"content-length", b"1"),
        (b"Transfer-Encoding", b"chunked"),
        (b"connection", b"close"),
        (b"expect", b"100-continue"),
        (b"upgrade", b"h2c"),
    )
    head = await head_of(lambda p: upstream.send("POST", p.url, headers, b"{}"))
    names = [line.partition(b":")[0] for line in head.rstrip().split(b"\r\n")[1:]]
    assert names == [b"Host", b"Content-Length"]
    assert b"evil" not in head


async def test_a_header_given_twice_is_sent_twice(upstream: HttpUpstream) -> None:
    headers: Headers = ((b"X-Beta", b"a"), (b"x-other", b"1"), (b"x-beta", b"caf\xc3\xa9"))
    head = await head_of(lambda p: upstream.send("POST", p.url, headers, b"{}"))
    assert head.count(b"x-beta: ") == 2
    assert b"x-beta: caf\xc3\xa9\r\n" in head


@pytest.mark.parametrize(("method", "says_length"), [("POST", True), ("GET", False)])
async def test_an_empty_body_is_framed_as_its_method_asks(
    upstream: HttpUpstream, method: str, says_length: bool
) -> None:
    head = await head_of(lambda p: upstream.send(method, p.url, (), b""))
    assert (b"Content-Length: 0\r\n" in head) is says_length


async def test_a_path_goes_out_byte_for_byte(upstream: HttpUpstream) -> None:
    path = "/v1beta/models/a%2Fb/../c//d:streamGenerateContent?alt=sse&x=%20+%e9"
    head = await head_of(
        lambda p: upstream.send("POST", f"http://127.0.0.1:{p.port}{path}", (), b"{}"),
    )
    assert head.split(b"\r\n")[0] == f"POST {path} HTTP/1.1".encode()


async def test_a_large_body_arrives_whole_with_its_length(upstream: HttpUpstream) -> None:
    body = bytes(range(256)) * 12_000
    got: list[tuple[bytes, bytes]] = []

    async def script(wire: Wire) -> None:
        got.append(await wire.request())
        await wire.say(OK)

    async with provider(script) as served:
        assert (await whole(upstream, served.url, body))[2] == b"ok"
    head, arrived = got[0]
    assert arrived == body
    assert b"Content-Length: %d\r\n" % len(body) in head
    assert b"chunked" not in head.lower()


@pytest.mark.req("S-6")
async def test_proxies_of_the_environment_are_ignored(
    upstream: HttpUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    async with provider(answering(OK)) as served:
        assert (await whole(upstream, served.url))[2] == b"ok"


async def test_cookies_are_never_kept(upstream: HttpUpstream) -> None:
    heads: list[bytes] = []
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nContent-Length: 0\r\n\r\n"
    async with provider(answering(answer, heads)) as served:
        await whole(upstream, served.url)
        await whole(upstream, served.url)
    assert len(heads) == 2
    assert b"cookie" not in heads[1].lower()


@pytest.mark.req("S-6")
async def test_a_redirect_is_an_answer_and_not_followed(upstream: HttpUpstream) -> None:
    heads: list[bytes] = []
    answer = b"HTTP/1.1 307 Moved\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
    async with provider(answering(answer, heads)) as served:
        status, headers, _ = await whole(upstream, served.url)
    assert (status, len(heads)) == (307, 1)
    assert (b"location", b"/elsewhere") in headers


async def test_a_compressed_body_is_passed_as_it_came(upstream: HttpUpstream) -> None:
    packed = gzip.compress(b"hello" * 100)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    async with provider(answering(head + packed)) as served:
        assert (await whole(upstream, served.url))[2] == packed


async def test_answer_headers_keep_their_order_and_duplicates(upstream: HttpUpstream) -> None:
    answer = (
        b"HTTP/1.1 429 Slow\r\nX-B: 1\r\nSet-Cookie: a\r\nX-A: caf\xe9\r\nset-cookie: b\r\n"
        b"Content-Length: 0\r\n\r\n"
    )
    async with provider(answering(answer)) as served:
        status, headers, body = await whole(upstream, served.url)
    assert (status, body) == (429, b"")
    assert headers == (
        (b"x-b", b"1"),
        (b"set-cookie", b"a"),
        (b"x-a", b"caf\xe9"),
        (b"set-cookie", b"b"),
        (b"content-length", b"0"),
    )


async def test_interim_answers_are_skipped(upstream: HttpUpstream) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    async with provider(answering(interim + OK)) as served:
        status, _, body = await whole(upstream, served.url)
    assert (status, body) == (200, b"ok")


async def test_each_chunk_can_be_read_before_the_next_is_sent(upstream: HttpUpstream) -> None:
    turn = asyncio.Semaphore(0)

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for index in range(5):
            await turn.acquire()
            await wire.say(b"7\r\ndata: %d\r\n" % index)
        await turn.acquire()
        await wire.say(b"0\r\n\r\n")
        await wire.until_closed()

    async with provider(script) as served:
        answer = await upstream.send("POST", served.url, JSON, b"{}")
        for index in range(5):
            turn.release()
            assert await answer.read() == b"data: %d" % index
        turn.release()
        assert await answer.read() == b""
        assert await answer.read() == b""
        await answer.close()


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_without_a_body_ends_with_its_head(
    upstream: HttpUpstream, status: int
) -> None:
    async with provider(answering(b"HTTP/1.1 %d X\r\n\r\n" % status)) as served:
        assert (await whole(upstream, served.url))[::2] == (status, b"")
        assert (await whole(upstream, served.url))[::2] == (status, b"")
    assert served.connections == 1


async def test_a_body_ended_by_the_end_of_the_connection_is_whole(
    upstream: HttpUpstream,
) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.say(b"HTTP/1.0 200 OK\r\n\r\nold but whole")

    async with provider(script) as served:
        assert (await whole(upstream, served.url))[2] == b"old but whole"


async def test_an_answer_before_the_body_is_read_is_passed_on(upstream: HttpUpstream) -> None:
    async def script(wire: Wire) -> None:
        await wire.reader.readuntil(b"\r\n\r\n")
        await wire.say(b"HTTP/1.1 413 Big\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx")
        await wire.until_closed()

    async with provider(script) as served:
        status, _, body = await whole(upstream, served.url, bytes(8_000_000))
    assert (status, body) == (413, b"x")


async def test_a_connection_is_used_again_after_a_body_read_to_its_end(
    upstream: HttpUpstream,
) -> None:
    async with provider(answering(OK)) as served:
        for _ in range(3):
            await whole(upstream, served.url)
    assert served.connections == 1


async def test_a_thousand_calls_share_the_connections_allowed() -> None:
    client = HttpUpstream(max_connections=20, pool_wait_s=60, head_timeout_s=60)
    async with provider(answering(OK)) as served:
        answers = await asyncio.gather(*(whole(client, served.url) for _ in range(1000)))
        assert {body for _, _, body in answers} == {b"ok"}
        assert served.connections <= 20
        await client.close()


async def test_a_closed_client_sends_nothing_more(upstream: HttpUpstream) -> None:
    async with provider(answering(OK)) as served:
        await whole(upstream, served.url)
        await upstream.close()
        with pytest.raises(UnsentError, match="stopping"):
            await upstream.send("POST", served.url, JSON, b"{}")
    await upstream.close()
