"""The stand-in as a process: uvicorn on loopback, one line when it is ready."""

import argparse
import asyncio
import ipaddress
import re
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import uvicorn
from uvicorn.loops.auto import auto_loop_factory
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tokenward.lab.standin.app import Standin, make_app
from tokenward.lab.standin.wire import RESET_KEY

_NO_LINGER: Final = struct.pack("ii", 1, 0)
_BACKLOG: Final = 2_048
_KEEP_ALIVE_S: Final = 75
_STOP_S: Final = 1


class _Connection(HttpToolsProtocol):
    """A connection whose application can reset it: with SO_LINGER at 0, closing sends RST."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)

        def reset() -> None:
            if not transport.is_closing():  # else the caller was faster, and there is no socket
                pipe = transport.get_extra_info("socket")
                pipe.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            transport.abort()

        self.app_state = {**self.app_state, RESET_KEY: reset}


async def serve(
    host: str,
    port: int,
    app: Standin,
    on_ready: Callable[[str], None] = lambda _url: None,
) -> None:
    """Serve until SIGTERM or SIGINT. `port` 0 takes a free one; `on_ready` gets the base URL.

    Raises ValueError unless `host` is a loopback address.
    """
    if not ipaddress.ip_address(host).is_loopback:
        raise ValueError(f"the stand-in answers on loopback only, not on {host}")
    listener = socket.create_server((host, port), backlog=_BACKLOG)
    config = uvicorn.Config(
        app,
        http=_Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_STOP_S,
    )
    on_ready(f"http://{host}:{listener.getsockname()[1]}")
    try:
        await uvicorn.Server(config).serve(sockets=[listener])
    finally:
        app.bill.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m tokenward.lab.standin --port 0 --credential X --bill FILE`."""
    parser = argparse.ArgumentParser(prog="tokenward.lab.standin", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--credential", default="", help="what callers must present")
    parser.add_argument("--bill", type=Path, help="a file of JSON lines, appended to")
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        type=_extra,
        metavar="NAME=INPUT/OUTPUT",
        help="serves one more model, at dollars a million tokens",
    )
    options = parser.parse_args(arguments)
    app = make_app(options.bill, options.credential, dict(options.model))
    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        runner.run(serve(options.host, options.port, app, _announce))
    return 0


def _announce(url: str) -> None:
    sys.stdout.write(f"stand-in ready on {url}\n")
    sys.stdout.flush()


def _extra(text: str) -> tuple[str, tuple[str, str]]:
    found = re.fullmatch(r"(.+)=([\d.]+)/([\d.]+)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=INPUT/OUTPUT")
    return found[1], (found[2], found[3])
