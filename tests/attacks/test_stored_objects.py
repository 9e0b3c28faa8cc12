"""What is kept at a provider belongs to all keys alike: closed, unless the operator opens it."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from attacks.probe import (
    CHAT,
    COMPLETIONS,
    RESPONSES,
    WAIT_S,
    Answer,
    Entrance,
    Key,
    admin,
    ask,
    assert_refused,
    new_key,
    nothing_happens,
    post,
    settled_caps,
)
from guard import GuardProcess, running_guard
from keeper import DONE, QUEUED, Keeper, running_keeper
from standin import StandinProcess
from tokenward.providers.openai.stored import ROUTES

CREDENTIAL = "sk-keeper"
MODEL = "ft:gpt-4o-mini:acemeco:suffix:abc123"
SETTINGS = """
[[provider]]
name = "keeper"
dialect = "openai"
base_url = "KEEPER"
credential = "env:KEEPER_KEY"
models = ["gpt-*", "ft:*", "mine", "boundless"]
stored_objects = true
default_model = "gpt-5-mini"

[[provider]]
name = "closed"
dialect = "openai"
base_url = "http://127.0.0.1:9"
credential = "none"
models = ["closed-*"]

[prices]
mine = { input_usd_per_mtok = 1, output_usd_per_mtok = 2, context_tokens = 1000 }
boundless = { input_usd_per_mtok = 1, output_usd_per_mtok = 2 }
"""
BACKGROUND = {**RESPONSES.body, "background": True}
UPDATE = json.dumps({"metadata": {"a": "b"}}).encode()


@dataclass(frozen=True)
class Shared:
    """A guard that opens what its provider keeps."""

    guard: GuardProcess
    keeper: Keeper

    def call(self, key: Key, method: str, path: str, body: bytes = b"") -> Answer:
        """One call of a stored object, or of anything else."""
        return ask(self.guard.base_url, method, path, CHAT.headers(key.text), body)

    def record(self, answer: Answer) -> dict[str, Any]:
        """The record of the call that was answered so; it is written a moment later."""
        until = time.monotonic() + WAIT_S
        while True:
            for record in admin(self.guard, "GET", "/records?limit=1000").json:
                if record["request_id"] == answer.headers["x-request-id"]:
                    return dict(record)
            assert time.monotonic() < until, "the call was not recorded"
            time.sleep(0.02)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    folder = tmp_path_factory.mktemp("shared")
    with running_keeper() as keeper:
        settings = SETTINGS.replace("KEEPER", keeper.base_url, 1)
        with running_guard(folder, settings, {"KEEPER_KEY": CREDENTIAL}) as guard:
            yield Shared(guard, keeper)


@pytest.fixture
def shared(opened: Shared) -> Shared:
    opened.keeper.take()
    return opened


@pytest.fixture
def key(shared: Shared) -> Key:
    return new_key(shared.guard, caps=["5.00/day"])


def stored_calls() -> list[tuple[str, str, bytes]]:
    """One call of every route to what is stored."""
    return [
        (
            route.method,
            route.path.replace("{id}", "resp_1").replace("{model}", MODEL),
            UPDATE if route.operation == "update_chat" else b"",
        )
        for route in ROUTES
    ]


@pytest.mark.req("S-1")
def test_it_is_closed_by_default_and_the_refusal_names_the_setting(
    guard: GuardProcess, standin: StandinProcess
) -> None:
    key = new_key(guard, caps=["5.00/day"])
    with nothing_happens(guard, standin, key):
        for method, path, body in stored_calls():
            path = path.replace(MODEL, "gpt-5-mini")
            answer = ask(guard.base_url, method, path, CHAT.headers(key.text), body)
            assert_refused(answer, CHAT, "route:closed", 403)
            assert "stored_objects = true" in answer.error[1]
        assert_refused(post(guard, RESPONSES, key.text, BACKGROUND), RESPONSES, "route:closed", 403)


@pytest.mark.req("M-9")
def test_where_it_is_open_it_passes_as_it_came_and_costs_nothing(shared: Shared, key: Key) -> None:
    before = settled_caps(shared.guard, key)
    for (method, path, body), route in zip(stored_calls(), ROUTES, strict=True):
        answer = shared.call(key, method, f"{path}?limit=2&stream=true", body)
        assert answer.status == 200, answer
        (seen,) = shared.keeper.seen
        assert (seen.body, seen.headers["authorization"]) == (body, f"Bearer {CREDENTIAL}")
        assert key.text not in str(seen)
        assert shared.keeper.take() == [(method, f"{path}?limit=2&stream=true")]
        record = shared.record(answer)
        assert (record["route"], record["key"], record["provider"]) == (
            route.operation,
            key.id,
            "keeper",
        )
        assert (record["outcome"], record.get("cost_nusd", 0)) == ("complete", 0)
    assert settled_caps(shared.guard, key) == before


@pytest.mark.req("S-1")
@pytest.mark.parametrize("models", [["gpt-5*"], ["*"]])
def test_a_key_for_some_models_does_not_reach_what_tells_no_model(
    shared: Shared, models: list[str]
) -> None:
    key = new_key(shared.guard, models=models)
    for method, path, body in stored_calls():
        if MODEL not in path:
            assert_refused(shared.call(key, method, path, body), CHAT, "model:not_allowed", 403)
    assert shared.keeper.take() == []


def test_a_model_is_deleted_by_a_key_that_may_use_it(shared: Shared) -> None:
    path = f"/v1/models/{MODEL}"
    other = new_key(shared.guard, models=["gpt-*"])
    assert_refused(shared.call(other, "DELETE", path), CHAT, "model:not_allowed", 403)
    assert shared.call(new_key(shared.guard, models=["ft:*"]), "DELETE", path).status == 200
    assert shared.keeper.take() == [("DELETE", path)]
    anybody = new_key(shared.guard)
    closed = shared.call(anybody, "DELETE", "/v1/models/closed-1")
    assert_refused(closed, CHAT, "route:closed", 403)
    nobodys = shared.call(anybody, "DELETE", "/v1/models/nobodys")
    assert_refused(nobodys, CHAT, "model:unknown", 404)


@pytest.mark.req("S-1")
def test_a_key_for_some_routes_reaches_no_other(shared: Shared) -> None:
    key = new_key(shared.guard, routes=["/v1/chat/completions", "/v1/responses"])
    for method, path, body in stored_calls():
        if path != "/v1/chat/completions":
            assert_refused(shared.call(key, method, path, body), CHAT, "route:not_allowed", 403)
    assert shared.keeper.take() == []


@pytest.mark.req("S-1", "M-9")
def test_a_free_call_carries_nothing_that_a_model_could_run_on(shared: Shared, key: Key) -> None:
    body = json.dumps(CHAT.body).encode()
    for method, path, _ in stored_calls():
        if (method, path) != ("GET", "/v1/chat/completions"):
            assert_refused(shared.call(key, method, path, body), CHAT, "request:invalid", 400)
    for name in ("..", "%2e%2e", "a%2fb", "a%2Fcancel", "a.b", "", "a" * 257, "tw_sk_x", "a/b"):
        for path in (f"/v1/responses/{name}", f"/v1/responses/{name}/cancel"):
            for method in ("GET", "POST", "DELETE"):
                answer = shared.call(key, method, path)
                assert_refused(answer, CHAT, "route:unknown", 404)
    assert shared.keeper.take() == []


@pytest.mark.req("M-5")
@pytest.mark.parametrize("caps", [["5.00/day"], []], ids=["capped", "uncapped"])
def test_a_response_in_the_background_costs_the_whole_hold(shared: Shared, caps: list[str]) -> None:
    key = new_key(shared.guard, caps=caps)
    answer = post(shared.guard, RESPONSES, key.text, BACKGROUND)
    assert answer.json["status"] == "queued"
    record = shared.record(answer)
    assert record["cost_nusd"] == record["held_nusd"] > 0
    assert record["is_estimate"]
    assert [cap["spent"] for cap in settled_caps(shared.guard, key)] == [
        record["cost_nusd"] for _ in caps
    ]


@pytest.mark.req("M-5")
@pytest.mark.parametrize("ends", [True, False])
def test_a_stream_in_the_background_costs_what_it_tells_or_the_whole_hold(
    shared: Shared, key: Key, ends: bool
) -> None:
    begun = {"type": "response.queued", "response": QUEUED}
    ended = {"type": "response.completed", "response": DONE}
    shared.keeper.events[:] = [begun, ended] if ends else [begun]
    answer = post(shared.guard, RESPONSES, key.text, {**BACKGROUND, "stream": True})
    assert answer.status == 200
    record = shared.record(answer)
    assert record.get("is_estimate", False) is not ends
    assert (record["cost_nusd"] == record["held_nusd"]) is not ends
    assert record["cost_nusd"] > 0


def test_a_response_without_a_model_is_of_the_operators_choice(shared: Shared, key: Key) -> None:
    body = {"input": "hi", "max_output_tokens": 20}
    answer = post(shared.guard, RESPONSES, key.text, body)
    assert answer.status == 200
    (seen,) = shared.keeper.seen
    assert json.loads(seen.body) == {"model": "gpt-5-mini", **body}
    assert shared.record(answer)["model"] == "gpt-5-mini"
    other = new_key(shared.guard, models=["gpt-4o"])
    refused = post(shared.guard, RESPONSES, other.text, body)
    assert_refused(refused, RESPONSES, "model:not_allowed", 403)


def test_without_the_operators_choice_a_response_names_its_model(
    guard: GuardProcess, standin: StandinProcess
) -> None:
    key = new_key(guard, caps=["5.00/day"])
    with nothing_happens(guard, standin, key):
        answer = post(guard, RESPONSES, key.text, {"input": "hi"})
        assert_refused(answer, RESPONSES, "request:invalid", 400)


ASKED: list[dict[str, str]] = [{"role": "user", "content": "How far is it to Lisbon?"}]
"""With a greeting it would be how people try out keys."""
ZEROES: list[tuple[Entrance, dict[str, Any]]] = [
    (CHAT, {"max_tokens": 0, "messages": ASKED}),
    (CHAT, {"max_completion_tokens": 0, "max_tokens": 7, "messages": ASKED}),
    (CHAT, {"prediction": {"type": "content", "content": "x"}}),
    (COMPLETIONS, {"max_tokens": 0, "best_of": 0}),
]


@pytest.mark.req("B-5")
@pytest.mark.parametrize(("entrance", "fields"), ZEROES)
def test_a_limit_that_may_be_none_passes_as_it_is_and_holds_the_context_window(
    shared: Shared, entrance: Entrance, fields: dict[str, Any]
) -> None:
    body = json.dumps({**entrance.body, "model": "mine", **fields}, indent=1).encode()
    worst_nusd = 1_000 * 2_000  # 1,000 tokens of output at $2 a million
    key = new_key(shared.guard, caps=["1.00/day"])
    answer = post(shared.guard, entrance, key.text, body)
    assert answer.status == 200
    assert [seen.body for seen in shared.keeper.seen] == [body]
    assert shared.record(answer)["held_nusd"] >= worst_nusd
    poor = new_key(shared.guard, caps=["0.002/day"])
    answer = post(shared.guard, entrance, poor.text, body)
    assert_refused(answer, entrance, "cap:reached", 429)
    unknown = json.dumps({**entrance.body, "model": "boundless", **fields}).encode()
    answer = post(shared.guard, entrance, key.text, unknown)
    assert_refused(answer, entrance, "request:unbounded", 400)
    assert len(shared.keeper.seen) == 1
