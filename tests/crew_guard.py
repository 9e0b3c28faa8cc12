"""A guard of several worker processes, and kept connections to each of them."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from caller import NOT_NOW, NOT_NOW_S, claude
from guard import GuardProcess, provider_settings
from standin import StandinProcess

WORKERS = 4
QUICK = "output_tokens=5"
LONG = "chunks=300; gap_ms=100"
NOTICED_S = 20.0


@contextmanager
def running_crew(
    folder: Path,
    standin: StandinProcess,
    workers: int = WORKERS,
    settings: str = "",
    environ: Mapping[str, str] | None = None,
) -> Iterator[GuardProcess]:
    """A guard of so many workers; it stops well, and with it all of its processes."""
    server = f"\n[server]\nworkers = {workers}\n{settings or 'drain_s = 2'}\n"
    text = provider_settings(standin.base_url) + server
    guard = GuardProcess(folder, text, {"PROVIDER_KEY": standin.credential, **(environ or {})})
    guard.start()
    children = workers_of(guard)
    try:
        yield guard
    finally:
        if guard.is_running:
            children += workers_of(guard)
            assert guard.stop() == 0, guard.log()
        until = time.monotonic() + NOTICED_S
        while any(is_alive(pid) for pid in children):
            assert time.monotonic() < until, "a worker outlived its keeper"
            time.sleep(0.02)


def workers_of(guard: GuardProcess) -> list[int]:
    """The worker processes of a running guard."""
    children = Path(f"/proc/{guard.pid}/task/{guard.pid}/children").read_text("ascii")
    return [int(pid) for pid in children.split()]


def is_alive(pid: int) -> bool:
    """Whether the process runs (or is stopped), and is not just waiting to be buried."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text("ascii")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in ("Z", "X")


def listener_of(guard_port: int, our_port: int) -> int | None:
    """The process at the guard's end of a connection between these ports."""
    ends, inode = (f":{guard_port:04X}", f":{our_port:04X}"), ""
    for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]:
        fields = line.split()
        if (fields[1][-5:], fields[2][-5:]) == ends and fields[3] == "01":
            inode = fields[9]
    for process in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(process.readlink()) == f"socket:[{inode}]":
                return int(process.parts[2])
        except OSError:
            continue
    return None


class Line:
    """One kept connection: all of its calls meet the same worker, which it knows."""

    def __init__(self, guard: GuardProcess) -> None:
        host, _, port = guard.base_url.removeprefix("http://").partition(":")
        self._host, self._port = host, int(port)
        self.worker = 0
        self.nonce = ""
        """For the next proof, as the last answer gave it."""

    async def open(self) -> "Line":
        """Connect, and look who is at the other end."""
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        port = self._writer.get_extra_info("sockname")[1]
        await self.get("/healthz")
        found = await asyncio.to_thread(listener_of, self._port, port)
        assert found is not None
        self.worker = found
        return self

    async def get(self, path: str) -> tuple[int, bytes]:
        """Status and body."""
        return await self.exchange(f"GET {path} HTTP/1.1\r\nhost: {self._host}\r\n\r\n".encode())

    async def call(self, key: str, tag: str, script: str = QUICK) -> tuple[int, str]:
        """A call in one piece: status, and the refusal's code. What was refused only because the
        records or the keys were out of sight for a moment, as they are on a busy machine, was not
        sent and is asked again."""
        until = time.monotonic() + NOTICED_S
        while True:
            status, code = await self.call_once(key, tag, script)
            if status != 503 or code not in NOT_NOW or time.monotonic() > until:
                return status, code
            await asyncio.sleep(NOT_NOW_S)

    async def call_once(
        self, key: str, tag: str, script: str = QUICK, *, proof: str = ""
    ) -> tuple[int, str]:
        """The same, with a DPoP proof if given, and whatever the answer is."""
        body = json.dumps(claude(stream=False).body).encode()
        shown = (
            f"authorization: DPoP {key}\r\ndpop: {proof}\r\n" if proof else f"x-api-key: {key}\r\n"
        )
        head = (
            f"POST /v1/messages HTTP/1.1\r\nhost: {self._host}\r\n{shown}"
            f"x-standin: tag={tag}; {script}\r\nx-request-id: {tag}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        status, answer = await self.exchange(head.encode() + body)
        return status, json.loads(answer).get("error", {}).get("code", "")

    async def exchange(self, request: bytes) -> tuple[int, bytes]:
        """Status and body of the answer to any request."""
        self._writer.write(request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        lines = (line.partition(":") for line in head.splitlines()[1:])
        headers = {name.lower(): value.strip() for name, _, value in lines}
        status = int(head.split()[1])
        self.nonce = headers.get("dpop-nonce", "")
        if headers.get("transfer-encoding") != "chunked":
            return status, await self._reader.readexactly(int(headers["content-length"]))
        body = b""
        while size := int(await self._reader.readline(), 16):
            body += (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readexactly(2)
        return status, body

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


@asynccontextmanager
async def lines_to_all(guard: GuardProcess) -> AsyncIterator[list[Line]]:
    """One kept connection to each worker."""
    wanted, found = set(workers_of(guard)), dict[int, Line]()
    until = time.monotonic() + NOTICED_S
    try:
        while found.keys() != wanted:
            assert time.monotonic() < until, (
                f"connections reach {found.keys()}, not all of {wanted}"
            )
            line = await Line(guard).open()
            if found.setdefault(line.worker, line) is not line:
                line.close()
        yield list(found.values())
    finally:
        for line in found.values():
            line.close()


async def until_so(is_so: Callable[[], bool], wait_s: float = NOTICED_S) -> None:
    """Wait until it is so."""
    until = time.monotonic() + wait_s
    while not is_so():
        assert time.monotonic() < until
        await asyncio.sleep(0.02)


async def admin_at(line: Line, guard: GuardProcess, path: str) -> None:
    """A command to the worker of this line, so that none is asked of a stopped one."""
    head = (
        f"POST /admin/v1{path} HTTP/1.1\r\nhost: guard\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {guard.admin_token}\r\ncontent-length: 2\r\n\r\n{{}}"
    )
    status, body = await line.exchange(head.encode())
    assert status == 200, body


async def counted(line: Line, at_least: float = 0) -> float:
    """Calls that were answered, as this worker shows them: soon at least so many."""
    prefix = 'tokenward_requests_total{dialect="anthropic",refusal="",status="200"} '
    until = time.monotonic() + NOTICED_S
    while True:
        shown = (await line.get("/metrics"))[1].decode().splitlines()
        found = [float(each.removeprefix(prefix)) for each in shown if each.startswith(prefix)]
        total = sum(found)
        if total >= at_least or time.monotonic() > until:
            return total
        await asyncio.sleep(0.05)  # a call is counted a moment after its last byte
