"""Every door of the live table is closed to strangers, however the address is written."""

import dataclasses
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from attacks.probe import (
    CHAT,
    COUNT,
    GENERATE,
    MESSAGES,
    Answer,
    Headers,
    Key,
    admin,
    ask,
    new_key,
    nothing_happens,
    post,
    say,
    settled_caps,
)
from guard import GuardProcess
from standin import StandinProcess
from tokenward.app import DIALECTS
from tokenward.http.admin.door import FAILED_LOGINS_WAITING_MAX
from tokenward.http.admin.route import PREFIX
from tokenward.http.admin.routes import ROUTES as ADMIN_ROUTES
from tokenward.http.routing import Routes
from tokenward.providers.ask import Meter, Route

OPEN = {"/healthz", "/readyz", "/metrics", "/oauth/jwks"}
OPEN |= {f"/.well-known/oauth-{what}" for what in ("authorization-server", "protected-resource")}
"""The frozen list of what answers without a credential. None of it reads a request."""
FORMS = {"/oauth/token", "/oauth/revoke", "/oauth/introspect", "/oauth/enrolment"}
"""They refuse what is no form before they ask who it is from (RFC 6749 section 5.2: 400)."""
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
KEY_HEADERS = ("authorization", "x-api-key", "x-goog-api-key", "api-key")
GATEWAY = Routes(DIALECTS).table
MODEL = {"openai": "gpt-5-mini", "anthropic": "claude-haiku-4-5", "gemini": "gemini-2.5-flash"}


def path_of(route: Route) -> str:
    return route.path.replace("{model}", MODEL[route.dialect]).replace("{id}", "resp_1")


def admin_path(path: str) -> str:
    return PREFIX + path.replace("{id}", "AbCdEf012345").replace("{name}", "default")


GATEWAY_PATHS = sorted({path_of(route) for route in GATEWAY})
ADMIN_PATHS = sorted({admin_path(route.path) for route in ADMIN_ROUTES})
BODY = json.dumps({**CHAT.body, **MESSAGES.body, **GENERATE.body}).encode()


@pytest.fixture(scope="module")
def key(guard: GuardProcess) -> Key:
    return new_key(guard, caps=["100.00/day"])


def every_request(
    guard: GuardProcess, paths: list[str], headers: Headers, methods: Sequence[str] = METHODS
) -> dict[str, Answer]:
    """Every method on every path, as many at once as may fail at the admin door at once."""
    lines = [(method, path) for path in paths for method in methods]
    with ThreadPoolExecutor(FAILED_LOGINS_WAITING_MAX) as pool:
        asked = [pool.submit(ask, guard.base_url, *line, headers, BODY) for line in lines]
        return {" ".join(line): it.result() for line, it in zip(lines, asked, strict=True)}


@pytest.mark.req("S-1")
def test_no_route_of_the_live_table_answers_a_stranger(
    guard: GuardProcess, standin: StandinProcess, key: Key
) -> None:
    assert len(GATEWAY) >= 30
    declared = {
        (route.method, path.replace("{id}", "resp_1"))
        for route in GATEWAY
        for path in (route.path.replace("{model}", model) for model in MODEL.values())
    }
    with nothing_happens(guard, standin, key):
        for line, answer in every_request(guard, GATEWAY_PATHS, ()).items():
            method, path = line.split()
            assert answer.status == (401 if (method, path) in declared else 405), (line, answer)


@pytest.mark.req("S-1", "S-8")
def test_no_admin_route_answers_a_stranger(guard: GuardProcess) -> None:
    for line, answer in every_request(guard, ADMIN_PATHS, ()).items():
        assert answer.status == 401, (line, answer)
    for path in ("/admin/", "/admin/v1", "/admin/v1/", "/admin/v2/keys", "/admin/v1/nothing"):
        assert ask(guard.base_url, "GET", path).status in (401, 404), path


@pytest.mark.req("S-1")
def test_only_the_frozen_list_answers_without_a_credential(guard: GuardProcess) -> None:
    """Also what a newcomer, a scanner or another gateway's user would try."""
    others = {"/", "/console/", "/decide", "/docs", "/openapi.json", "/favicon.ico", "/.env"}
    others |= {"/debug", "/status", "/v1", "/v1/", "/admin", "/health", "/oauth/device", "/mcp"}
    for path in sorted(OPEN | others | FORMS):
        for method in METHODS:
            answer = ask(guard.base_url, method, path)
            may_answer = path in OPEN and method in ("GET", "HEAD")
            assert (answer.status == 200) == may_answer, (method, path, answer)
            is_form = path in FORMS and method == "POST"
            assert answer.status in ((400,) if is_form else (200, 401, 404, 405)), (method, path)


def spellings(path: str) -> list[str]:
    """The same path to somebody who decodes, folds or trims; another one to the table."""
    head, _, last = path.rpartition("/")
    first = path.split("/")[1]
    rest = path.removeprefix(f"/{first}")
    return [
        f"/{path}",
        f"{head}//{last}",
        f"{path}/",
        f"{path}//",
        f"{path}/.",
        f"/.{path}",
        f"/./{path[1:]}",
        f"/x/..{path}",
        f"/x/%2e%2e{path}",
        f"/x/%2E%2E%2F{path[1:]}",
        f"/healthz/..{path}",
        f"/healthz/%2e%2e{path}",
        f"/healthz;{path}",
        f"/metrics%2f..{path}",
        f"/%2f{path[1:]}",
        f"{head}%2f{last}",
        f"{head}%2F{last}",
        f"{head}%252f{last}",
        f"{head}%5c{last}",
        f"{path};",
        f"{path};jsessionid=1",
        f"/{first};x=y{rest}",
        f"{path}%00",
        f"{path}%20",
        f"{path}%0a",
        f"{path}%3f",
        f"{path}%23",
        f"{path}.json",
        f"{path}..",
        f"{path}~",
        f"{path}*",
        f"/{first.upper()}{rest}",
        f"{head}/{last.upper()}",
        f"{head}/{last.title()}",
        f"/%{ord(first[0]):02x}{first[1:]}{rest}",
        f"{head}/%{ord(last[0]):02x}{last[1:]}",
        f"/api{path}",
        f"/proxy{path}",
    ]


@pytest.mark.req("S-1", "S-2")
@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/v1/messages", "/v1/models", "/v1/responses"]
)
def test_another_spelling_of_a_route_is_no_route_even_with_a_key(
    guard: GuardProcess, standin: StandinProcess, key: Key, path: str
) -> None:
    headers = [("authorization", f"Bearer {key.text}"), ("content-type", "application/json")]
    with nothing_happens(guard, standin, key):
        for spelling in spellings(path):
            for method in ("POST", "GET"):
                answer = ask(guard.base_url, method, spelling, headers, BODY)
                assert answer.status in (404, 405), (method, spelling, answer)
                assert answer.code in ("route:unknown", "route:method"), (spelling, answer)


@pytest.mark.req("S-1", "S-2")
def test_another_spelling_of_an_admin_route_opens_nothing_without_the_token(
    guard: GuardProcess, key: Key
) -> None:
    for headers in ((), (("authorization", f"Bearer {key.text}"),)):
        for line, answer in every_request(
            guard, spellings("/admin/v1/keys"), headers, ("GET", "POST")
        ).items():
            assert answer.status in (401, 404, 405), (line, answer)


@pytest.mark.req("S-1", "S-2")
def test_another_spelling_of_an_admin_route_is_no_route_even_with_the_token(
    guard: GuardProcess,
) -> None:
    headers = [("authorization", f"Bearer {guard.admin_token}")]
    for path in ("/admin/v1/keys", "/admin/v1/openapi.json", "/admin/v1/caps"):
        for spelling in spellings(path):
            answer = ask(guard.base_url, "GET", spelling, headers)
            assert answer.status in (400, 404, 405), (spelling, answer)


@pytest.mark.req("S-1", "S-2")
def test_the_admin_prefix_is_read_as_it_was_sent(guard: GuardProcess) -> None:
    """A proxy that closes `/admin/` to the outside must not be gone round by `/%61dmin/`."""
    headers = [("authorization", f"Bearer {guard.admin_token}")]
    for target in ("/%61dmin/v1/status", "/admin%2fv1/status", "/ADMIN/v1/status", "/%68ealthz"):
        answer = ask(guard.base_url, "GET", target, headers)
        assert (answer.status, answer.code) == (404, "route:unknown"), target


@pytest.mark.req("S-1", "S-8")
def test_an_api_key_opens_no_admin_route(guard: GuardProcess, key: Key) -> None:
    for name in KEY_HEADERS:
        value = f"Bearer {key.text}" if name == "authorization" else key.text
        answers = every_request(guard, ADMIN_PATHS, [(name, value)], ("GET", "POST"))
        for line, answer in answers.items():
            assert answer.status == 401, (line, answer)


@pytest.mark.req("S-1", "S-8")
def test_the_admin_token_opens_no_route_of_the_gateway(
    guard: GuardProcess, standin: StandinProcess, key: Key
) -> None:
    with nothing_happens(guard, standin, key):
        for name in KEY_HEADERS:
            token = guard.admin_token
            value = f"Bearer {token}" if name == "authorization" else token
            headers = [(name, value), ("content-type", "application/json")]
            for route in GATEWAY:
                answer = ask(guard.base_url, route.method, path_of(route), headers, BODY)
                assert answer.status == 401, (name, route, answer)


def odd_tokens(token: str) -> list[list[tuple[str, str | bytes]]]:
    """What is nearly an admin's header."""
    return [
        [("authorization", token)],
        [("authorization", f"Basic {token}")],
        [("authorization", f"Bearer {token[:-1]}")],
        [("authorization", f"Bearer {token}x")],
        [("authorization", f"Bearer {token.upper()}")],
        [("authorization", f"Bearer {token}, Bearer {token}")],
        [("authorization", "Bearer")],
        [("authorization", "Bearer ")],
        [("authorization", ""), ("x-api-key", token)],
        [("authorization", f"Bearer {token}"), ("authorization", "Bearer x")],
        [("authorization", "Bearer x"), ("authorization", f"Bearer {token}")],
        [("x-admin-token", token)],
        [("cookie", f"token={token}")],
        [("authorization", b"Bearer \xff\x80" + token.encode())],
    ]


@pytest.mark.req("S-8")
def test_only_the_whole_admin_token_in_its_one_place_opens_the_admin_routes(
    guard: GuardProcess,
) -> None:
    for headers in odd_tokens(guard.admin_token):
        assert ask(guard.base_url, "GET", f"{PREFIX}/keys", headers).status == 401, headers
    token = guard.admin_token
    for target in (f"{PREFIX}/keys?token={token}", f"{PREFIX}/keys?access_token={token}"):
        assert ask(guard.base_url, "GET", target).status == 401
    assert admin(guard, "GET", "/keys").status == 200


FOREIGN: tuple[tuple[tuple[str, str], ...], ...] = (
    (("host", "evil.example"),),
    (("host", "127.0.0.1/#@"),),
    (("host", "localhost/healthz?"),),
    (("host", "localhost#@evil.example"),),
    (("host", "user:pass@localhost"),),
    (("host", "evil.example:80, localhost"),),
    (("host", "../admin/v1/keys"),),
    (("host", ""),),
    (("x-forwarded-host", "evil.example"), ("x-forwarded-proto", "https")),
    (("x-original-url", "/healthz"),),
    (("x-rewrite-url", "/healthz"),),
    (("x-original-uri", "/metrics"), ("x-forwarded-uri", "/metrics")),
    (("x-forwarded-path", "/healthz"), ("x-forwarded-prefix", "/healthz")),
    (("x-http-method-override", "GET"), ("x-method-override", "HEAD")),
    (("forwarded", "for=127.0.0.1;host=evil.example"),),
    (("x-forwarded-for", "127.0.0.1"), ("x-real-ip", "127.0.0.1")),
)


@pytest.mark.req("S-2")
def test_no_header_about_the_address_changes_who_may_enter_where(
    guard: GuardProcess, standin: StandinProcess, key: Key
) -> None:
    with nothing_happens(guard, standin, key):
        for headers in FOREIGN:
            answers = every_request(guard, ADMIN_PATHS[:8], headers, ("GET",))
            for line, answer in answers.items():
                assert answer.status == 401, (headers, line, answer)
            for route in GATEWAY:
                answer = ask(guard.base_url, route.method, path_of(route), headers, BODY)
                assert answer.status == 401, (headers, route, answer)
            assert ask(guard.base_url, "POST", "/healthz", headers).status in (404, 405)


@pytest.mark.req("S-2", "S-6")
def test_no_header_about_the_address_changes_what_is_sent_where(
    guard: GuardProcess, standin: StandinProcess
) -> None:
    key = new_key(guard, caps=["10.00/day"])  # one that was never tried on retired routes
    for headers in FOREIGN:
        standin.reset()
        assert post(guard, CHAT, key.text, CHAT.body, *headers).status == 200, headers
        (seen,) = standin.requests()
        assert (seen["method"], seen["path"]) == ("POST", "/v1/chat/completions")
        hosts = [value for name, value in seen["headers"] if name == "host"]
        assert hosts == [standin.base_url.removeprefix("http://")]


@pytest.mark.req("S-2")
@pytest.mark.parametrize(
    "target",
    [
        "http://evil.example/v1/chat/completions",
        "http://localhost/admin/v1/keys",
        "//evil.example/v1/chat/completions",
        "http://localhost@evil.example/healthz",
        "*",
        "v1/chat/completions",
        "/v1/chat/completions#x",
    ],
)
def test_a_target_that_is_no_path_reaches_nobody(
    guard: GuardProcess, standin: StandinProcess, key: Key, target: str
) -> None:
    head = (
        f"POST {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Authorization: Bearer {key.text}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(BODY)}\r\n\r\n"
    )
    with nothing_happens(guard, standin, key):
        said = say(guard.base_url, head.encode() + BODY)
        assert said[:13] in (b"HTTP/1.1 400 ", b"HTTP/1.1 404 "), said


@pytest.mark.req("M-9")
def test_every_route_declares_its_meter() -> None:
    assert all(isinstance(route.meter, Meter) for route in GATEWAY)
    assert dataclasses.fields(Route)[-1].default is dataclasses.MISSING, "no meter by default"
    free = {route.operation for route in GATEWAY if route.meter is Meter.FREE}
    stored = {route.operation for route in GATEWAY if route.stored}
    assert free - stored == {
        "count", "moderations", "models", "model", "count_tokens", "list_models", "get_model",
        "trial",
    }  # fmt: skip
    assert stored == {
        "list_chats", "get_chat", "update_chat", "delete_chat", "list_chat_messages",
        "get_response", "delete_response", "cancel_response", "list_input_items", "delete_model",
    }  # fmt: skip


@pytest.mark.req("M-9")
def test_counting_and_listing_cost_nothing_and_generate_nothing(
    guard: GuardProcess, standin: StandinProcess, key: Key
) -> None:
    before = settled_caps(guard, key)
    standin.reset()
    count = {"contents": GENERATE.body["contents"]}
    path = GENERATE.path.replace("generateContent", "countTokens")
    answers = [
        post(guard, COUNT, key.text, COUNT.body),
        ask(guard.base_url, "POST", path, GENERATE.headers(key.text), json.dumps(count).encode()),
        ask(guard.base_url, "GET", "/v1/models", CHAT.headers(key.text)),
        ask(guard.base_url, "GET", "/v1beta/models", GENERATE.headers(key.text)),
        ask(guard.base_url, "GET", "/v1/models/gpt-5-mini", CHAT.headers(key.text)),
    ]
    assert [answer.status for answer in answers] == [200] * len(answers), answers
    assert len(standin.requests()) == len(answers)
    assert standin.bill()["lines"] == []
    assert settled_caps(guard, key) == before


@pytest.mark.req("M-9")
@pytest.mark.parametrize(
    "path",
    [
        "/v1beta/models/gemini-2.5-flash:predict",
        "/v1beta/models/gemini-2.5-flash:batchGenerateContent",
        "/v1beta/models/gemini-2.5-flash:GenerateContent",
        "/v1beta/models/gemini-2.5-flash:generateContent:countTokens",
        "/v1beta/models/gemini-2.5-flash",
        "/v1/messages/batches",
        "/v1/batches",
        "/v1/videos",
        "/v1/realtime/sessions",
    ],
)
def test_an_operation_that_declares_no_meter_is_refused(
    guard: GuardProcess, standin: StandinProcess, key: Key, path: str
) -> None:
    with nothing_happens(guard, standin, key):
        answer = ask(guard.base_url, "POST", path, CHAT.headers(key.text), BODY)
        assert answer.status in (400, 404, 405), answer
