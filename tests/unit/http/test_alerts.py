"""What the webhook is told, and what becomes of an event that it does not take."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from tokenward.http.alerts import Alerts
from tokenward.http.upstream import HttpUpstream
from unit.http.admin_world import World

WAIT_S = 20


@dataclass
class Hook:
    """A receiver that answers with the next of `statuses`, the last one again and again. 0: it
    closes without an answer."""

    statuses: list[int]
    got: list[dict[str, Any]] = field(default_factory=list)
    port: int = 0

    async def receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        size = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        self.got.append(json.loads(await reader.readexactly(size)))
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if status:
            writer.write(
                f"HTTP/1.1 {status} X\r\nlocation: /moved\r\ncontent-length: 0\r\n"
                "connection: close\r\n\r\n".encode()
            )
            await writer.drain()
        writer.close()

    @property
    def numbers(self) -> list[int]:
        return [event["number"] for event in self.got]


@asynccontextmanager
async def telling(world: World, *statuses: int) -> AsyncIterator[tuple[Alerts, Hook]]:
    """Alerts that run toward a webhook with secrets in its path and query."""
    hook = Hook(list(statuses))
    server = await asyncio.start_server(hook.receive, "127.0.0.1", 0)
    hook.port = server.sockets[0].getsockname()[1]
    upstream = HttpUpstream(head_timeout_s=5.0, max_connections=2)
    url = f"http://127.0.0.1:{hook.port}/path-secret?token=query-secret"
    alerts = Alerts(world.store.books, upstream, url)
    task = asyncio.create_task(alerts.run(world.store.is_leader))
    await asyncio.sleep(0.1)  # what happened before it ran is not told
    try:
        yield alerts, hook
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await upstream.close()
        server.close()
        await server.wait_closed()


async def until(alerts: Alerts, told: int) -> None:
    async with asyncio.timeout(WAIT_S):
        while alerts.sent + alerts.given_up < told:
            await asyncio.sleep(0.02)


async def test_each_event_is_told_once_and_in_order(world: World) -> None:
    async with telling(world, 204) as (alerts, hook):
        for _ in range(3):
            await world.make_key()
        await until(alerts, 3)
    assert (alerts.sent, alerts.given_up) == (3, 0)
    assert hook.numbers == [1, 2, 3]
    assert [event["kind"] for event in hook.got] == ["key:created"] * 3


@pytest.mark.parametrize("status", [301, 302, 400, 401, 404, 410])
async def test_an_answer_that_no_repetition_changes_gives_the_event_up_and_is_logged_once(
    world: World, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "tokenward.alerts"):
        async with telling(world, status) as (alerts, hook):
            await world.make_key()
            await world.make_key()
            await until(alerts, 2)
    assert (alerts.sent, alerts.given_up) == (0, 2)
    assert hook.numbers == [1, 2], "each was sent once"
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.count("\n") == 0
    assert f"http://127.0.0.1:{hook.port} answered {status} to event 1 (key:created)" in line
    assert "tokenward events --after 0" in line
    assert "secret" not in line


@pytest.mark.parametrize("status", [0, 408, 429, 500, 503])
async def test_what_may_pass_is_tried_again_before_the_event_is_given_up(
    world: World, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "tokenward.alerts"):
        async with telling(world, status, 204) as (alerts, hook):
            await world.make_key()
            await until(alerts, 1)
    assert (alerts.sent, alerts.given_up) == (1, 0)
    assert hook.numbers == [1, 1]
    assert caplog.records == []


async def test_after_a_webhook_is_well_again_its_next_failure_is_logged_too(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "tokenward.alerts"):
        async with telling(world, 404, 200, 404) as (alerts, _):
            for _ in range(3):
                await world.make_key()
            await until(alerts, 3)
    assert (alerts.sent, alerts.given_up) == (1, 2)
    assert len(caplog.records) == 2


async def test_a_webhook_that_does_not_answer_is_given_up_after_three_tries(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "tokenward.alerts"):
        async with telling(world, 0) as (alerts, hook):
            await world.make_key()
            await until(alerts, 1)
    assert (alerts.given_up, hook.numbers) == (1, [1, 1, 1])
    (line,) = [record.getMessage() for record in caplog.records]
    assert "did not answer event 1" in line
