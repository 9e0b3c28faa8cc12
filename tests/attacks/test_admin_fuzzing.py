"""The admin API held against its own document: any input is answered in its words, never a 500."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacks.probe import Answer, admin, ask, new_key
from chance import fuzz, soak
from guard import GuardProcess, provider_settings, running_guard
from tokenward.http.admin.route import PREFIX
from tokenward.http.admin.routes import ROUTES

OPERATIONS = [(route.method, route.path) for route in ROUTES]
odd = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, 1, -1, 2**31, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**30, 0.5, 1e308]),
    st.sampled_from(
        ["", "x", "a b", "default", "tests", "AbCdEf012345", "key:AbCdEf012345", "project:tests",
         "account:default", "5.00/day", "1tok/day", "1req/minute", "0.00/day", "1.00/total",
         "999999999999999999.00/day", "9999999999999tok/day", "0.0000000001/day", "-1.00/day",
         "1s", "0s", "30d", "9999999999w", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
         "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-01-01", "day", "nusd",
         "tokens", "requests", "10.0.0.0/8", "::/0", "1.2.3.4/99", "UTC", "Europe/Berlin",
         "../../etc/passwd", "none", "dpop", "true", "1e5", "NaN", "\x00", "\ud800", "é🦊", "*",
         "[", "x" * 200]
    ),
    st.text(max_size=8),
)  # fmt: skip
values = st.recursive(
    odd, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner)
)


@pytest.fixture(scope="module")
def guard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardProcess]:
    """A guard of its own: what is asked here may cap or empty the accounts of other tests."""
    settings = provider_settings("http://127.0.0.1:1")
    environ = {"PROVIDER_KEY": "sk-x"}
    with running_guard(tmp_path_factory.mktemp("admin"), settings, environ) as running:
        yield running


def document(guard: GuardProcess) -> dict[str, Any]:
    shown: dict[str, Any] = admin(guard, "GET", "/openapi.json").json
    return shown


def resolved(schema: dict[str, Any], whole: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        found: dict[str, Any] = whole["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        return found
    return schema


def lawful(schema: dict[str, Any], whole: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that the document allows, as far as it says what they are."""
    schema = resolved(schema, whole)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema:
        return st.one_of([lawful(each, whole) for each in schema["anyOf"]])
    kind = schema.get("type")
    if kind == "string":
        return odd.filter(lambda value: isinstance(value, str))
    if kind == "integer":
        return st.integers(-(2**65), 2**65)
    if kind == "boolean":
        return st.booleans()
    if kind == "array":
        return st.lists(lawful(schema.get("items", {}), whole), max_size=3)
    return st.none() if kind == "null" else odd


def assert_in_its_words(answer: Answer, operation: dict[str, Any]) -> None:
    """A documented success, or an error as the document describes it."""
    assert answer.status < 500, answer
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    assert answer.json is not None, "JSON in every case"
    if str(answer.status) not in operation["responses"]:
        assert answer.status >= 400, answer
        code, message, request_id = answer.error
        assert ":" in code, answer
        assert len(message) > 5, answer
        assert request_id == answer.headers["x-request-id"]


@pytest.mark.slow
@pytest.mark.parametrize("examples", [60, soak(1_500, limit_s=3_600)])
@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=[" ".join(it) for it in OPERATIONS])
def test_an_admin_operation_answers_any_input_in_its_own_words(
    guard: GuardProcess, method: str, path: str, examples: int
) -> None:
    whole = document(guard)
    operation = whole["paths"][PREFIX + path][method.lower()]
    key = new_key(guard)
    content = operation.get("requestBody", {}).get("content", {})
    fields = content.get("application/json", {}).get("schema", {}).get("properties", {})
    parameters = {it["name"]: it for it in operation["parameters"]}
    known = fields | {n: it["schema"] for n, it in parameters.items() if it["in"] == "query"}
    wishes = st.fixed_dictionaries(
        {}, optional={name: lawful(schema, whole) | values for name, schema in known.items()}
    )
    places = st.fixed_dictionaries(
        {
            name: st.sampled_from([key.id, "default", "AbCdEf012345"]) | st.text(max_size=12)
            for name, it in parameters.items()
            if it["in"] == "path"
        }
    )

    @fuzz(examples)
    @given(wishes, places, st.dictionaries(st.text(max_size=5), odd, max_size=1))
    def run(given: dict[str, Any], parts: dict[str, str], more: dict[str, Any]) -> None:
        target = PREFIX + path.format(
            **{name: quote(text, safe="", errors="replace") for name, text in parts.items()}
        )
        body = b""
        if method in ("POST", "PUT"):
            body = json.dumps({**given, **more}).encode()
        else:
            flat = {name: spelled(value) for name, value in {**given, **more}.items()}
            target += "?" + urlencode(flat, errors="replace") if flat else ""
        headers = [("authorization", f"Bearer {guard.admin_token}")]
        answer = ask(guard.base_url, method, target, headers, body)
        assert_in_its_words(answer, operation)

    run()


def spelled(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


RAW = (
    b"{", b"[]", b"null", b"7", b'"x"', b"\xff", b"\x00", b"\xef\xbb\xbf{}", b'{"a":1,"a":2}',
    b'{"project":"a","project":"b"}', b'{"why":NaN}', b'{"rpm":1e999}',
    b'{"rpm":' + b"9" * 5000 + b"}", b'{"a":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    b" " * 70_000, b'{"why":"' + b"x" * 70_000 + b'"}',
)  # fmt: skip


@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=[" ".join(it) for it in OPERATIONS])
def test_an_admin_operation_refuses_bodies_and_queries_that_are_none(
    guard: GuardProcess, method: str, path: str
) -> None:
    operation = document(guard)["paths"][PREFIX + path][method.lower()]
    headers = [("authorization", f"Bearer {guard.admin_token}")]
    target = PREFIX + path.format(id="AbCdEf012345", name="nobody")
    for raw in RAW if method in ("POST", "PUT") else ():
        answer = ask(guard.base_url, method, target, headers, raw)
        assert_in_its_words(answer, operation)
        assert answer.status in (400, 404, 413, 200), (raw[:40], answer)
    for query in ("a", "=", "&", "a=%ff", "a=%", "id=x", "a=1&a=2", "x=%00", "&".join("abc" * 9)):
        answer = ask(guard.base_url, method, f"{target}?{query}", headers, b"")
        assert_in_its_words(answer, operation)
        assert answer.status in (400, 404), (query, answer)


def test_a_flood_of_wrong_tokens_does_not_keep_the_right_one_waiting(guard: GuardProcess) -> None:
    with ThreadPoolExecutor(24) as pool:
        wrong = [("authorization", "Bearer wrong")]
        flood = [
            pool.submit(ask, guard.base_url, "GET", f"{PREFIX}/keys", wrong) for _ in range(96)
        ]
        right = [admin(guard, "GET", "/status").status for _ in range(10)]
        said = [it.result().status for it in flood]
    assert right == [200] * 10
    assert set(said) <= {401, 429}
    assert 429 in said, "only a few wrong ones may wait at once"
