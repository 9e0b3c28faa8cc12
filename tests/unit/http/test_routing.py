"""Only declared doors open, by the exact bytes of the path (S-1)."""

import pytest

from tokenward.http.routing import Match, Routes
from tokenward.kernel.refusals import Refusal
from tokenward.providers.anthropic import ANTHROPIC
from tokenward.providers.gemini import GEMINI
from tokenward.providers.openai import OPENAI

ROUTES = Routes((OPENAI, ANTHROPIC, GEMINI))


def found(method: str, path: str, **headers: str) -> tuple[str, str, str] | str:
    named = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    match = ROUTES.match(method, path.encode(), named)
    if isinstance(match, Refusal):
        return match.code
    return match.dialect.name, match.route.operation, match.model_in_path


@pytest.mark.parametrize("route", ROUTES.table, ids=lambda r: f"{r.method} {r.path}")
def test_every_declared_route_is_found(route: object) -> None:
    from tokenward.providers.ask import Route

    assert isinstance(route, Route)
    headers = {"gemini": {b"x-goog-api-key": b"k"}, "anthropic": {b"anthropic-version": b"1"}}
    path = route.path.replace("{model}", "some-model-1.5").replace("{id}", "resp_1").encode()
    match = ROUTES.match(route.method, path, headers.get(route.dialect, {}))
    assert isinstance(match, Match)
    assert match.route == route


@pytest.mark.req("S-1")
@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completions/",
        "//v1/chat/completions",
        "/v1//chat/completions",
        "/v1/chat%2fcompletions",
        "/v1/chat/completion%73",
        "/V1/chat/completions",
        "/v1/chat/completions;x=1",
        "/v1/./chat/completions",
        "/v1/files/../chat/completions",
        "/v1/%2e%2e/chat/completions",
        "/v1/files",
        "/v1/fine_tuning/jobs",
        "/v1/proxy/anything",
        "/v1beta/models/../x:generateContent",
        "/v1beta/models/%2e%2e:generateContent",
        "/v1beta/models/:generateContent",
        "/v1beta/models/a/b:generateContent",
        "/v1beta/models/gemini:predictLongRunning",
        "/",
        "",
        "/v1/chat/completions\x00",
    ],
)
def test_what_is_not_declared_does_not_exist(path: str) -> None:
    assert found("POST", path) == "route:unknown"


def test_a_known_path_with_another_method_says_which_it_takes() -> None:
    for path, allowed in (
        ("/v1/completions", "POST"),
        ("/v1/chat/completions", "GET, POST"),
        ("/v1/responses/compact", "POST"),  # no id of a response
        ("/v1/responses/resp_1/cancel", "POST"),
    ):
        match = ROUTES.match("DELETE", path.encode(), {})
        assert isinstance(match, Refusal)
        assert (match.code, match.status) == ("route:method", 405)
        assert dict(match.facts)["allow"] == allowed


@pytest.mark.req("S-1")
@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "a.b",
        "%2e%2e",
        "a%2Fb",
        "a/b",
        "%61",
        "a b",
        "a;b",
        "a:b",
        "é",
        "~",
        "a" * 257,
    ],
)
def test_an_id_is_read_as_it_stands_or_not_at_all(name: str) -> None:
    for path in (f"/v1/responses/{name}", f"/v1/chat/completions/{name}"):
        assert found("GET", path) == "route:unknown"
    for path in (f"/v1/responses/{name}/cancel", f"/v1/responses/{name}/input_items"):
        assert found("POST", path) == found("GET", path) == "route:unknown"


def test_what_follows_an_id_is_part_of_the_route() -> None:
    assert found("GET", "/v1/responses/resp_1") == ("openai", "get_response", "")
    assert found("POST", "/v1/responses/resp_1/cancel") == ("openai", "cancel_response", "")
    assert found("GET", "/v1/chat/completions/c-1/messages")[1] == "list_chat_messages"
    for path in ("/v1/responses/a/b/cancel", "/v1/responses/a/delete", "/v1/completions/a"):
        assert found("POST", path) == "route:unknown"


def test_a_shared_path_is_told_apart_by_the_callers_own_headers() -> None:
    assert found("GET", "/v1/models")[0] == "openai"
    assert found("GET", "/v1/models", anthropic_version="2023-06-01")[0] == "anthropic"
    assert found("GET", "/v1/models", x_goog_api_key="k")[0] == "gemini"


def test_gemini_models_stand_in_the_path_before_the_verb() -> None:
    path = "/v1beta/models/gemini-2.5-flash:streamGenerateContent"
    assert found("POST", path) == ("gemini", "stream_generate_content", "gemini-2.5-flash")
    assert found("GET", "/v1/models/ft:gpt-4o:org::id")[2] == "ft:gpt-4o:org::id"
