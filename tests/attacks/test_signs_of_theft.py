"""Theft that shows: caught on a running guard over real HTTP, told to people, and undone."""

import json
import re
import time
from collections.abc import Iterator
from threading import Thread

import pytest

from attacks.probe import CHAT, MESSAGES, Answer, ask
from guard import GuardProcess, provider_settings, running_guard
from standin import StandinProcess

OWNER = (("user-agent", "curl/8.14.1"), ("accept", "*/*"))
THIEF = (
    ("user-agent", "python-requests/2.34.2"),
    ("accept-encoding", "gzip, deflate"),
    ("accept", "*/*"),
    ("connection", "keep-alive"),
)
ANOTHER = (("user-agent", "Go-http-client/1.1"), ("accept-encoding", "gzip"))
Head = tuple[tuple[str, str], ...]
CAP = "5.00/day"


@pytest.fixture
def own(
    standin: StandinProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GuardProcess]:
    """A guard of the test's own: whom it has met is part of the test."""
    environ = {"PROVIDER_KEY": standin.credential}
    folder = tmp_path_factory.mktemp("own")
    with running_guard(folder, provider_settings(standin.base_url), environ) as running:
        yield running


def say(
    guard: GuardProcess,
    key: str,
    who: Head = OWNER,
    *,
    model: str = "gpt-5-mini",
    text: str = "What is the weather like in Lisbon today?",
    **more: object,
) -> Answer:
    """One chat call of somebody's program."""
    body = {"model": model, "messages": [{"role": "user", "content": text}]}
    body |= {"max_completion_tokens": 200, **more}
    head = [*who, ("content-type", "application/json"), ("authorization", f"Bearer {key}")]
    return ask(guard.base_url, "POST", CHAT.path, head, json.dumps(body).encode())


def use_normally(guard: GuardProcess, key: str, count: int = 8) -> None:
    """Days of an owner's traffic, as far as a test has days."""
    for number in range(count):
        answer = say(guard, key, text=f"Please summarise ticket {number} in one sentence.")
        assert answer.status == 200, answer.body


def facts(answer: Answer) -> dict[str, str]:
    """What a refusal says for programs."""
    error = answer.json["error"]
    assert isinstance(error, dict)
    return error


def stopped(guard: GuardProcess, metric: str = "incidents") -> dict[str, int]:
    """How often each action was counted; none that never was."""
    text = ask(guard.base_url, "GET", "/metrics", []).body.decode()
    found = re.findall(rf'(?m)^tokenward_{metric}_total{{action="([^"]+)"}} (\d+)', text)
    assert {action for action, _ in found} >= {"hold", "challenge", "freeze"}, "from the start"
    return {action: int(count) for action, count in found if int(count)}


@pytest.mark.req("K-8")
def test_the_first_call_of_a_dearer_model_is_held_and_passes_once_somebody_means_it(
    own: GuardProcess, standin: StandinProcess
) -> None:
    key_id, key = own.key("--cap", CAP)
    use_normally(own, key)
    held = say(own, key, model="gpt-4o", text="A dear one, please: K-8.")
    assert (held.status, held.code) == (403, "stepup:required")
    assert held.headers["x-should-retry"] == "false"
    incident = facts(held)["incident"]
    assert facts(held)["way_out"] == f"tokenward incident undo {incident}"
    assert say(own, key).status == 200, "everything else goes on"
    assert say(own, key, model="gpt-4o").code == "stepup:required", "it stays held"
    assert "K-8" not in json.dumps([line for line in standin.bill() if "gpt-4o" in str(line)])

    shown = own.cli("incident", "show", incident)
    assert (shown["state"], shown["subject"]) == ("open", f"key:{key_id}")
    assert (shown["calls_before_stop"], shown["cost_before_stop_nusd"]) == (0, 0), "its owner's"
    assert shown["evidence"][0]["class"] == "E2"
    assert "times as much as the dearest" in shown["evidence"][0]["reason"]
    assert [each["id"] for each in own.cli("incident", "list")] == [incident], "one, not one a try"
    assert stopped(own) == {"hold": 1}
    assert all(cap["held"] == 0 for cap in own.wait_until_settled())

    assert own.cli("incident", "undo", incident)["state"] == "false_alarm"
    assert say(own, key, model="gpt-4o").status == 200
    refused = [
        each for each in own.recorded(key_id, 12) if each.get("refusal") == "stepup:required"
    ]
    assert [each.get("cost_nusd", 0) for each in refused] == [0, 0]
    assert refused[0]["incident"] == incident


@pytest.mark.req("K-7")
def test_whoever_tries_a_key_out_is_challenged_and_the_owner_goes_on(own: GuardProcess) -> None:
    _, key = own.key("--cap", CAP)
    use_normally(own, key)
    probe = say(own, key, THIEF, text="", max_completion_tokens=None, max_tokens=-1)
    assert probe.status == 400, "the probe itself gets what it asked for: an error, at no cost"
    drain = say(own, key, THIEF)
    assert (drain.status, drain.code) == (403, "stepup:required"), "nothing billable follows"
    use_normally(own, key, 3)
    [incident] = own.cli("incident", "list")
    assert incident["actions"] == ["challenge"]
    assert stopped(own) == {"challenge": 1}
    assert any("try out stolen keys" in each["reason"] for each in incident["evidence"])
    assert incident["calls_before_stop"] == 0
    assert incident["cost_before_stop_nusd"] == 0
    events = own.cli("events")
    assert any(each["kind"] == "incident:opened" for each in events), "and people hear of it"


@pytest.mark.req("K-7")
@pytest.mark.parametrize("path", ["/v1/organizations", "/dashboard/billing/credit_grants"])
def test_a_route_that_only_key_checkers_call_betrays_them(own: GuardProcess, path: str) -> None:
    _, key = own.key("--cap", CAP)
    use_normally(own, key)
    head = [*THIEF, ("authorization", f"Bearer {key}")]
    assert ask(own.base_url, "GET", path, head).status == 404
    assert say(own, key, THIEF).code == "stepup:required"
    assert say(own, key).status == 200


def test_a_running_stream_of_a_stranger_is_cut_and_says_what_it_cost(own: GuardProcess) -> None:
    key_id, key = own.key("--cap", CAP)
    use_normally(own, key)
    told: list[Answer] = []
    slow = "[[standin output_tokens=400 chunks=200 gap_ms=50]] Tell me everything."
    stream = Thread(target=lambda: told.append(say(own, key, THIEF, text=slow, stream=True)))
    stream.start()
    until = time.monotonic() + 10
    while not [cap for cap in own.cli("cap", "list", f"key:{key_id}") if cap["held"]]:
        assert time.monotonic() < until, "the stream never began"
    say(own, key, THIEF, text="", max_completion_tokens=None, max_tokens=-1)
    stream.join(10)
    assert not stream.is_alive(), "it would have run for ten seconds"
    [incident] = own.cli("incident", "list")
    assert incident["calls_before_stop"] == 1
    assert incident["cost_before_stop_nusd"] > 0, "what runs counts at what it may cost"
    cut = [each for each in own.recorded(key_id, 10) if each.get("outcome") == "cut"]
    assert [each["incident"] for each in cut] == [incident["id"]]
    assert b"What was used is charged" in told[0].body


def test_who_may_be_a_thief_goes_on_slowly_until_somebody_says_that_it_is_meant(
    standin: StandinProcess, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = provider_settings(standin.base_url)
    settings += "\n[policy]\nfalse_challenges_per_key_month = 1e-6\nsuspect_calls_per_minute = 3\n"
    environ = {"PROVIDER_KEY": standin.credential}
    with running_guard(tmp_path_factory.mktemp("slow"), settings, environ) as slow:
        _, key = slow.key("--cap", CAP)
        use_normally(slow, key)
        say(slow, key, THIEF, text="", max_completion_tokens=None, max_tokens=-1)
        answers = [say(slow, key, THIEF) for _ in range(12)]  # at most two minutes' worth
        passed = [each for each in answers if each.status == 200]
        stopped = [each for each in answers if each.status == 429]
        assert len(passed) + len(stopped) == 12
        assert 3 <= len(passed) <= 6
        assert {each.code for each in stopped} == {"rate:suspect"}
        assert 1 <= int(stopped[-1].headers["retry-after"]) <= 60
        assert all(cap["held"] == 0 for cap in slow.wait_until_settled()), "nothing is charged"
        use_normally(slow, key)
        [incident] = slow.cli("incident", "list")
        assert incident["actions"] == ["throttle"]
        assert incident["things"][0] == "pace:suspects"
        assert incident["things"][1].startswith("origin:"), "named, so that an undo clears it"
        assert facts(stopped[0])["incident"] == incident["id"]
        assert any("tried out the key" in each["reason"] for each in incident["evidence"])
        slow.cli("incident", "undo", incident["id"])
        assert [say(slow, key, THIEF).status for _ in range(8)] == [200] * 8


def test_a_greeting_alone_challenges_nobody(own: GuardProcess) -> None:
    _, key = own.key("--cap", CAP)
    use_normally(own, key)
    assert say(own, key, THIEF, text="hi", max_completion_tokens=16).status == 200
    assert own.cli("incident", "list") == []


def test_a_second_stranger_freezes_the_key_and_one_command_gives_it_back(
    own: GuardProcess,
) -> None:
    key_id, key = own.key("--cap", CAP)
    use_normally(own, key)
    for who in (THIEF, ANOTHER):
        say(own, key, who, text="", max_completion_tokens=None, max_tokens=-1)
    newest = own.cli("incident", "list")[0]
    assert newest["actions"] == ["freeze"]
    frozen = say(own, key)
    assert frozen.code == "key:frozen"
    assert facts(frozen)["way_out"] == f"tokenward incident undo {newest['id']}"
    assert own.cli("key", "show", key_id)["state"] == "frozen"
    assert "127.0.0.1" in newest["who"], "whom to ask about"
    own.cli("incident", "undo", newest["id"])
    assert say(own, key).status == 200
    assert say(own, key, THIEF).code == "stepup:required", "the other incident stands"


def test_what_was_confirmed_stays_stopped(own: GuardProcess) -> None:
    _, key = own.key("--cap", CAP)
    use_normally(own, key)
    say(own, key, THIEF, text="", max_completion_tokens=None, max_tokens=0 - 1)
    [incident] = own.cli("incident", "list")
    assert own.cli("incident", "confirm", incident["id"])["state"] == "confirmed"
    assert say(own, key, THIEF).code == "stepup:required"
    assert say(own, key).status == 200


def test_a_restart_forgets_neither_what_is_usual_nor_who_is_stopped(own: GuardProcess) -> None:
    _, key = own.key("--cap", CAP)
    use_normally(own, key)
    say(own, key, THIEF, text="", max_completion_tokens=None, max_tokens=-1)
    own.stop()
    own.start()
    assert say(own, key, THIEF).code == "stepup:required"
    assert say(own, key, model="gpt-4o").code == "stepup:required", "cheap calls are remembered"
    assert say(own, key).status == 200


def test_after_a_crash_the_guard_knows_what_it_had_kept(own: GuardProcess) -> None:
    _, key = own.key("--cap", CAP)
    use_normally(own, key)
    say(own, key, THIEF, text="", max_completion_tokens=None, max_tokens=-1)
    own.kill()
    own.start()
    assert say(own, key, THIEF).code == "stepup:required", "an incident is durable before it acts"


def test_observing_records_what_would_be_done_and_does_nothing(
    standin: StandinProcess, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = provider_settings(standin.base_url) + '\n[policy]\nmode = "observe"\n'
    environ = {"PROVIDER_KEY": standin.credential}
    with running_guard(tmp_path_factory.mktemp("observe"), settings, environ) as watching:
        key_id, key = watching.key("--cap", CAP)
        use_normally(watching, key)
        assert say(watching, key, model="gpt-4o").status == 200
        records = watching.recorded(key_id, 9)
        assert [each["would"] for each in records if "would" in each] == ["hold"]
        assert watching.cli("incident", "list") == []
        assert (stopped(watching), stopped(watching, "would")) == ({}, {"hold": 1})


def test_a_project_can_be_left_out(
    standin: StandinProcess, tmp_path_factory: pytest.TempPathFactory
) -> None:
    settings = provider_settings(standin.base_url)
    settings += '\n[policy.project.tests]\nhold_dearer_models = false\nkind = "developer"\n'
    environ = {"PROVIDER_KEY": standin.credential}
    with running_guard(tmp_path_factory.mktemp("project"), settings, environ) as lenient:
        _, key = lenient.key("--cap", CAP)
        use_normally(lenient, key)
        assert say(lenient, key, model="gpt-4o").status == 200


def test_a_model_that_the_owner_wrote_down_is_meant(own: GuardProcess) -> None:
    _, key = own.key("--cap", CAP, "--model", "gpt-5-mini", "--model", "gpt-4o")
    use_normally(own, key)
    assert say(own, key, model="gpt-4o").status == 200


def test_what_a_caller_sends_never_breaks_the_scoring(own: GuardProcess) -> None:
    key_id, key = own.key("--cap", CAP)
    use_normally(own, key)
    long = "x" * 20_000
    many = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}] * 5_000
    odd: list[dict[str, object]] = [
        {"messages": many},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "\ud800"}]}]},
        {"messages": [{"role": "system", "content": long}, {"role": "user", "content": "é" * 999}]},
        {"messages": [{"role": "user", "content": "hi"}], "tools": [{"type": "function"}] * 200},
    ]
    for body in odd:
        whole = {"model": "gpt-5-mini", "max_completion_tokens": 10, **body}
        head = [*OWNER, ("x-odd", "é" * 2_000), ("authorization", f"Bearer {key}")]
        answer = ask(own.base_url, "POST", CHAT.path, head, json.dumps(whole).encode())
        assert answer.status in (200, 400), answer.body[:300]
    assert all(not each.get("fault") for each in own.recorded(key_id, 12))


def test_refusals_speak_the_dialect_that_was_called(own: GuardProcess) -> None:
    _, key = own.key("--cap", CAP)
    use_normally(own, key)
    body = {**MESSAGES.body, "model": "claude-opus-5-5"}
    head = [*OWNER, *MESSAGES.headers(key)]
    answer = ask(own.base_url, "POST", MESSAGES.path, head, json.dumps(body).encode())
    assert (answer.status, answer.code) == (403, "stepup:required")
    assert answer.json["type"] == "error"
    assert answer.json["error"]["type"] == "permission_error"
