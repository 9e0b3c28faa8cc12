"""The provider that every peer stands in front of: tokenward's stand-in, with its bill and with a
note of when each call came in.

    python provider.py      (prints its address; SIGTERM ends it)
"""

import asyncio
import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from tokenward.lab.standin.app import Standin, make_app
from tokenward.lab.standin.server import serve
from tokenward.lab.standin.wire import Receive, Scope, Send

CREDENTIAL: Final = "sk-storm-provider"
TIMES: Final = "/_storm/times"
_TAG: Final = re.compile(rb"tag=([\w.-]+)")
_QUIET_S: Final = 1.0
_QUIET_LIMIT_S: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class Provider:
    """A running stand-in."""

    base_url: str
    pid: int

    def billed(self, storm: str) -> dict[str, int]:
        """Nano-dollars by tag of the calls whose tag begins with `storm`, once nothing is added any
        more: a cut call is billed when the provider notices. AssertionError if a call was billed
        twice, or the bill never comes to rest."""
        until_s = time.monotonic() + _QUIET_LIMIT_S
        calls = -1
        while calls != (calls := self._get("/_standin/bill?last=0")["totals"]["calls"]):
            assert time.monotonic() < until_s, f"the bill goes on growing: {calls} calls"
            time.sleep(_QUIET_S)
        found: dict[str, int] = {}
        for line in self._get("/_standin/bill")["lines"]:
            tag = line["tag"]
            if tag.startswith(f"{storm}-"):
                assert tag not in found, f"{tag} was billed twice"
                found[tag] = line["cost_nusd"]
        return found

    def came_s(self, storm: str) -> dict[str, float]:
        """When each call of a storm came in, by tag, on the monotonic clock of this machine."""
        times: dict[str, float] = self._get(TIMES)
        return {tag: came_s for tag, came_s in times.items() if tag.startswith(f"{storm}-")}

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(self.base_url + path, timeout=60) as answer:
            return json.load(answer)


@contextmanager
def running_provider() -> Iterator[Provider]:
    """A stand-in on loopback, gone when the context ends."""
    process = subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        assert url, "the stand-in did not start"
        yield Provider(base_url=url, pid=process.pid)
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()


class _Timed(Standin):
    """The stand-in, which also notes when a call with a tag was there as a whole."""

    def __init__(self, standin: Standin) -> None:
        vars(self).update(vars(standin))
        self._came_s: dict[str, float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == TIMES:
            head = {"type": "http.response.start", "status": 200, "headers": []}
            await send(head)
            await send({"type": "http.response.body", "body": json.dumps(self._came_s).encode()})
            return
        body = bytearray()

        async def watched() -> Any:
            message = await receive()
            if message["type"] == "http.request":
                body.extend(message.get("body", b""))
                tag = None if message.get("more_body") else _TAG.search(body)
                if tag is not None:
                    self._came_s.setdefault(tag[1].decode(), time.monotonic())
            return message

        await super().__call__(scope, watched, send)


if __name__ == "__main__":
    asyncio.run(
        serve(
            "127.0.0.1", 0, _Timed(make_app(None, CREDENTIAL)), lambda url: print(url, flush=True)
        )
    )
