"""What a key may not do, tried against the running guard: networks, speed, time, size, places."""

import asyncio
import json
import time
from collections.abc import Iterator

import pytest

from attacks.probe import (
    CHAT,
    DIALECTS,
    GENERATE,
    MESSAGES,
    WAIT_S,
    Answer,
    Entrance,
    Key,
    ask,
    assert_refused,
    new_key,
    nothing_happens,
    post,
    settled_caps,
)
from caller import calling, chat
from guard import GuardProcess, provider_settings, running_guard
from standin import StandinProcess

CAP = ["100.00/day"]
FORGED = (
    "10.0.0.1",
    "10.0.0.1, 10.0.0.1",
    "127.0.0.1, 10.0.0.1",
    "10.0.0.1:443",
    "::ffff:10.0.0.1",
    "[::ffff:10.0.0.1]:443",
    "for=10.0.0.1",
)
ADDRESS_HEADERS = (
    "x-forwarded-for", "x-real-ip", "forwarded", "true-client-ip", "cf-connecting-ip",
    "x-client-ip", "x-cluster-client-ip", "x-originating-ip", "client-ip",
)  # fmt: skip


@pytest.mark.req("K-4")
@pytest.mark.parametrize("cidrs", [["10.0.0.0/8"], ["::ffff:10.0.0.0/104"], ["2001:db8::/32"]])
def test_a_forged_address_does_not_open_a_key_of_another_network(
    guard: GuardProcess, standin: StandinProcess, cidrs: list[str]
) -> None:
    key = new_key(guard, cidrs=cidrs, caps=CAP)
    with nothing_happens(guard, standin, key):
        for entrance in DIALECTS:
            for name in ADDRESS_HEADERS:
                for value in FORGED:
                    answer = post(guard, entrance, key.text, entrance.body, (name, value))
                    assert_refused(answer, entrance, "network:not_allowed", 403)
                    assert "10.0.0.0" not in answer.body.decode(), "where it would work is not told"


@pytest.mark.req("K-4")
@pytest.mark.parametrize("cidrs", [["127.0.0.1/32"], ["::ffff:127.0.0.0/104"], ["127.0.0.0/8"]])
def test_a_key_works_in_its_own_network_whatever_headers_say(
    guard: GuardProcess, cidrs: list[str]
) -> None:
    key = new_key(guard, cidrs=cidrs)
    for value in ("", "10.0.0.1"):
        answer = post(guard, CHAT, key.text, CHAT.body, ("x-forwarded-for", value))
        assert answer.status == 200, answer


@pytest.fixture(scope="module")
def behind_a_proxy(
    standin: StandinProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GuardProcess]:
    """A guard that believes this machine about addresses."""
    trust = '[server]\ntrusted_proxies = ["127.0.0.0/8", "192.0.2.0/24"]\n'
    settings = trust + provider_settings(standin.base_url)
    environ = {"PROVIDER_KEY": standin.credential}
    with running_guard(tmp_path_factory.mktemp("proxied"), settings, environ) as running:
        yield running


@pytest.mark.req("K-4")
@pytest.mark.parametrize(
    ("said", "may_enter"),
    [
        ("10.1.2.3", True),
        ("10.1.2.3:5000", True),
        ("::ffff:10.1.2.3", True),
        ("10.1.2.3, 192.0.2.7", True),
        ("6.6.6.6, 10.1.2.3", True),
        ("10.1.2.3, 6.6.6.6", False),
        ("10.1.2.3, 6.6.6.6, 192.0.2.7", False),
        ("10.1.2.3,", False),
        ("10.1.2.3, unknown", False),
        ("10.1.2.3, 10.1.2.999", False),
        ("10.1.2.3 6.6.6.6", False),
        ("010.1.2.3", False),
        ("10.1.2.3/8", False),
        ("167838211", False),
        ("localhost", False),
        ("", False),
        (None, False),
        (", ".join(["192.0.2.7"] * 40), False),
    ],
)
def test_a_trusted_proxy_is_believed_only_about_its_own_caller(
    behind_a_proxy: GuardProcess, said: str | None, may_enter: bool
) -> None:
    key = new_key(behind_a_proxy, cidrs=["10.0.0.0/8"])
    headers = () if said is None else (("x-forwarded-for", said),)
    answer = post(behind_a_proxy, CHAT, key.text, CHAT.body, *headers)
    assert answer.status == (200 if may_enter else 403), answer


@pytest.mark.req("K-4")
def test_two_headers_of_a_proxy_are_one_chain(behind_a_proxy: GuardProcess) -> None:
    key = new_key(behind_a_proxy, cidrs=["10.0.0.0/8"])
    for said, status in ((("10.1.2.3", "6.6.6.6"), 403), (("6.6.6.6", "10.1.2.3"), 200)):
        headers = tuple(("x-forwarded-for", value) for value in said)
        assert post(behind_a_proxy, CHAT, key.text, CHAT.body, *headers).status == status


def assert_told_to_wait(answer: Answer, entrance: Entrance, code: str) -> None:
    assert_refused(answer, entrance, code, 429)
    wait_s = int(answer.headers["retry-after"])
    assert 1 <= wait_s <= 61
    assert answer.headers["x-should-retry"] == ("true" if wait_s <= 30 else "false")


@pytest.mark.parametrize("entrance", DIALECTS, ids=lambda entrance: entrance.dialect)
def test_requests_a_minute_are_limited(
    guard: GuardProcess, standin: StandinProcess, entrance: Entrance
) -> None:
    key = new_key(guard, rpm=2, caps=CAP)
    for _ in range(2):
        assert post(guard, entrance, key.text, entrance.body).status == 200
    with nothing_happens(guard, standin, key):
        for _ in range(3):
            told = post(guard, entrance, key.text, entrance.body)
            assert_told_to_wait(told, entrance, "rate:exceeded")


@pytest.mark.parametrize("entrance", DIALECTS, ids=lambda entrance: entrance.dialect)
def test_tokens_a_minute_are_limited(
    guard: GuardProcess, standin: StandinProcess, entrance: Entrance
) -> None:
    key = new_key(guard, tpm=1, caps=CAP)
    assert post(guard, entrance, key.text, entrance.body).status == 200
    settled_caps(guard, key)
    with nothing_happens(guard, standin, key):
        told = post(guard, entrance, key.text, entrance.body)
        assert_told_to_wait(told, entrance, "rate:exceeded")


async def test_calls_at_once_are_limited_and_a_place_comes_free(
    guard: GuardProcess, standin: StandinProcess
) -> None:
    key = new_key(guard, concurrency=2)
    standin.reset()
    async with calling(guard.base_url) as caller:
        slow = chat(output=20)
        calls = [
            asyncio.create_task(caller.call(key.text, slow, "first_ms=4000; tag=slow"))
            for _ in range(2)
        ]
        while len(standin.requests()) < 2:
            assert not any(call.done() for call in calls), [c.result() for c in calls if c.done()]
            await asyncio.sleep(0.01)
        told = await caller.call(key.text, slow, "tag=more")
        assert (told.status, told.code) == (429, "concurrency:exceeded")
        assert int(told.headers["retry-after"]) >= 1
        assert [done.status for done in await asyncio.gather(*calls)] == [200, 200]
        assert (await caller.call(key.text, slow, "tag=after")).status == 200
    assert standin.lines("more") == []


def test_a_key_ends_at_its_time(guard: GuardProcess) -> None:
    key = new_key(guard, expires="5s")
    assert post(guard, CHAT, key.text, CHAT.body).status == 200
    until = time.monotonic() + WAIT_S
    while (answer := post(guard, CHAT, key.text, CHAT.body)).status == 200:
        assert time.monotonic() < until, "it does not end"
        time.sleep(0.1)
    assert_refused(answer, CHAT, "key:expired", 401)
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("entrance", DIALECTS, ids=lambda entrance: entrance.dialect)
def test_one_call_may_not_cost_more_than_it_may(
    guard: GuardProcess, standin: StandinProcess, entrance: Entrance
) -> None:
    key = new_key(guard, max_call="0.000001", caps=CAP)
    with nothing_happens(guard, standin, key):
        answer = post(guard, entrance, key.text, entrance.body)
        assert_refused(answer, entrance, "cap:max_call")
        assert answer.headers["x-should-retry"] == "false"
    roomy = new_key(guard, max_call="1.00", caps=CAP)
    assert post(guard, entrance, roomy.text, entrance.body).status == 200


def test_only_the_named_models_may_be_used(guard: GuardProcess, standin: StandinProcess) -> None:
    key = new_key(guard, models=["gpt-5-*", "claude-haiku-*"], caps=CAP)
    assert post(guard, CHAT, key.text, CHAT.body).status == 200
    assert post(guard, MESSAGES, key.text, MESSAGES.body).status == 200
    with nothing_happens(guard, standin, key):
        for model in ("gpt-5", "gpt-4o-mini", "GPT-5-mini", "xgpt-5-mini", "gpt-5-mini\u200b"):
            answer = post(guard, CHAT, key.text, {**CHAT.body, "model": model})
            assert answer.code in ("model:not_allowed", "request:invalid"), answer
        answer = post(guard, GENERATE, key.text, GENERATE.body)
        assert_refused(answer, GENERATE, "model:not_allowed", 403)
        for target in ("/v1/models/gpt-4o-mini", "/v1beta/models/gemini-2.5-flash"):
            answer = ask(guard.base_url, "GET", target, CHAT.headers(key.text))
            assert answer.code == "model:not_allowed", answer
        encoded = GENERATE.path.replace("gemini", "%67emini")
        body = json.dumps(GENERATE.body).encode()
        answer = ask(guard.base_url, "POST", encoded, GENERATE.headers(key.text), body)
        assert answer.code == "model:not_allowed", answer


def test_only_the_named_routes_may_be_used(guard: GuardProcess, standin: StandinProcess) -> None:
    key: Key = new_key(guard, routes=["/v1/chat/*", "/v1/models"], caps=CAP)
    assert post(guard, CHAT, key.text, CHAT.body).status == 200
    assert ask(guard.base_url, "GET", "/v1/models", CHAT.headers(key.text)).status == 200
    with nothing_happens(guard, standin, key):
        for entrance in (MESSAGES, GENERATE):
            answer = post(guard, entrance, key.text, entrance.body)
            assert_refused(answer, entrance, "route:not_allowed", 403)
        for target in ("/v1/models/gpt-5-mini", "/v1beta/models", "/v1/chat/../messages"):
            answer = ask(guard.base_url, "GET", target, CHAT.headers(key.text))
            assert answer.status in (403, 404), answer
