"""What a caller may send, byte for byte, and what the server takes it for."""

import asyncio
import json
import re
import socket
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest

from tokenward.http.lifespan import Message, Receive, Send
from unit.http.raw_sockets import say
from unit.http.serving import Echo, answer, live, served

HOST = b"Host: a\r\n"
SECOND = b"GET /second HTTP/1.1\r\nHost: a\r\n\r\n"


def post(headers: bytes, body: bytes = b"", version: bytes = b"HTTP/1.1") -> bytes:
    return b"POST /first " + version + b"\r\n" + HOST + headers + b"\r\n" + body


def get(target: bytes, headers: bytes = HOST) -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\n" + headers + b"\r\n"


REFUSED = {
    "length and chunked": post(b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", SECOND),
    "chunked and length": post(b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", SECOND),
    "chunked twice": post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", SECOND),
    "chunked, chunked": post(b"Transfer-Encoding: chunked, chunked\r\n", SECOND),
    "gzip, chunked": post(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n" + SECOND),
    "xchunked": post(b"Transfer-Encoding: xchunked\r\n", SECOND),
    "identity": post(b"Transfer-Encoding: identity\r\n", SECOND),
    "chunked in 1.0": post(b"Transfer-Encoding: chunked\r\n", SECOND, b"HTTP/1.0"),
    "two lengths": post(b"Content-Length: 2\r\nContent-Length: 3\r\n", b"ab" + SECOND),
    "one length twice": post(b"Content-Length: 2\r\nContent-Length: 2\r\n", b"ab" + SECOND),
    "length list": post(b"Content-Length: 2, 2\r\n", b"ab" + SECOND),
    "plus length": post(b"Content-Length: +2\r\n", b"ab" + SECOND),
    "minus length": post(b"Content-Length: -2\r\n", SECOND),
    "hex length": post(b"Content-Length: 0x2\r\n", b"ab" + SECOND),
    "huge length": post(b"Content-Length: 99999999999999999999999\r\n", SECOND),
    "empty length": post(b"Content-Length: \r\n", SECOND),
    "folded header": get(b"/", HOST + b"X-A: a\r\n b\r\n"),
    "folded chunked": post(b"Transfer-Encoding:\r\n chunked\r\n", SECOND),
    "bare line feeds": b"GET / HTTP/1.1\nHost: a\n\n",
    "one bare line feed": get(b"/", HOST + b"X-A: a\nX-B: b\r\n"),
    "bare carriage return": get(b"/", HOST + b"X-A: a\rX-B: b\r\n"),
    "NUL in a header": get(b"/", HOST + b"X-A: a\x00b\r\n"),
    "control in a header": get(b"/", HOST + b"X-A: a\x01b\r\n"),
    "space before the colon": get(b"/", HOST + b"X-A : a\r\n"),
    "space before the name": b"GET / HTTP/1.1\r\n X-A: a\r\nHost: a\r\n\r\n",
    "no colon": get(b"/", HOST + b"X-A\r\n"),
    "no name": get(b"/", HOST + b": a\r\n"),
    "lower-case method": b"get / HTTP/1.1\r\nHost: a\r\n\r\n",
    "unknown method": b"FOO / HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT": b"CONNECT evil:443 HTTP/1.1\r\nHost: a\r\n\r\n" + SECOND,
    "absolute target": get(b"http://evil/admin"),
    "absolute target without a path": get(b"http://evil"),
    "asterisk": b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "fragment": get(b"/a#b"),
    "byte above ASCII in the target": get(b"/\xc3\xa9"),
    "control in the target": get(b"/\x01"),
    "no host": get(b"/", b""),
    "two hosts": get(b"/", HOST + HOST),
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/1.2": b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
    "HTTP/2.0": b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "websocket": get(b"/", HOST + b"Connection: upgrade\r\nUpgrade: websocket\r\n") + SECOND,
    "h2c with a body": post(
        b"Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 37\r\n", SECOND
    ),
    "bad chunk size": post(b"Transfer-Encoding: chunked\r\n", b"zz\r\n" + SECOND),
    "hex chunk size": post(b"Transfer-Encoding: chunked\r\n", b"0x2\r\nab\r\n" + SECOND),
    "negative chunk size": post(b"Transfer-Encoding: chunked\r\n", b"-1\r\n" + SECOND),
    "plus chunk size": post(b"Transfer-Encoding: chunked\r\n", b"+1\r\na\r\n" + SECOND),
    "chunk size overflow": post(b"Transfer-Encoding: chunked\r\n", b"f" * 17 + b"\r\n" + SECOND),
    "chunk size with a line feed": post(b"Transfer-Encoding: chunked\r\n", b"1\na\n0\n\n" + SECOND),
    "longer chunk": post(b"Transfer-Encoding: chunked\r\n", b"1\r\nabc\r\n0\r\n\r\n" + SECOND),
    "trailer": post(b"Transfer-Encoding: chunked\r\n", b"0\r\nX-A: a\r\n\r\n" + SECOND),
}


@pytest.mark.parametrize("request_bytes", REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("step", [1, 1_000_000])
async def test_a_request_two_parsers_could_read_differently_is_refused_once_and_for_all(
    request_bytes: bytes, step: int
) -> None:
    echo = Echo()
    async with served(echo) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for start in range(0, len(request_bytes), step):
            writer.write(request_bytes[start : start + step])
            await writer.drain()
            await asyncio.sleep(0)
        said = await reader.read()
        writer.close()
    head, _, body = said.partition(b"\r\n\r\n")
    assert int(head[9:12]) in (400, 431, 501, 505)
    assert len(re.findall(rb"HTTP/1\.1 \d", said)) == 1
    assert b"connection: close" in head
    assert b"x-request-id: req_" in head
    error = json.loads(body)["error"]
    assert error["code"].startswith("request:")
    assert error["message"]
    assert all(scope["raw_path"] == b"/first" for scope in echo.scopes)


async def test_requests_follow_each_other_on_one_connection() -> None:
    async with served(Echo()) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for body in (b"one", b"two"):
            writer.write(post(b"Content-Length: 3\r\n", body))
            assert (await reader.readuntil(body)).endswith(b"POST /first " + body)
        writer.close()


async def test_a_chunked_body_arrives_whole() -> None:
    body = b"3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\n\r\n"
    async with served(Echo()) as server:
        said = await say(
            server.port, post(b"Transfer-Encoding: Chunked\r\nConnection: close\r\n", body)
        )
    assert said.endswith(b"POST /first abcde")


async def test_no_header_of_the_server_stands_in_an_answer_but_the_date() -> None:
    async with served(Echo()) as server:
        said = await say(server.port, get(b"/", HOST + b"Connection: close\r\n"))
    head, _, date = said.split(b"\r\n\r\n")[0].rpartition(b"\r\ndate: ")
    assert head == b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close"
    age = datetime.now(UTC) - parsedate_to_datetime(date.decode())
    assert timedelta() <= age < timedelta(minutes=1)


@pytest.mark.req("S-2")
async def test_the_target_is_passed_on_as_it_came() -> None:
    echo = Echo()
    async with served(echo) as server:
        target = b"//evil/../a%2Fb?x=%20?y"
        await say(server.port, get(target, HOST + b"Connection: close\r\n"))
    scope = echo.scopes[0]
    assert scope["raw_path"] == b"//evil/../a%2Fb"
    assert scope["path"] == "//evil/../a/b"
    assert scope["query_string"] == b"x=%20?y"


async def test_a_forwarded_address_is_not_believed() -> None:
    echo = Echo()
    headers = b"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nConnection: close\r\n"
    async with served(echo) as server:
        await say(server.port, get(b"/", HOST + headers))
    assert echo.scopes[0]["client"][0] == "127.0.0.1"
    assert echo.scopes[0]["scheme"] == "http"


async def test_http_1_0_gets_one_answer_and_a_closed_connection() -> None:
    async with served(Echo()) as server:
        said = await say(server.port, b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert said.endswith(b"GET /a ")
    assert b"connection: close" in said


async def test_a_pipelined_request_is_not_answered_and_does_not_spoil_the_first() -> None:
    for second in (SECOND, b"rubbish\r\n\r\n"):
        echo = Echo()
        async with served(echo) as server:
            said = await say(server.port, get(b"/first") + second + SECOND)
        assert len(re.findall(rb"HTTP/1\.1 \d", said)) == 1
        assert said.endswith(b"GET /first ")
        assert len(echo.scopes) == 1


async def test_continue_is_only_said_when_the_body_is_wanted() -> None:
    async def refusing(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await live(receive, send)
        else:
            await answer(send, b"no", 401)

    head = post(b"Content-Length: 3\r\nExpect: 100-continue\r\n")
    async with served(Echo()) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(head)
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"abc")
        assert await reader.readuntil(b"abc")
        writer.close()
    async with served(refusing) as server:
        said = await say(server.port, head)
    assert said.startswith(b"HTTP/1.1 401 ")


async def test_an_answer_before_the_body_is_read_arrives_and_ends_the_connection() -> None:
    async def refusing(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await live(receive, send)
        else:
            await answer(send, b"no", 401)

    body = bytes(3_000_000) + SECOND
    async with served(refusing) as server:
        said = await say(server.port, post(b"Content-Length: %d\r\n" % len(body), body))
    assert said.startswith(b"HTTP/1.1 401 ")
    assert b"connection: close" in said
    assert said.endswith(b"no")


@pytest.mark.parametrize(
    "headers",
    [
        b"X-A: " + b"a" * 5000 + b"\r\n",
        b"".join(b"X-%d: 1\r\n" % index for index in range(30)),
    ],
)
@pytest.mark.parametrize("is_whole", [True, False])
async def test_too_many_header_bytes_are_refused_before_they_are_kept(
    headers: bytes, is_whole: bool
) -> None:
    request_bytes = get(b"/", HOST + headers)
    async with served(Echo(), header_bytes=4096, headers=20) as server:
        said = await say(server.port, request_bytes if is_whole else request_bytes[:-4] * 2)
    assert said.startswith(b"HTTP/1.1 431 ")


async def test_a_long_target_counts_as_header_bytes() -> None:
    async with served(Echo(), header_bytes=4096) as server:
        said = await say(server.port, get(b"/" + b"a" * 5000))
    assert said.startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("first", [b"", b"GET /x HTTP/1.1\r\nHos", b"\r\n"])
async def test_headers_that_do_not_come_end_the_connection(first: bytes) -> None:
    async with served(Echo(), header_wait_s=0.2, keep_alive_s=0.2) as server:
        said = await say(server.port, first)
    assert said.startswith(b"HTTP/1.1 408 ") if b"Hos" in first else said == b""


async def test_dripping_bytes_do_not_keep_a_connection_without_a_request() -> None:
    async with served(Echo(), header_wait_s=0.3) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)

        async def drip() -> None:
            for byte in (get(b"/", HOST + b"X-A: " + b"a" * 1000))[:-4]:
                writer.write(bytes((byte,)))
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        assert (await asyncio.wait_for(reader.read(), 10)).startswith(b"HTTP/1.1 408 ")
        dripping.cancel()
        writer.close()


async def test_an_idle_connection_is_closed() -> None:
    async with served(Echo(), keep_alive_s=0.2) as server:
        said = await say(server.port, get(b"/"))
    assert said.endswith(b"GET / ")


async def test_more_connections_than_allowed_are_told_so() -> None:
    async with served(Echo(), connections=2) as server:
        ends = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
        for reader, writer in ends:
            writer.write(get(b"/"))
            await reader.readuntil(b"GET / ")
        said = await say(server.port, b"")
        assert said.startswith(b"HTTP/1.1 503 ")
        assert json.loads(said.partition(b"\r\n\r\n")[2])["error"]["code"] == "server:full"
        for _, writer in ends:
            writer.close()


async def test_a_bug_of_the_app_is_a_500_that_says_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def broken(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await live(receive, send)
        else:
            raise ValueError("sk-secret-4711")

    async with served(broken) as server:
        said = await say(server.port, get(b"/"))
    assert said.startswith(b"HTTP/1.1 500 ")
    assert b"guard:bug" in said
    assert "ValueError" in caplog.text
    assert "4711" not in caplog.text
    assert b"4711" not in said


async def test_a_caller_that_does_not_read_is_reset() -> None:
    ended = asyncio.Event()

    async def endless(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await live(receive, send)
            return
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        gone = asyncio.ensure_future(receive())
        while not gone.done():
            await send({"type": "http.response.body", "body": bytes(65536), "more_body": True})
            await asyncio.sleep(0)
        ended.set()

    async with served(endless, write_wait_s=0.2) as server:
        with socket.socket() as end:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            end.setblocking(False)
            await asyncio.get_running_loop().sock_connect(end, ("127.0.0.1", server.port))
            await asyncio.get_running_loop().sock_sendall(end, get(b"/"))
            await asyncio.wait_for(ended.wait(), 20)
