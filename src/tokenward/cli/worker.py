"""One worker of `tokenward serve --workers`: a process that only the keeper starts.

What it needs comes on its standard input: the settings as the keeper read them, and which of its
files are what. It is told to stop over its link, and ends by itself when the keeper is gone, so it
takes no signals: those of a terminal or a service manager may reach every process at once.
"""

import logging
import signal
import socket
import sys
from pathlib import Path
from typing import Any, Final

import msgspec
import uvloop

from tokenward.kernel.errors import Fault
from tokenward.settings import Settings

FAILED: Final = 1
ORPHANED: Final = 3


class WorkOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is started with. `link` and `listening` are file descriptors."""

    settings: Settings
    instance: str
    link: int
    listening: tuple[int, ...]

    def written(self) -> bytes:
        """For the worker's standard input."""
        return msgspec.msgpack.encode(self, enc_hook=str)


def read_order(text: bytes) -> WorkOrder:
    """What was written."""
    return msgspec.msgpack.decode(text, type=WorkOrder, dec_hook=_read_path)


def _read_path(kind: type, value: Any) -> Any:
    assert kind is Path, "only paths are written as text"
    return Path(value)


def main() -> int:
    """Work until told to stop; the exit status."""
    import os

    from tokenward.app.crew import work

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    order = read_order(sys.stdin.buffer.read())
    try:
        was_told = uvloop.run(
            work(
                order.settings,
                os.environ,
                instance=order.instance,
                end=socket.socket(fileno=order.link),
                sockets=[socket.socket(fileno=number) for number in order.listening],
            )
        )
    except Fault as fault:
        logging.getLogger("tokenward.workers").error("a worker cannot work: %s", fault)
        return FAILED
    return 0 if was_told else ORPHANED


if __name__ == "__main__":
    sys.exit(main())
