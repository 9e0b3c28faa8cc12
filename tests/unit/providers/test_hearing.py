"""What the model said is heard as it passes, and the passing is not changed by it."""

import gzip
import json
from pathlib import Path

import pytest

from tokenward.providers.anthropic import ANTHROPIC
from tokenward.providers.anthropic.hearing import delta_text, message_text
from tokenward.providers.ask import Ask
from tokenward.providers.gemini import GEMINI
from tokenward.providers.gemini.hearing import answer_text
from tokenward.providers.hearing import DOCUMENT_BYTES, HEARD_BYTES, HEARD_CHARS, Hearing
from tokenward.providers.interfaces import Dialect, Headers, Reader
from tokenward.providers.openai import OPENAI
from tokenward.providers.openai.hearing import completion_text, response_event_text, response_text
from tokenward.signals.content import ANSWER_CHARS

DATA = Path(__file__).resolve().parents[2] / "data"
SSE: Headers = ((b"content-type", b"text/event-stream"),)
JSON: Headers = ((b"content-type", b"application/json"),)


def reader_of(dialect: Dialect, operation: str, headers: Headers, *, stream: bool) -> Reader:
    route = next(route for route in dialect.routes if route.operation == operation)
    return dialect.reader(Ask(route=route, model="m", stream=stream), 200, headers)


def heard(reader: Reader, body: bytes, step: int) -> str:
    passed = b"".join([reader.feed(body[at : at + step]) for at in range(0, len(body), step)])
    assert len(passed + reader.finish()) <= len(body)
    return reader.said()


@pytest.mark.parametrize("step", [1, 7, 100_000])
@pytest.mark.parametrize(
    ("dialect", "operation", "file", "text"),
    [
        (OPENAI, "chat", "openai/chat_stream.sse", 'Hello "usage":null, wörld ✓'),
        (OPENAI, "completions", "openai/completion_stream.sse", None),
        (OPENAI, "responses", "openai/response_stream.sse", None),
        (ANTHROPIC, "messages", "anthropic/stream_basic.sse", "Hello!"),
        (ANTHROPIC, "messages", "anthropic/stream_thinking.sse", None),
        (GEMINI, "stream_generate_content", "gemini/stream_thoughts.sse", 'Hello {"a": [1]}!'),
    ],
)
def test_the_text_of_a_stream_is_heard_however_it_is_cut(
    dialect: Dialect, operation: str, file: str, text: str | None, step: int
) -> None:
    body = (DATA / file).read_bytes()
    said = heard(reader_of(dialect, operation, SSE, stream=True), body, step)
    assert said
    assert said == heard(reader_of(dialect, operation, SSE, stream=True), body, 3)
    assert text is None or said == text


@pytest.mark.parametrize(
    ("dialect", "operation", "file"),
    [
        (OPENAI, "chat", "openai/chat.json"),
        (OPENAI, "responses", "openai/response.json"),
        (ANTHROPIC, "messages", "anthropic/message.json"),
        (GEMINI, "generate_content", "gemini/generate_thoughts.json"),
    ],
)
def test_the_text_of_a_document_is_heard_when_it_is_whole(
    dialect: Dialect, operation: str, file: str
) -> None:
    body = (DATA / file).read_bytes()
    reader = reader_of(dialect, operation, JSON, stream=False)
    reader.feed(body)
    assert reader.said() == ""
    reader.finish()
    said = reader.said()
    assert said
    assert said in "\n".join(texts_in(json.loads(body)))


def texts_in(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for item in inner for text in texts_in(item)]


def test_a_stream_that_is_one_long_array_is_heard() -> None:
    body = (DATA / "gemini/stream_array.json").read_bytes()
    reader = reader_of(GEMINI, "stream_generate_content", JSON, stream=True)
    assert heard(reader, body, 5)


def test_a_compressed_answer_is_heard_from_its_decoded_copy() -> None:
    body = gzip.compress((DATA / "openai/chat_stream.sse").read_bytes())
    reader = reader_of(OPENAI, "chat", (*SSE, (b"content-encoding", b"gzip")), stream=True)
    assert heard(reader, body, 11) == 'Hello "usage":null, wörld ✓'


def test_events_without_a_name_are_heard_too() -> None:
    reader = reader_of(ANTHROPIC, "messages", SSE, stream=True)
    delta = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hello"}}
    assert heard(reader, b"data: " + json.dumps(delta).encode() + b"\n\n", 9) == "Hello"


def test_only_the_first_choice_is_heard() -> None:
    chunks = [
        {"choices": [{"index": index, "delta": {"content": text}}]}
        for index, text in ((0, "one "), (1, "other"), (0, "two"))
    ]
    body = b"".join([b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks])
    assert heard(reader_of(OPENAI, "chat", SSE, stream=True), body, 40) == "one two"


def test_enough_is_heard_to_know_the_answer_again_and_no_more_is_kept() -> None:
    assert ANSWER_CHARS <= HEARD_CHARS
    looks: list[bytes] = []

    def read(piece: bytes) -> str:
        looks.append(piece)
        return piece.decode()

    hearing = Hearing(read)
    hearing.hear(b"x" * (HEARD_BYTES + 1))
    assert looks == []
    for _ in range(HEARD_CHARS):
        hearing.hear(b"word")
    assert hearing.is_full
    assert (len(looks), len(hearing.said())) == (HEARD_CHARS / 4, HEARD_CHARS)


def test_a_very_long_document_is_not_listened_to() -> None:
    reader = reader_of(OPENAI, "chat", JSON, stream=False)
    document = {"choices": [{"message": {"content": "x" * DOCUMENT_BYTES}}]}
    assert heard(reader, json.dumps(document).encode(), 1 << 20) == ""


def test_routes_without_words_say_nothing() -> None:
    for operation in ("embeddings", "images", "models", "get_response"):
        assert heard(reader_of(OPENAI, operation, JSON, stream=False), b"{}", 9) == ""
    refused = OPENAI.reader(Ask(route=OPENAI.routes[0], model="m"), 500, JSON)
    assert heard(refused, b'{"choices":[{"message":{"content":"Hello"}}]}', 99) == ""


@pytest.mark.parametrize(
    "read", [completion_text, response_text, response_event_text, message_text, delta_text,
             answer_text]
)  # fmt: skip
@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"[]", b"null", b"\xff", b"[" * 5000, b'{"choices":[{"delta":[]}]}',
        b'{"choices":7}', b'{"output":[{"type":"message"}]}',
        b'{"output":[{"type":"message","content":"x"}]}',
        b'{"type":"response.output_text.delta","delta":7}', b'{"delta":7}',
        b'{"content":[7]}', b'{"candidates":[{"content":{"parts":[{"text":7}]}}]}',
        b'{"candidates":null}', b'{"choices":[]}', b'{"delta":{"type":"text_delta"}}',
    ],
)  # fmt: skip
def test_what_is_no_answer_says_nothing(read: object, data: bytes) -> None:
    assert callable(read)
    assert read(data) == ""


def event(data: object) -> bytes:
    return b"data: " + json.dumps(data).encode()


def test_thoughts_are_not_heard() -> None:
    parts = [{"text": "Hm", "thought": True}, {"text": "Hello"}]
    answer = {"candidates": [{"content": {"parts": parts}}]}
    gemini = reader_of(GEMINI, "stream_generate_content", SSE, stream=True)
    assert heard(gemini, event(answer) + b"\n\n", 9) == "Hello"
    body = b"".join(
        b"event: content_block_delta\n" + event({"delta": {"type": kind, "text": text}}) + b"\n\n"
        for kind, text in (("thinking_delta", "Hm"), ("text_delta", "Hello"))
    )
    assert heard(reader_of(ANTHROPIC, "messages", SSE, stream=True), body, 9) == "Hello"


@pytest.mark.parametrize(
    ("dialect", "operation", "last"),
    [
        (OPENAI, "chat", event({"choices": [{"index": 0, "delta": {"content": "Hello"}}]})),
        (
            ANTHROPIC,
            "messages",
            b"event: content_block_delta\n"
            + event({"delta": {"type": "text_delta", "text": "Hello"}}),
        ),
        (
            GEMINI,
            "stream_generate_content",
            event({"candidates": [{"content": {"parts": [{"text": "Hello"}]}}]}),
        ),
    ],
)
def test_a_last_event_without_its_blank_line_is_heard(
    dialect: Dialect, operation: str, last: bytes
) -> None:
    assert heard(reader_of(dialect, operation, SSE, stream=True), last, 9) == "Hello"
