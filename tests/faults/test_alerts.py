"""Thresholds reach the operator's webhook while the guard runs."""

import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import openai

from guard import GuardProcess, provider_settings, running_guard
from standin import StandinProcess

GOT: list[dict[str, object]] = []
ARRIVED = threading.Event()


class Hook(BaseHTTPRequestHandler):
    """A webhook that fails once and then takes what it is told."""

    fails = 1

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if Hook.fails:
            Hook.fails -= 1
            self.send_response(503)
        else:
            GOT.append(json.loads(body))
            self.send_response(204)
            if GOT[-1]["kind"] == "cap:threshold":
                ARRIVED.set()
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Quiet."""


@contextmanager
def alerted(
    hook: type[BaseHTTPRequestHandler], path: str, standin: StandinProcess, folder: Path
) -> Iterator[GuardProcess]:
    """A guard that tells its events to this webhook, at this path."""
    server = HTTPServer(("127.0.0.1", 0), hook)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    alerts = f'\n[alerts]\nwebhook = "http://127.0.0.1:{server.server_port}{path}"\n'
    settings = provider_settings(standin.base_url) + alerts
    try:
        with running_guard(folder, settings, {"PROVIDER_KEY": standin.credential}) as guard:
            yield guard
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def test_a_cap_that_fills_is_told_to_the_webhook_also_when_it_failed_at_first(
    standin: StandinProcess, tmp_path: Path
) -> None:
    with alerted(Hook, "/hook", standin, tmp_path) as guard:
        _, key = guard.key("--cap", "0.001/day")
        with openai.OpenAI(api_key=key, base_url=f"{guard.base_url}/v1") as client:
            client.chat.completions.create(
                model="gpt-5-mini",
                max_completion_tokens=450,
                service_tier="default",
                messages=[{"role": "user", "content": "[[standin output_tokens=400]]"}],
            )
        assert ARRIVED.wait(20), GOT
    told = [event for event in GOT if event["kind"] == "cap:threshold"]
    assert all(str(event["subject"]).startswith("key:") for event in told)
    assert key not in json.dumps(GOT)


class Gone(BaseHTTPRequestHandler):
    """A webhook that is no longer there."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(404)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Quiet."""


def test_a_webhook_that_takes_nothing_shows_in_the_metrics_and_in_one_line_of_the_log(
    standin: StandinProcess, tmp_path: Path
) -> None:
    with alerted(Gone, "/hook-secret", standin, tmp_path) as guard:
        guard.key()
        guard.key()
        until = time.monotonic() + 20
        shown = ""
        while "tokenward_alerts_given_up 2.0" not in shown:
            assert time.monotonic() < until, shown
            with urllib.request.urlopen(f"{guard.base_url}/metrics", timeout=10) as answer:
                shown = answer.read().decode()
        assert "tokenward_alerts_sent 0.0" in shown
        (line,) = guard.log().splitlines()
    assert "answered 404 to event 1 (key:created)" in line
    assert "hook-secret" not in line
