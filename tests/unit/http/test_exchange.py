"""What the app says becomes one answer, framed so that no caller can read it two ways."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from tokenward.http.exchange import WHOLE_BODY, WHOLE_BODY_BYTES_MAX
from tokenward.http.lifespan import App, Message, Receive, Send
from unit.http.raw_sockets import say
from unit.http.serving import Echo, answer, live, served

GET = b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
Headers = Sequence[tuple[bytes, bytes]]


def calls(speak: Callable[[Receive, Send], Awaitable[None]]) -> App:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await live(receive, send)
        else:
            await speak(receive, send)

    return app


def speaker(*pieces: bytes, status: int = 200, headers: Headers = ()) -> App:
    async def speak(receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for piece in pieces[:-1]:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": pieces[-1]})

    return calls(speak)


async def said(app: App, request: bytes = GET) -> tuple[bytes, bytes]:
    """Head and body of the answer."""
    async with served(app) as server:
        head, _, body = (await say(server.port, request)).partition(b"\r\n\r\n")
    return head, body


async def test_an_answer_without_a_length_is_chunked() -> None:
    head, body = await said(speaker(b"one", b"", b"two"))
    assert b"transfer-encoding: chunked" in head
    assert body == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"


async def test_the_date_of_a_provider_is_passed_on_as_it_is() -> None:
    date = (b"date", b"Sun, 06 Nov 1994 08:49:37 GMT")
    head, _ = await said(speaker(b"", status=204, headers=[date]))
    assert head.split(b"\r\n")[1:] == [b": ".join(date), b"connection: close"]


async def test_to_http_1_0_the_end_of_the_connection_ends_the_answer() -> None:
    head, body = await said(speaker(b"one", b"two"), b"GET /a HTTP/1.0\r\n\r\n")
    assert b"chunked" not in head
    assert b"connection: close" in head
    assert body == b"onetwo"


@pytest.mark.parametrize(("method", "status"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)])
async def test_an_answer_that_has_no_body_gets_none(method: bytes, status: int) -> None:
    request = GET.replace(b"GET", method)
    head, body = await said(speaker(b"surplus", status=status), request)
    assert b"chunked" not in head
    assert body == b""


@pytest.mark.parametrize("pieces", [(b"1234",), (b"12",), (b"1", b"2")])
async def test_an_answer_of_another_length_than_announced_is_cut(
    pieces: tuple[bytes, ...], caplog: pytest.LogCaptureFixture
) -> None:
    _, body = await said(speaker(*pieces, headers=[(b"content-length", b"3")]))
    assert len(body) != 3
    assert "ValueError" in caplog.text


@pytest.mark.req("S-5")
@pytest.mark.parametrize(
    "header",
    [
        (b"x-a", b"b\r\nset-cookie: c=d"),
        (b"x-a", b"b\nc"),
        (b"x-a", b"b\x00"),
        (b"x-a\r\nx-b", b"c"),
        (b"x a", b"b"),
        (b"", b"b"),
    ],
)
async def test_a_header_that_cannot_be_in_http_never_leaves(header: tuple[bytes, bytes]) -> None:
    head, body = await said(speaker(b"ok", headers=[header]))
    assert head.startswith(b"HTTP/1.1 500 ")
    assert b"x-a" not in head
    assert b"guard:bug" in body


async def test_a_head_does_not_wait_for_a_body_that_comes_later() -> None:
    may_go_on = asyncio.Event()

    async def speak(receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": ()})
        await may_go_on.wait()
        await answer_end(send)

    async def answer_end(send: Send) -> None:
        await send({"type": "http.response.body", "body": b"late"})

    async with served(calls(speak)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(GET)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        may_go_on.set()
        assert await reader.read() == b"4\r\nlate\r\n0\r\n\r\n"
        writer.close()


async def test_an_answer_that_is_left_without_an_end_is_cut() -> None:
    async def speak(receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": ()})

    head, body = await said(calls(speak))
    assert head.startswith(b"HTTP/1.1 200 ")
    assert body == b""


@pytest.mark.parametrize("size", [0, 5, WHOLE_BODY_BYTES_MAX + 1])
async def test_a_body_that_came_with_its_head_needs_no_waiting_for(size: int) -> None:
    seen: list[bytes | None] = []
    echo = Echo()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            seen.append(scope.get("extensions", {}).get(WHOLE_BODY))
        await echo(scope, receive, send)

    request = b"POST /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    body = b"x" * size
    async with served(app) as server:
        told = await say(server.port, request % size + body)
    assert told.endswith(b"POST /a " + body), "it can be received all the same"
    assert seen[0] == (body if size <= WHOLE_BODY_BYTES_MAX else None)


async def test_a_body_that_comes_in_parts_is_never_taken_for_whole() -> None:
    seen: list[bool] = []
    started = asyncio.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await live(receive, send)
            return
        seen.append(WHOLE_BODY in scope["extensions"])
        started.set()
        body = b""
        while not seen[1:]:
            message = await receive()
            body += message["body"]
            if not message["more_body"]:
                seen.append(True)
        await answer(send, body)

    async with served(app) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\none")
        await started.wait()
        writer.write(b"two")
        assert (await reader.readuntil(b"onetwo")).startswith(b"HTTP/1.1 200 ")
        writer.close()
    assert seen == [False, True]
