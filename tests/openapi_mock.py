"""Steady, a mock that answers by an OpenAPI document, for the test-suites of the vendors."""

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

START_LIMIT_S = 60.0


@contextmanager
def running_mock(modules: Path, spec: str) -> Iterator[str]:
    """Its address while it serves a document that llm-comply brings along. It does not tell which
    port it chose itself, so it is given a free one."""
    found = find_spec("llm_comply")
    assert found is not None
    assert found.origin is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(modules / "node_modules" / ".bin" / "steady"), "--host", "127.0.0.1"]
    command += ["-q", "--reject-on-sdk-error=false", "-p", str(port)]
    command += [
        f"--validator-{place}-{kind}-format=brackets"
        for place in ("query", "form")
        for kind in ("array", "object")
    ]
    command.append(str(Path(found.origin).parent / "specs" / spec))
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_for(f"{address}/_x-steady/health", process)
        yield address
    finally:
        # the command is a script that starts the real program
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_LIMIT_S
    while True:
        assert process.poll() is None, "the mock did not start"
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except OSError:
            assert time.monotonic() < until, "the mock does not answer"
            time.sleep(0.1)
        else:
            return
