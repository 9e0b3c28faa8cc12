"""Requests that are wrong, odd or hostile: each is refused in words, before anything is spent."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest

from attacks.probe import (
    CHAT,
    COMPLETIONS,
    DIALECTS,
    ENTRANCES,
    GENERATE,
    HI,
    MESSAGES,
    RESPONSES,
    Entrance,
    Key,
    ask,
    assert_refused,
    new_key,
    nothing_happens,
    post,
    settled_caps,
)
from guard import GuardProcess
from standin import StandinProcess

LIMIT_BYTES = 32_000_000
BIG_BYTES = 50_000_000


@pytest.fixture(scope="module")
def key(guard: GuardProcess) -> Key:
    return new_key(guard, caps=["100.00/day"])


def bodies_that_are_not_strict_json(entrance: Entrance) -> dict[str, bytes]:
    good = json.dumps(entrance.body).encode()
    inside = good[1:-1]
    name = next(iter(entrance.body))
    return {
        "empty": b"",
        "blank": b" \r\n ",
        "half": good[:-1],
        "trailing comma": good[:-1] + b",}",
        "single quotes": good.replace(b'"', b"'"),
        "comment": good[:-1] + b"/* */}",
        "two documents": good + good,
        "form": b"model=gpt-5-mini&stream=true",
        "list": b"[" + good + b"]",
        "null": b"null",
        "number": b"7",
        "string": json.dumps("hi").encode(),
        "NUL after": good + b"\x00",
        "NUL before": b"\x00" + good,
        "NUL in a name": good[:-1] + b', "a\x00b": 1}',
        "raw line feed in a string": good[:-1] + b', "user": "a\nb"}',
        "not UTF-8": good[:-1] + b', "user": "\xff"}',
        "overlong UTF-8": good[:-1] + b', "user": "\xc0\xaf"}',
        "surrogate in UTF-8": good[:-1] + b', "user": "\xed\xa0\x80"}',
        "UTF-16": good.decode().encode("utf-16"),
        "byte-order mark": b"\xef\xbb\xbf" + good,
        "name twice": b"{" + inside + b"," + inside + b"}",
        "name twice, once escaped": good[:-1]
        + f', "\\u{ord(name[0]):04x}{name[1:]}": 1}}'.encode(),
        "name twice inside": good[:-1] + b', "metadata": {"a": "1", "a": "2"}}',
        "NaN": good[:-1] + b', "temperature": NaN}',
        "Infinity": good[:-1] + b', "temperature": -Infinity}',
        "number of 5,000 digits": good[:-1] + b', "seed": ' + b"9" * 5000 + b"}",
        "leading zero": good[:-1] + b', "seed": 007}',
        "deep list": good[:-1] + b', "metadata": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        "deep object": good[:-1] + b', "metadata": ' + b'{"a":' * 50_000 + b"1" + b"}" * 50_001,
    }


@pytest.mark.parametrize("entrance", ENTRANCES, ids=lambda entrance: entrance.name)
def test_a_body_that_two_parsers_could_read_differently_is_refused(
    guard: GuardProcess, standin: StandinProcess, key: Key, entrance: Entrance
) -> None:
    with nothing_happens(guard, standin, key):
        for what, body in bodies_that_are_not_strict_json(entrance).items():
            answer = post(guard, entrance, key.text, body)
            assert answer.status == 400, (what, answer)
            assert_refused(answer, entrance, "request:invalid", 400)


@pytest.mark.parametrize("entrance", DIALECTS, ids=lambda entrance: entrance.dialect)
def test_a_body_over_the_limit_is_refused_however_it_comes(
    guard: GuardProcess, standin: StandinProcess, key: Key, entrance: Entrance
) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(50):
            yield bytes(1_000_000)

    headers = entrance.headers(key.text)
    with nothing_happens(guard, standin, key):
        said = [*headers, ("content-length", str(BIG_BYTES)), ("expect", "100-continue")]
        for answer in (
            ask(guard.base_url, "POST", entrance.path, said, b""),  # nothing of it is sent
            ask(guard.base_url, "POST", entrance.path, headers, bytes(BIG_BYTES)),
            ask(guard.base_url, "POST", entrance.path, headers, pieces()),
            ask(guard.base_url, "POST", entrance.path, headers, bytes(LIMIT_BYTES + 1)),
        ):
            assert_refused(answer, entrance, "request:too_large", 413)
            assert answer.headers["x-should-retry"] == "false"


WRONG_MODELS: tuple[Any, ...] = (
    None, True, 0, 1.5, [], ["gpt-5-mini"], {}, {"id": "gpt-5-mini"}, "", "a\x00b",
    "gpt-5-mini\x00", "gpt-5-mini\n", "\u202egpt", "\ud800", "x" * 257,
)  # fmt: skip


@pytest.mark.parametrize(
    "entrance", [CHAT, RESPONSES, COMPLETIONS, MESSAGES], ids=lambda entrance: entrance.name
)
def test_a_model_that_is_no_name_is_refused(
    guard: GuardProcess, standin: StandinProcess, key: Key, entrance: Entrance
) -> None:
    missing = {name: value for name, value in entrance.body.items() if name != "model"}
    with nothing_happens(guard, standin, key):
        for body in (missing, *({**entrance.body, "model": wrong} for wrong in WRONG_MODELS)):
            assert_refused(post(guard, entrance, key.text, body), entrance, "request:invalid", 400)


def test_a_model_in_the_path_is_a_plain_name_or_there_is_no_such_route(
    guard: GuardProcess, standin: StandinProcess, key: Key
) -> None:
    headers = GENERATE.headers(key.text)
    body = json.dumps(GENERATE.body).encode()
    with nothing_happens(guard, standin, key):
        for name in ("", "%00", "a%00b", "..", "%2e%2e", "a/b", "%ff", "a%0ab", "x" * 300):
            target = f"/v1beta/models/{name}:generateContent"
            answer = ask(guard.base_url, "POST", target, headers, body)
            assert_refused(answer, GENERATE, "route:unknown", 404)
        for name in ("a%2Fb", "models%2Fgemini-2.5-flash", "a%25b", "a%20b", "%E2%80%AE"):
            target = f"/v1beta/models/{name}:generateContent"
            answer = ask(guard.base_url, "POST", target, headers, body)
            assert answer.status in (400, 404), answer
            assert_refused(answer, GENERATE, answer.code)


@pytest.mark.parametrize("entrance", [CHAT, MESSAGES], ids=lambda entrance: entrance.dialect)
def test_a_model_that_no_provider_serves_is_refused(
    guard: GuardProcess, standin: StandinProcess, key: Key, entrance: Entrance
) -> None:
    with nothing_happens(guard, standin, key):
        for model in ("nobody-serves-this", "GPT-5-mini", " gpt-5-mini", "../gpt-5-mini", "*"):
            answer = post(guard, entrance, key.text, {**entrance.body, "model": model})
            assert_refused(answer, entrance, "model:unknown", 404)
    with nothing_happens(guard, standin, key):
        target = "/v1beta/models/palm-2:generateContent"
        body = json.dumps(GENERATE.body).encode()
        answer = ask(guard.base_url, "POST", target, GENERATE.headers(key.text), body)
        assert_refused(answer, GENERATE, "model:unknown", 404)


@pytest.mark.req("B-6")
@pytest.mark.parametrize(
    ("entrance", "model"),
    [(CHAT, "gpt-unheard-of"), (MESSAGES, "claude-unheard-of"), (GENERATE, "gemini-unheard-of")],
    ids=["openai", "anthropic", "gemini"],
)
def test_a_model_without_a_price_is_refused_under_a_cap_and_only_there(
    guard: GuardProcess, standin: StandinProcess, key: Key, entrance: Entrance, model: str
) -> None:
    body = entrance.body if entrance is GENERATE else {**entrance.body, "model": model}
    path = entrance.path.replace("gemini-2.5-flash", model)
    data = json.dumps(body).encode()
    with nothing_happens(guard, standin, key):
        answer = ask(guard.base_url, "POST", path, entrance.headers(key.text), data)
        assert_refused(answer, entrance, "model:unpriced")
    free = new_key(guard)
    answer = ask(guard.base_url, "POST", path, entrance.headers(free.text), data)
    assert answer.status == 404  # the stand-in's own: it has no such model either
    assert not answer.is_refusal
    assert [seen["path"] for seen in standin.requests()] == [path]


WRONG_COUNTS: tuple[Any, ...] = (
    -1, 0, -(2**63), 2**31, 2**63, 10**40, True, False, 1.5, 20.0, "20", "", [], {}, [20],
)  # fmt: skip


def test_an_output_limit_that_is_no_count_is_refused(
    guard: GuardProcess, standin: StandinProcess, key: Key
) -> None:
    names = {
        CHAT: ("max_tokens", "max_completion_tokens"),
        RESPONSES: ("max_output_tokens",),
        COMPLETIONS: ("max_tokens",),
        MESSAGES: ("max_tokens",),
    }
    with nothing_happens(guard, standin, key):
        for entrance, limits in ((each, names[each]) for each in names):
            for name in limits:
                for wrong in WRONG_COUNTS:
                    if entrance is not RESPONSES and wrong is WRONG_COUNTS[1]:
                        continue  # zero is lawful there: it warms the cache, or is no limit
                    answer = post(guard, entrance, key.text, {**entrance.body, name: wrong})
                    assert_refused(answer, entrance, "request:invalid", 400)
                    assert name in answer.error[1]
        for wrong in WRONG_COUNTS:
            if wrong in (20.0, "20"):
                continue  # proto3's JSON reads these as 20
            config = {"generationConfig": {"maxOutputTokens": wrong}}
            answer = post(guard, GENERATE, key.text, {**GENERATE.body, **config})
            assert_refused(answer, GENERATE, "request:invalid", 400)
        missing = {"model": "claude-haiku-4-5", "messages": HI}
        answer = post(guard, MESSAGES, key.text, missing)
        assert_refused(answer, MESSAGES, "request:invalid", 400)


@pytest.mark.req("B-1", "B-5")
def test_a_huge_output_limit_does_not_fit_a_cap(
    guard: GuardProcess, standin: StandinProcess, key: Key
) -> None:
    huge = {"max_completion_tokens": 2**31 - 1}
    with nothing_happens(guard, standin, key):
        answer = post(guard, CHAT, key.text, {**CHAT.body, **huge})
        assert_refused(answer, CHAT, "cap:reached", 429)


def test_as_many_choices_as_nobody_needs_are_refused(
    guard: GuardProcess, standin: StandinProcess, key: Key
) -> None:
    with nothing_happens(guard, standin, key):
        for wrong in (0, -1, 129, 10**9, 2**64, True, "2", 2.0, [], {}):
            for entrance, name in ((CHAT, "n"), (COMPLETIONS, "n"), (COMPLETIONS, "best_of")):
                if name == "best_of" and wrong is not True and wrong == 0:
                    continue  # lawful there
                answer = post(guard, entrance, key.text, {**entrance.body, name: wrong})
                assert_refused(answer, entrance, "request:invalid", 400)
        for wrong in (0, -1, 2**31, True, [], {}):
            config = {"generationConfig": {"candidateCount": wrong, "maxOutputTokens": 20}}
            answer = post(guard, GENERATE, key.text, {**GENERATE.body, **config})
            assert_refused(answer, GENERATE, "request:invalid", 400)


def test_a_flag_that_is_no_flag_is_refused(
    guard: GuardProcess, standin: StandinProcess, key: Key
) -> None:
    with nothing_happens(guard, standin, key):
        for entrance in (CHAT, RESPONSES, COMPLETIONS, MESSAGES):
            for wrong in ("true", "false", "", 1, 0, [], {}):
                answer = post(guard, entrance, key.text, {**entrance.body, "stream": wrong})
                assert_refused(answer, entrance, "request:invalid", 400)
        for wrong in ("yes", [], 1, {"include_usage": "true"}, {"include_usage": 1}):
            body = {**CHAT.body, "stream": True, "stream_options": wrong}
            assert_refused(post(guard, CHAT, key.text, body), CHAT, "request:invalid", 400)


WRONG_SHAPES: tuple[Any, ...] = (
    None, 7, True, 1.5, "", {}, {"a": 1}, [], [7], [None], ["hi"], [[]], [[{}]], [{"role": 7}],
    [{"role": "user", "content": 7}], [{"role": "user", "content": [7]}],
    [{"role": "user", "content": [{"type": []}]}], [{"role": "user", "parts": [7]}],
    [{"role": "user", "parts": [{"text": []}]}], [{"role": "user", "parts": {"text": 7}}],
)  # fmt: skip


@pytest.mark.parametrize("entrance", ENTRANCES, ids=lambda entrance: entrance.name)
def test_members_of_a_wrong_shape_cost_nothing_whoever_refuses_them(
    guard: GuardProcess, standin: StandinProcess, key: Key, entrance: Entrance
) -> None:
    """What money depends on is checked here; the rest may be the provider's to refuse."""
    before = settled_caps(guard, key)
    for name in entrance.body:
        for wrong in WRONG_SHAPES:
            standin.reset()
            answer = post(guard, entrance, key.text, {**entrance.body, name: wrong})
            if answer.is_refusal:
                assert answer.status < 500, answer
                assert_refused(answer, entrance, answer.code)
                assert standin.requests() == []
            elif answer.status != 200:
                assert answer.status == 400, answer
                assert [seen["status"] for seen in standin.requests()] == [400]
            if answer.status != 200:
                assert settled_caps(guard, key) == before, (name, wrong)
            before = settled_caps(guard, key)


def test_a_body_that_is_not_called_json_or_is_packed_is_refused(
    guard: GuardProcess, standin: StandinProcess, key: Key
) -> None:
    with nothing_happens(guard, standin, key):
        for entrance in ENTRANCES:
            good = json.dumps(entrance.body).encode()
            for kind in (
                "text/plain",
                "application/x-www-form-urlencoded",
                "multipart/form-data; boundary=x",
                "application/json; charset=utf-16",
                "application/json, text/plain",
            ):
                answer = post(guard, entrance, key.text, good, ("content-type", kind))
                assert_refused(answer, entrance, "request:invalid", 400)
            for coding in ("gzip", "br", "deflate, gzip", "identity, gzip", "x-unknown"):
                packed = gzip.compress(good)
                answer = post(guard, entrance, key.text, packed, ("content-encoding", coding))
                assert answer.status in (400, 415)
                assert_refused(answer, entrance, "request:invalid")


@pytest.mark.parametrize("entrance", DIALECTS, ids=lambda entrance: entrance.dialect)
def test_a_header_that_cannot_be_sent_on_is_the_callers_mistake(
    guard: GuardProcess, standin: StandinProcess, entrance: Entrance
) -> None:
    key = new_key(guard, caps=["10.00/day"])  # whose calls were all good
    with nothing_happens(guard, standin, key):
        answer = post(
            guard, entrance, key.text, json.dumps(entrance.body).encode(), ("x-a", "\xff")
        )
        assert_refused(answer, entrance, "request:invalid", 400)
        assert answer.headers["x-should-retry"] == "false"


def test_a_wrong_method_is_told_the_right_one(
    guard: GuardProcess, standin: StandinProcess, key: Key
) -> None:
    with nothing_happens(guard, standin, key):
        for entrance in ENTRANCES:
            taken = ["GET", "POST"] if entrance is CHAT else ["POST"]  # stored ones can be listed
            for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"):
                if method in taken:
                    continue
                answer = ask(guard.base_url, method, entrance.path, entrance.headers(key.text))
                assert_refused(answer, entrance, "route:method", 405)
                assert answer.headers["allow"] == ", ".join(taken)


def test_an_unknown_route_is_told_so_in_the_dialect_that_is_spoken(
    guard: GuardProcess, standin: StandinProcess, key: Key
) -> None:
    with nothing_happens(guard, standin, key):
        for entrance, path in (
            (CHAT, "/v1/chat/completion"),
            (CHAT, "/v1/files"),
            (CHAT, "/v1/responses/resp_1/output"),
            (CHAT, "/"),
            (MESSAGES, "/v1/messages/batches"),
            (GENERATE, "/v1beta/cachedContents"),
            (GENERATE, "/v1beta/models/gemini-2.5-flash:predict"),
        ):
            for method in ("GET", "POST", "DELETE"):
                answer = ask(guard.base_url, method, path, entrance.headers(key.text))
                assert_refused(answer, entrance, "route:unknown", 404)


@pytest.mark.parametrize("entrance", DIALECTS, ids=lambda entrance: entrance.dialect)
def test_odd_but_lawful_requests_pass_and_are_charged_what_they_cost(
    guard: GuardProcess, standin: StandinProcess, entrance: Entrance
) -> None:
    """The other side of all these refusals: what the providers take must not be lost."""
    key = new_key(guard, caps=["100.00/day"])
    standin.reset()
    odd = {"description": "é\u0000\u2028🦊", "a b": [[], {}, None, 1e300, -0.0], "": {"": ""}}
    body = {**entrance.body, "metadata": odd} if entrance is not GENERATE else entrance.body
    data = b"\r\n\t " + json.dumps(body, indent=3).encode() + b"\n"
    answer = post(
        guard, entrance, key.text, data, ("content-type", 'Application/JSON; charset="UTF-8"')
    )
    assert answer.status == 200, answer
    (cap,) = settled_caps(guard, key)
    assert cap["spent"] == standin.bill()["totals"]["cost_nusd"] > 0
    (seen,) = standin.requests()
    assert seen["body"].encode() == data
