"""What tests may see of the stand-in: its credential, what it received, and leaked keys."""

import asyncio
import hashlib
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import anthropic
import openai
import pytest
from google import genai
from google.genai import errors, types

from standin import StandinProcess, running_standin
from tokenward.lab.standin.app import make_app
from tokenward.lab.standin.server import serve

OURS = "tw_sk_0123456789abABCDEF"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandinProcess]:
    """A stand-in of this file alone, because it looks at everything it saw."""
    folder = tmp_path_factory.mktemp("windows")
    with running_standin(folder, "right", "--model", "my-model=0.10/0.40") as process:
        yield process


@pytest.fixture(autouse=True)
def _fresh(own: StandinProcess) -> None:
    own.reset()


def post(own: StandinProcess, path: str, body: bytes, **headers: str) -> int:
    """The status of a request; headers are written with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(own.base_url + path, data=body, headers=named)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code


CHAT = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}).encode()


def test_a_wrong_credential_is_refused_in_every_dialect(own: StandinProcess) -> None:
    with (
        openai.OpenAI(base_url=f"{own.base_url}/v1", api_key="wrong", max_retries=0) as one,
        pytest.raises(openai.AuthenticationError),
    ):
        one.responses.create(model="gpt-5-mini", input="hi")
    with (
        anthropic.Anthropic(base_url=own.base_url, api_key="wrong", max_retries=0) as two,
        pytest.raises(anthropic.AuthenticationError),
    ):
        two.messages.create(
            model="claude-haiku-4-5", max_tokens=9, messages=[{"role": "user", "content": "hi"}]
        )
    options = types.HttpOptions(base_url=own.base_url)
    with (
        genai.Client(api_key="wrong", http_options=options) as three,
        pytest.raises(errors.ClientError) as refused,
    ):
        three.models.generate_content(model="gemini-2.5-flash", contents="hi")
    assert refused.value.code == 401
    assert own.bill()["totals"]["calls"] == 0
    assert [seen["status"] for seen in own.requests()] == [401, 401, 401]


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1/chat/completions", {"authorization": "Bearer right"}),
        ("/v1/chat/completions", {"api_key": "right"}),
        ("/v1/messages/count_tokens", {"x_api_key": "right"}),
        ("/v1/messages/count_tokens", {"authorization": "Bearer right"}),
        ("/v1beta/models/gemini-2.5-flash:countTokens", {"x_goog_api_key": "right"}),
        ("/v1beta/models/gemini-2.5-flash:countTokens?key=right", {}),
    ],
)
def test_the_credential_is_taken_where_each_provider_takes_it(
    own: StandinProcess, path: str, headers: dict[str, str]
) -> None:
    content = {"messages": [{"role": "user", "content": "hi"}], "contents": [{"parts": []}]}
    model = "claude-haiku-4-5" if "messages" in path else "gpt-4o"
    assert post(own, path, json.dumps({"model": model, **content}).encode(), **headers) == 200
    assert post(own, path.replace("right", "wrong"), b"{}", authorization="Bearer no") == 401


def test_what_came_in_can_be_looked_at_as_it_was_on_the_wire(own: StandinProcess) -> None:
    post(own, "/v1/chat/completions?a=1", CHAT, authorization="Bearer right", x_mine="Yes")
    (seen,) = own.requests()
    assert (seen["method"], seen["path"], seen["query"]) == ("POST", "/v1/chat/completions", "a=1")
    assert ["x-mine", "Yes"] in seen["headers"]
    assert seen["body"] == CHAT.decode()
    assert seen["body_sha256"] == hashlib.sha256(CHAT).hexdigest()
    assert seen["status"] == 200
    assert seen["request_id"] == own.bill()["lines"][0]["request_id"]


def test_a_long_body_is_kept_in_part_and_hashed_whole(own: StandinProcess) -> None:
    body = b'{"model":"gpt-4o","messages":[{"role":"user","content":"' + b"x" * 200_000 + b'"}]}'
    assert post(own, "/v1/chat/completions", body, authorization="Bearer right") == 200
    (seen,) = own.requests()
    assert (seen["body_size"], len(seen["body"])) == (len(body), 65_536)
    assert seen["body_sha256"] == hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize(
    ("path", "headers", "body", "place"),
    [
        ("/v1/chat/completions", {"x_api_key": OURS}, b"{}", "header x-api-key"),
        ("/v1/chat/completions", {"x_other": f"a {OURS} b"}, b"{}", "header x-other"),
        ("/v1/chat/completions", {}, f'{{"user":"{OURS}"}}'.encode(), "body"),
        (f"/v1/models/x:countTokens?key={OURS}", {}, b"{}", "query"),
        (f"/v1/models/x:countTokens?key={OURS.replace('_', '%5F')}", {}, b"{}", "query"),
        (f"/v1/{OURS}", {}, b"{}", "path"),
    ],
)  # fmt: skip
def test_a_key_of_the_guard_is_seen_wherever_it_leaks(
    own: StandinProcess, path: str, headers: dict[str, str], body: bytes, place: str
) -> None:
    post(own, path, body, **headers)
    assert [leak["place"] for leak in own.leaks()] == [place]
    assert OURS not in json.dumps(own.leaks()).replace(path.split("?")[0], "")


def test_clean_requests_leak_nothing(own: StandinProcess) -> None:
    post(own, "/v1/chat/completions", CHAT, authorization="Bearer right")
    assert own.leaks() == []


@pytest.mark.parametrize("path", ["/", "/v1/files", "/v1/models/x:verb", "/v1/chat/completions/"])
def test_what_it_does_not_know_is_not_found(own: StandinProcess, path: str) -> None:
    assert post(own, path, b"{}", authorization="Bearer right", x_goog_api_key="right") == 404


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_object_is_a_bad_request(own: StandinProcess, body: bytes) -> None:
    assert post(own, "/v1/chat/completions", body, authorization="Bearer right") == 400


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": ["hi"]}),
        ("/v1/chat/completions", {"tools": 3}),
        ("/v1/chat/completions", {"tools": [{"function": {"parameters": {"properties": []}}}]}),
        ("/v1/responses", {"input": [1]}),
        ("/v1/responses", {"input": "hi", "tools": 3}),
        ("/v1/completions", {"prompt": {"a": 1}}),
        ("/v1/embeddings", {"input": [None]}),
        ("/v1/models/gemini-2.5-flash:generateContent", {"contents": "hi"}),
        ("/v1/models/gemini-2.5-flash:generateContent", {"contents": [{}], "tools": ["x"]}),
        ("/v1/models/gemini-embedding-001:batchEmbedContents", {"requests": [3]}),
    ],
)
def test_a_request_of_a_wrong_shape_is_a_bad_request(
    own: StandinProcess, path: str, body: dict[str, object]
) -> None:
    whole = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], **body}
    text = json.dumps(whole).encode()
    assert post(own, path, text, authorization="Bearer right", x_goog_api_key="right") == 400


def test_an_extra_model_is_served_at_its_price(own: StandinProcess) -> None:
    body = CHAT.replace(b"gpt-4o", b"my-model")
    keys = "input_tokens=10; output_tokens=10"
    post(own, "/v1/chat/completions", body, authorization="Bearer right", x_standin=keys)
    totals = own.bill()["totals"]
    assert totals["cost_by_model_nusd"] == {"my-model": 5_000}
    assert (totals["calls"], totals["input"], totals["output"]) == (1, 10, 10)


def test_a_reset_empties_the_windows_and_the_file(own: StandinProcess) -> None:
    post(own, "/v1/chat/completions", CHAT, authorization=f"Bearer right {OURS}")
    post(own, "/v1/chat/completions", CHAT, authorization="Bearer right")
    assert own.bill_path.read_bytes()
    own.reset()
    assert own.bill() == {
        "totals": {
            "calls": 0,
            "cut": 0,
            "input": 0,
            "cached": 0,
            "cache_write": 0,
            "output": 0,
            "reasoning": 0,
            "cost_nusd": 0,
            "cost_by_model_nusd": {},
        },
        "lines": [],
    }
    assert (own.requests(), own.leaks(), own.bill_path.read_bytes()) == ([], [], b"")


def test_a_provider_without_a_credential_asks_nobody(tmp_path: Path) -> None:
    with running_standin(tmp_path, "") as open_to_all:
        assert post(open_to_all, "/v1/chat/completions", CHAT) == 200


def test_it_answers_on_loopback_only() -> None:
    with pytest.raises(ValueError, match="loopback"):
        asyncio.run(serve("0.0.0.0", 0, make_app(None, "x")))
