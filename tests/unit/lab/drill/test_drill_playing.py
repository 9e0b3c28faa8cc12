"""What a play makes of a guard's answers: who is stopped, who is slowed, and who gives up."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tokenward.lab.drill.drilling import is_false_alarm, is_within, value_of
from tokenward.lab.drill.playing import GIVES_UP_AFTER, TAKEN_MAX, Play
from tokenward.lab.drill.world import DrillError, World
from tokenward.lab.processes import Processes
from tokenward.lab.stories import Story, load_stories

SERVED = {"choices": [{"message": {"role": "assistant", "content": "yes"}}]}
SLOWED, STOPPED = (429, "rate:suspect"), (403, "stepup:required")


@dataclass
class Answers:
    """What a guard would say: `refuses` (status, code) all but each `passes_each`th call until it
    is undone. `calls` and `undos` are what came."""

    refuses: tuple[int, str | None] | None = None
    action: str = ""
    passes_each: int = 0
    detectors: tuple[str, ...] = ("novelty", "fusion")
    calls: int = 0
    undos: int = 0
    incidents: list[dict[str, Any]] = field(default_factory=list)

    def admin(self, method: str, path: str) -> Any:
        if path == "/_standin/bill?last=0":
            return {"totals": {"cost_nusd": 0}}
        if path.endswith("/undo"):
            self.undos += 1
            self.refuses, self.incidents[0]["state"] = None, "undone"
        if path.startswith("/admin/v1/incidents"):
            return self.incidents
        return {"id": "k1", "key": "tw_sk_not-a-key"}

    def call(self) -> tuple[int, Any]:
        self.calls += 1
        is_passed = self.passes_each and self.calls % self.passes_each == 0
        if self.refuses is None or is_passed:
            return 200, SERVED
        if self.action and not self.incidents:
            signs = [
                {"detector": detector, "class": "E2", "reason": f"what {detector} says"}
                for detector in self.detectors
            ]
            self.incidents.append(
                {
                    "id": "inc_1",
                    "subject": "key:k1",
                    "state": "open",
                    "actions": [self.action],
                    "evidence": signs,
                }
            )
        return self.refuses[0], {"error": {"code": self.refuses[1], "message": "no"}}


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def world(answers: Answers, tmp_path: Path) -> Iterator[World]:
    """Guard and provider are one server here, that gives the answers above."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            status, said = 200, None
            if self.path.startswith("/admin/") or self.path.startswith("/_standin/"):
                said = answers.admin(self.command, self.path)
            else:
                status, said = answers.call()
            body = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", f"{len(body)}")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing is printed."""

    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "admin.token").write_text("not-a-token", "ascii")
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        processes = Processes(folder=tmp_path, credential="none", failure=DrillError)
        yield World(processes, url, url)
        server.shutdown()
        thread.join()


def story(name: str) -> Story:
    return next(each for each in load_stories() if each.name == name)


def prepared(name: str, world: World) -> Play:
    play = Play(story(name), 1, lambda name: None)
    play.prepare(world)
    return play


def test_a_thief_who_is_slowed_gives_up_and_is_not_called_caught(
    answers: Answers, world: World
) -> None:
    play = prepared("slow_drip", world)
    answers.refuses, answers.action = SLOWED, "throttle"
    drilled = play.steal(world)
    assert (drilled.sent, drilled.slowed, drilled.calls) == (GIVES_UP_AFTER, GIVES_UP_AFTER, 0)
    assert not drilled.is_caught
    assert not is_within(drilled)
    assert drilled.others == {}
    assert answers.undos == 1
    assert drilled.is_undone is True
    assert (drilled.owner_refused, drilled.owner_slowed, drilled.owner_passes) == (1, 1, False)
    value = value_of([drilled], 1, 30)
    assert value["stories"][0]["slowed"] == GIVES_UP_AFTER
    assert value["suspect_calls_per_minute"] == 30


def test_a_thief_who_is_stopped_is_caught_and_was_not_slowed(
    answers: Answers, world: World
) -> None:
    play = prepared("slow_drip", world)
    answers.refuses, answers.action = STOPPED, "challenge"
    drilled = play.steal(world)
    assert (drilled.sent, drilled.slowed, drilled.is_caught) == (GIVES_UP_AFTER, 0, True)


@pytest.mark.parametrize(
    ("detectors", "by"), [(("novelty", "fusion"), ["novelty"]), (("fusion",), ["fusion"])]
)
def test_all_signs_together_stopped_a_thief_only_where_no_sign_alone_is_named(
    answers: Answers, world: World, detectors: tuple[str, ...], by: list[str]
) -> None:
    play = prepared("slow_drip", world)
    answers.refuses, answers.action, answers.detectors = STOPPED, "challenge", detectors
    assert value_of([play.steal(world)], 1, 30)["stories"][0]["by"] == by


def test_a_thief_of_whom_some_calls_pass_goes_on_and_is_slowed_all_the_same(
    answers: Answers, world: World
) -> None:
    play = prepared("slow_drip", world)
    answers.refuses, answers.action, answers.passes_each = SLOWED, "throttle", 3
    drilled = play.steal(world)
    assert drilled.sent == TAKEN_MAX
    assert drilled.slowed > GIVES_UP_AFTER
    assert drilled.slowed + drilled.calls == TAKEN_MAX
    assert not drilled.is_caught


def test_all_of_a_burst_that_is_refused_is_counted_and_told_apart(
    answers: Answers, world: World
) -> None:
    play = prepared("sdk_upgrade", world)
    before = play.drilled.owner_calls
    answers.refuses, answers.action, answers.passes_each = SLOWED, "throttle", 2
    drilled = play.change(world)
    burst = drilled.owner_calls - before
    assert burst >= 4
    assert burst // 2 <= drilled.owner_slowed == drilled.owner_refused <= burst // 2 + 1
    assert (drilled.owner_held, answers.undos) == (0, 0)
    assert is_false_alarm(drilled)
    alarms = value_of([drilled], 1, 30)["false_alarms"]
    assert alarms["refused"] == alarms["slowed"] == drilled.owner_slowed


def test_an_owner_who_is_stopped_says_so_and_was_not_slowed(answers: Answers, world: World) -> None:
    play = prepared("sdk_upgrade", world)
    answers.refuses, answers.action = STOPPED, "hold"
    drilled = play.change(world)
    assert (drilled.owner_refused, drilled.owner_held, drilled.owner_slowed) == (1, 1, 0)
    assert answers.undos == 1


def test_a_refusal_without_a_code_is_told_by_its_status(answers: Answers, world: World) -> None:
    play = prepared("slow_drip", world)
    answers.refuses = (400, None)
    drilled = play.steal(world)
    assert drilled.others == {"status 400": TAKEN_MAX}
    assert (drilled.slowed, drilled.is_caught, drilled.is_undone) == (0, False, None)
