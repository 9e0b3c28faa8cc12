"""Slow, broken and cut answers of the stand-in, and what it bills for them."""

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import openai
import pytest
from google import genai
from google.genai import errors, types

from standin import StandinProcess

CHUNKS = 6
TOKENS = 60


def chat_request(standin: StandinProcess, keys: str, *, stream: bool = True) -> bytes:
    body = json.dumps(
        {
            "model": "gpt-5-mini",
            "messages": [{"role": "user", "content": "Say hi."}],
            "stream": stream,
        }
    ).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: standin\r\n"
        f"authorization: Bearer {standin.credential}\r\n"
        f"x-standin: chunks={CHUNKS}; output_tokens={TOKENS}; reasoning=7; {keys}\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@contextmanager
def connection(standin: StandinProcess) -> Iterator[socket.socket]:
    host, port = standin.base_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as pipe:
        yield pipe


def read_until(pipe: socket.socket, text: bytes) -> bytes:
    got = b""
    while text not in got:
        more = pipe.recv(65_536)
        assert more, f"the connection ended after {got!r}"
        got += more
    return got


def read_to_the_end(pipe: socket.socket) -> tuple[bytes, bool]:
    """Everything, and whether a reset ended it."""
    got = b""
    try:
        while more := pipe.recv(65_536):
            got += more
    except ConnectionResetError:
        return got, True
    return got, False


def line_of(standin: StandinProcess, tag: str) -> dict[str, Any]:
    """The one line of a call, as soon as it is there."""
    standin.bill_when(lambda bill: any(line["tag"] == tag for line in bill["lines"]))
    (line,) = standin.lines(tag)
    return line


def text_chunks(got: bytes) -> int:
    return got.count(b'"delta":{"content":"')


def wait_until_it_has(standin: StandinProcess, tag: str) -> None:
    """Until the request with this tag is being served."""
    for _ in range(1_000):
        if any(f"tag={tag};" in value for r in standin.requests(5) for _, value in r["headers"]):
            return
        time.sleep(0.01)
    raise AssertionError(f"the request {tag} never came")


@pytest.mark.parametrize("sent", [1, 3, CHUNKS])
def test_a_stream_is_reset_after_so_many_chunks_and_billed_so_far(
    standin: StandinProcess, sent: int
) -> None:
    tag = f"reset-{sent}"
    with connection(standin) as pipe:
        pipe.sendall(chat_request(standin, f"tag={tag}; fail=reset@{sent}"))
        got, was_reset = read_to_the_end(pipe)
    assert was_reset
    assert text_chunks(got) == sent
    assert b"[DONE]" not in got
    line = line_of(standin, tag)
    assert (line["end"], line["output"], line["cut"]) == ("reset", 7 + 10 * sent, False)


@pytest.mark.parametrize("stream", [True, False])
def test_a_reset_after_nothing_comes_before_the_head(standin: StandinProcess, stream: bool) -> None:
    with connection(standin) as pipe:
        pipe.sendall(chat_request(standin, "fail=reset@0", stream=stream))
        assert read_to_the_end(pipe) == (b"", True)


def test_a_document_is_reset_in_the_middle(standin: StandinProcess) -> None:
    with connection(standin) as pipe:
        pipe.sendall(chat_request(standin, "tag=doc; fail=reset", stream=False))
        got, was_reset = read_to_the_end(pipe)
    assert was_reset
    head, _, body = got.partition(b"\r\n\r\n")
    assert b"200 OK" in head
    assert 0 < len(body) < int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    assert line_of(standin, "doc")["output"] == 7 + TOKENS


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_that_closes_early_ends_like_a_good_one(
    standin: StandinProcess, stream: bool
) -> None:
    tag = f"close-{stream}"
    with connection(standin) as pipe:
        pipe.sendall(chat_request(standin, f"tag={tag}; fail=close@2", stream=stream))
        got = read_until(pipe, b"0\r\n\r\n")
    assert b"[DONE]" not in got
    assert b'finish_reason":"' not in got
    line = line_of(standin, tag)
    assert (line["end"], line["output"]) == ("close", 27 if stream else 67)


@pytest.mark.parametrize("sent", [0, 2])
def test_an_answer_that_hangs_is_billed_when_the_client_gives_up(
    standin: StandinProcess, sent: int
) -> None:
    tag = f"hang-{sent}"
    with connection(standin) as pipe:
        pipe.sendall(chat_request(standin, f"tag={tag}; fail=hang@{sent}"))
        if sent:
            got = b""
            while text_chunks(got) < sent:
                got += read_until(pipe, b"\n\n")
        wait_until_it_has(standin, tag)
        assert standin.lines(tag) == []
    line = line_of(standin, tag)
    assert (line["end"], line["output"]) == ("hang", 7 + 10 * sent)


def test_a_client_that_leaves_pays_for_what_was_made_until_it_was_noticed(
    standin: StandinProcess,
) -> None:
    with connection(standin) as pipe:
        pipe.sendall(chat_request(standin, "tag=cut; gap_ms=200"))
        read_until(pipe, b'"delta":{"content":"')
    line = line_of(standin, "cut")
    assert (line["end"], line["cut"]) == ("cut", True)
    assert 17 <= line["output"] < 7 + TOKENS


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_before_the_first_byte_pays_for_prompt_and_thinking(
    standin: StandinProcess, stream: bool
) -> None:
    tag = f"early-{stream}"
    with connection(standin) as pipe:
        pipe.sendall(chat_request(standin, f"tag={tag}; first_ms=60000", stream=stream))
        wait_until_it_has(standin, tag)
    line = line_of(standin, tag)
    assert (line["end"], line["output"]) == ("cut", 7)
    assert line["input"] > 0


def test_a_document_that_is_cut_is_billed_by_how_far_it_was(standin: StandinProcess) -> None:
    with connection(standin) as pipe:
        pipe.sendall(chat_request(standin, "tag=half; gap_ms=60000", stream=False))
        wait_until_it_has(standin, "half")
    assert line_of(standin, "half")["output"] == 7 + 10


def test_a_deaf_provider_bills_a_cut_call_in_full(standin: StandinProcess) -> None:
    with connection(standin) as pipe:
        pipe.sendall(chat_request(standin, "tag=deaf; gap_ms=200; deaf=1"))
        read_until(pipe, b'"delta":{"content":"')
    line = line_of(standin, "deaf")
    assert (line["end"], line["output"]) == ("cut", 7 + TOKENS)


@pytest.mark.parametrize("stream", [True, False])
def test_garbage_is_no_json_and_billed_in_full(standin: StandinProcess, stream: bool) -> None:
    tag = f"garbage-{stream}"
    with connection(standin) as pipe:
        pipe.sendall(chat_request(standin, f"tag={tag}; fail=garbage", stream=stream))
        got = read_until(pipe, b'not": json')
    assert b"200 OK" in got
    line = line_of(standin, tag)
    assert (line["end"], line["output"]) == ("garbage", 7 + TOKENS)


@pytest.fixture
def client(standin: StandinProcess) -> Iterator[openai.OpenAI]:
    made = openai.OpenAI(
        base_url=f"{standin.base_url}/v1", api_key=standin.credential, max_retries=0
    )
    with made:
        yield made


def test_the_official_clients_raise_on_an_error_inside_the_stream(
    client: openai.OpenAI, standin: StandinProcess
) -> None:
    header = {"x-standin": "fail=error@2; chunks=4; tag=broken"}
    with pytest.raises(openai.APIError, match="error while processing"):
        list(
            client.chat.completions.create(
                model="gpt-5-mini",
                messages=[{"role": "user", "content": "hi"}],
                stream=True,
                extra_headers=header,
            )
        )
    events = list(
        client.responses.create(model="gpt-5-mini", input="hi", stream=True, extra_headers=header)
    )
    assert [event.type for event in events][-2:] == ["error", "response.failed"]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    with genai.Client(
        api_key=standin.credential, http_options=types.HttpOptions(base_url=standin.base_url)
    ) as google:
        options = types.HttpOptions(headers=header)
        with pytest.raises(errors.APIError, match="overloaded"):
            list(
                google.models.generate_content_stream(
                    model="gemini-2.5-flash",
                    contents="hi",
                    config=types.GenerateContentConfig(http_options=options),
                )
            )
    assert [line["output"] for line in standin.lines("broken")] == [10, 10, 10]


@pytest.mark.parametrize(
    ("status", "error", "retry_after"),
    [
        (500, openai.InternalServerError, None),
        (429, openai.RateLimitError, "1"),
        (503, openai.InternalServerError, "1"),
        (403, openai.PermissionDeniedError, None),
    ],
)
def test_an_error_before_the_first_byte_costs_nothing(
    client: openai.OpenAI,
    standin: StandinProcess,
    status: int,
    error: type[openai.APIStatusError],
    retry_after: str | None,
) -> None:
    with pytest.raises(error) as raised:
        client.responses.create(
            model="gpt-5-mini",
            input="hi",
            extra_headers={"x-standin": f"status={status}; tag=failed"},
        )
    assert raised.value.response.headers.get("retry-after") == retry_after
    assert standin.lines("failed") == []


def test_a_document_asked_to_fail_inside_is_an_error_that_costs_nothing(
    client: openai.OpenAI, standin: StandinProcess
) -> None:
    with pytest.raises(openai.InternalServerError):
        client.responses.create(
            model="gpt-5-mini", input="hi", extra_headers={"x-standin": "fail=error; tag=failed"}
        )
    assert standin.lines("failed") == []


def test_a_redirect_points_elsewhere_and_costs_nothing(standin: StandinProcess) -> None:
    with connection(standin) as pipe:
        pipe.sendall(chat_request(standin, "tag=away; redirect=http://127.0.0.1:1/stolen"))
        got = read_until(pipe, b"\r\n\r\n")
    assert b"302 Found" in got
    assert b"location: http://127.0.0.1:1/stolen" in got
    assert standin.lines("away") == []


@pytest.mark.parametrize("stream", [True, False])
def test_a_huge_answer_is_huge_and_costs_its_tokens(
    client: openai.OpenAI, standin: StandinProcess, stream: bool
) -> None:
    tag = f"huge-{stream}"
    done: Any = client.chat.completions.create(
        model="gpt-5-mini",
        messages=[{"role": "user", "content": "hi"}],
        stream=stream,
        extra_headers={"x-standin": f"huge=3000000; chunks=10; tag={tag}"},
    )
    if stream:
        text = "".join(c.choices[0].delta.content or "" for c in done)
    else:
        text = done.choices[0].message.content
    assert len(text) == 3_000_000
    assert [line["output"] for line in standin.lines(tag)] == [20]


def test_the_line_is_in_the_file_before_the_last_byte_is_out(standin: StandinProcess) -> None:
    with connection(standin) as pipe:
        pipe.sendall(chat_request(standin, "tag=flushed"))
        read_until(pipe, b"[DONE]")
        lines = [json.loads(line) for line in standin.bill_path.read_text("utf-8").splitlines()]
    assert [line["end"] for line in lines if line["tag"] == "flushed"] == ["complete"]


def test_two_hundred_streams_at_once_are_all_served_and_billed(standin: StandinProcess) -> None:
    def one(_: int) -> bool:
        with connection(standin) as pipe:
            pipe.sendall(chat_request(standin, "tag=many; gap_ms=5"))
            return b"[DONE]" in read_until(pipe, b"0\r\n\r\n")

    with ThreadPoolExecutor(200) as pool:
        assert all(pool.map(one, range(200)))
    lines = standin.lines("many")
    assert len(lines) == 200
    assert {line["output"] for line in lines} == {7 + TOKENS}


def test_a_wrong_direction_is_a_bad_request_that_names_it(standin: StandinProcess) -> None:
    with connection(standin) as pipe:
        pipe.sendall(chat_request(standin, "chunk=5"))
        got = read_until(pipe, b"}}")
    assert b"400 Bad Request" in got
    assert b"'chunk' is not a key" in got


def test_a_slow_start_comes_before_the_head(standin: StandinProcess) -> None:
    with connection(standin) as pipe:
        pipe.sendall(chat_request(standin, "tag=slow; first_ms=60000"))
        wait_until_it_has(standin, "slow")
        pipe.setblocking(False)
        with pytest.raises(BlockingIOError):
            pipe.recv(1)
