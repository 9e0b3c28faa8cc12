"""What the caller gets of an answer in the OpenAI dialect, and what is read from it."""

import gzip
import json
import zlib

import pytest

from openai_calls import DATA, FORM_TYPE, JSON, MESSAGES, SSE, asked, form, played
from tokenward.kernel.usage import Usage
from tokenward.providers.ask import Ask
from tokenward.providers.interfaces import Headers
from tokenward.providers.openai import OPENAI

CHAT_USAGE = Usage(input=19, output=10)
RESPONSE_USAGE = Usage(
    input=2320,
    cache_read=1024,
    cache_write_5m=256,
    output=870,
    reasoning=640,
    searches=2,
    file_searches=1,
    service_tier="priority",
)
GET_TOKENS = Usage(input=2, input_audio=12, output=45)


def chat(**fields: object) -> Ask:
    return asked("chat", {"model": "gpt-4o-mini", "messages": MESSAGES} | fields)


def stream(**fields: object) -> Ask:
    return chat(stream=True, **fields)


def recorded(name: str) -> bytes:
    return (DATA / name).read_bytes()


@pytest.mark.req("M-2")
@pytest.mark.parametrize("options", [None, {}, {"include_usage": False}, {"include_usage": None}])
def test_a_caller_that_did_not_ask_for_usage_gets_the_bytes_of_the_direct_stream(
    options: object,
) -> None:
    passed, reading = played(stream(stream_options=options), recorded("chat_stream.sse"))
    assert passed == recorded("chat_stream_direct.sse")
    assert reading.usage == CHAT_USAGE
    assert reading.model == "gpt-4o-mini-2024-07-18"


@pytest.mark.req("M-2")
def test_a_caller_that_asked_gets_every_byte_and_the_same_usage_is_read() -> None:
    ask = stream(stream_options={"include_usage": True})
    assert ask.wants_usage
    passed, reading = played(ask, recorded("chat_stream.sse"))
    assert passed == recorded("chat_stream.sse")
    assert reading.usage == CHAT_USAGE


@pytest.mark.parametrize("end", [b"\r\n", b"\r"])
def test_other_line_ends_change_nothing(end: bytes) -> None:
    body = recorded("chat_stream.sse").replace(b"\n", end)
    passed, reading = played(stream(), body)
    assert passed == recorded("chat_stream_direct.sse").replace(b"\n", end)
    assert reading.usage == CHAT_USAGE


def test_a_stream_is_final_with_its_last_word_and_not_before() -> None:
    reader = OPENAI.reader(stream(), 200, SSE)
    before, done, _ = recorded("chat_stream.sse").partition(b"data: [DONE]\n\n")
    reader.feed(before)
    assert not reader.is_final
    assert reader.feed(done) == done
    assert reader.is_final


def test_a_running_total_is_read_by_its_last_word_and_passes() -> None:
    body = recorded("chat_stream_compatible.sse")
    passed, reading = played(stream(), body)
    assert passed == body
    assert reading.usage == Usage(input=19, output=9)


@pytest.mark.req("M-5")
def test_a_running_total_of_a_stream_that_breaks_off_is_no_usage() -> None:
    body = recorded("chat_stream_compatible.sse")
    _, reading = played(stream(), body[: body.index(b"\xc3\xb6rld")])
    assert reading.usage is None
    assert reading.problem


def test_a_total_in_the_last_chunk_counts_without_a_done_event() -> None:
    body = recorded("chat_stream_compatible.sse").replace(b"data: [DONE]\n\n", b"")
    assert played(stream(), body)[1].usage == Usage(input=19, output=9)


def test_the_usage_chunk_counts_although_its_blank_line_is_missing() -> None:
    body = recorded("chat_stream.sse").partition(b"data: [DONE]")[0].rstrip()
    passed, reading = played(stream(), body)
    assert reading.usage == CHAT_USAGE
    assert b'"usage"' not in passed.replace(b'\\"usage\\"', b"")


def test_a_chunk_without_choices_and_without_usage_passes() -> None:
    body = b'data: {"choices":[],"prompt_filter_results":[{"prompt_index":0}]}\n\n'
    assert played(stream(), body)[0] == body


@pytest.mark.req("M-5")
@pytest.mark.parametrize("usage", ["null", '{"prompt_tokens":1.5,"completion_tokens":1}', "[]"])
def test_a_stream_without_readable_usage_says_why(usage: str) -> None:
    body = f'data: {{"choices":[],"usage":{usage}}}\n\ndata: [DONE]\n\n'.encode()
    reading = played(stream(), body)[1]
    assert reading.usage is None
    assert "usage" in reading.problem


def test_an_error_inside_the_stream_passes_and_is_marked() -> None:
    body = b'data: {"error":{"message":"boom","type":"server_error"}}\n\n'
    passed, reading = played(stream(), body)
    assert passed == body
    assert reading.is_error
    assert reading.usage is None


def test_an_event_beyond_the_limit_passes_and_leaves_no_usage() -> None:
    body = b"data: " + b"x" * (9 * 1024 * 1024) + b"\n\n" + recorded("chat_stream.sse")
    passed, reading = played(stream(), body, step=1_000_000)
    assert passed == body
    assert reading.usage is None
    assert "not read" in reading.problem


def test_text_completions_are_read_like_chat() -> None:
    ask = asked("completions", {"model": "m", "prompt": "Say this", "stream": True})
    passed, reading = played(ask, recorded("completion_stream.sse"))
    assert reading.usage == Usage(input=5, output=3)
    assert b"usage" not in passed
    assert passed.count(b"data: ") == 3


def test_a_response_stream_is_unchanged_and_read_from_its_last_event() -> None:
    ask = asked("responses", {"model": "gpt-5.6-sol", "input": "Hi", "stream": True})
    body = recorded("response_stream.sse")
    passed, reading = played(ask, body)
    assert passed == body
    assert reading.usage == RESPONSE_USAGE
    assert reading.model == "gpt-5.6-sol-2026-06-25"


def test_a_response_stream_is_final_with_the_event_that_completes_it() -> None:
    ask = asked("responses", {"model": "gpt-5.6-sol", "input": "Hi", "stream": True})
    reader = OPENAI.reader(ask, 200, SSE)
    body = recorded("response_stream.sse")
    cut = body.index(b"event: response.completed")
    reader.feed(body[:cut])
    assert not reader.is_final
    assert reader.reading().usage is None
    reader.feed(body[cut:])
    assert reader.is_final


@pytest.mark.req("M-11")
def test_a_failed_response_without_usage_is_an_error_without_usage() -> None:
    ask = asked("responses", {"model": "gpt-5.6-sol", "input": "Hi", "stream": True})
    response = {"model": "gpt-5.6-sol", "status": "failed", "error": {"code": "x"}, "usage": None}
    body = json.dumps({"type": "response.failed", "response": response}).encode()
    reading = played(ask, b"event: response.failed\ndata: " + body + b"\n\n")[1]
    assert reading.is_error
    assert reading.usage is None
    error = b'event: error\ndata: {"type":"error","code":"x","message":"boom"}\n\n'
    assert played(ask, error)[1].is_error


def test_searches_count_from_passing_items_when_the_last_event_lacks_them() -> None:
    ask = asked("responses", {"model": "gpt-5.6-sol", "input": "Hi", "stream": True})
    response = json.loads(recorded("response.json")) | {"output": []}
    events = recorded("response_stream.sse").partition(b"event: response.completed")[0]
    last = json.dumps({"type": "response.completed", "response": response}).encode()
    assert played(ask, events + b"data: " + last + b"\n\n")[1].usage == RESPONSE_USAGE


@pytest.mark.parametrize(
    ("operation", "name", "usage"),
    [
        (
            "chat",
            "chat.json",
            Usage(input=507, cache_read=512, output=210, reasoning=128),
        ),
        ("chat", "chat_audio.json", Usage(input=17, output=33, output_audio=148)),
        ("embeddings", "embedding.json", Usage(input=8)),
        ("responses", "response.json", RESPONSE_USAGE),
        ("images", "image.json", Usage(input=10, input_image=40, output_image=4160)),
    ],
)
def test_a_document_passes_and_its_usage_is_read(operation: str, name: str, usage: Usage) -> None:
    bodies = {
        "chat": {"messages": MESSAGES},
        "embeddings": {"input": "Hi"},
        "responses": {"input": "Hi"},
        "images": {"prompt": "Hi"},
    }
    ask = asked(operation, {"model": "gpt-image-1.5"} | bodies[operation])
    body = recorded(name)
    passed, reading = played(ask, body, JSON)
    assert passed == body
    assert reading.usage == usage
    assert not reading.problem


def test_billed_searches_are_those_that_the_response_counts() -> None:
    ask = asked("responses", {"model": "gpt-5.6-sol", "input": "Hi"})
    response = json.loads(recorded("response.json")) | {
        "tool_usage": {"web_search": {"num_requests": 5}, "image_gen": {"total_tokens": 7}}
    }
    usage = played(ask, json.dumps(response).encode(), JSON)[1].usage
    assert usage is not None
    assert usage.searches == 5
    assert len(usage.doubts) == 1


def test_a_chat_model_that_searches_bills_one_search_a_choice() -> None:
    ask = chat(model="gpt-4o-search-preview", n=2)
    usage = played(ask, recorded("chat.json"), JSON)[1].usage
    assert usage is not None
    assert usage.searches == 2


def transcription(model: str, **fields: str) -> Ask:
    parts: list[tuple[str, str | bytes]] = [("model", model), ("file", b"\xff\xfb" + b"\0" * 998)]
    body = form([*parts, *fields.items()])
    return asked("transcriptions", body, content_type=FORM_TYPE)


def test_transcripts_are_read_by_tokens_by_seconds_and_streamed() -> None:
    by_tokens = transcription("gpt-4o-transcribe")
    assert played(by_tokens, recorded("transcript.json"), JSON)[1].usage == GET_TOKENS
    whisper = transcription("whisper-1")
    by_seconds = played(whisper, recorded("transcript_duration.json"), JSON)[1]
    assert by_seconds.usage == Usage(audio_ms=9000)
    verbose = b'{"task":"transcribe","duration":"8.47","text":"Hi"}'
    assert played(whisper, verbose, JSON)[1].usage == Usage(audio_ms=9000)
    assert played(whisper, b"Hi there", ((b"content-type", b"text/plain"),))[1].usage is None
    streamed = transcription("gpt-4o-transcribe", stream="true")
    passed, reading = played(streamed, recorded("transcript_stream.sse"))
    assert passed == recorded("transcript_stream.sse")
    assert reading.usage == GET_TOKENS


def test_streamed_pictures_are_read_once_all_are_there() -> None:
    order = {"model": "gpt-image-1.5", "prompt": "Hi", "stream": True}
    body = recorded("image_stream.sse")
    one = played(asked("images", order), body)[1]
    assert one.usage == Usage(input=10, input_image=40, output_image=4260)
    two = asked("images", order | {"n": 2})
    assert played(two, body)[1].usage is None
    both = played(two, body + body)[1].usage
    assert both == Usage(input=20, input_image=80, output_image=8520)


def test_pictures_of_other_models_are_counted() -> None:
    ask = asked("images", {"model": "sd-xl", "prompt": "Hi", "n": 3})
    body = b'{"created":1,"data":[{"url":"a"},{"url":"b"}]}'
    assert played(ask, body, JSON)[1].usage == Usage(images=2)


def test_speech_is_billed_by_its_characters_or_read_from_its_events() -> None:
    sound: Headers = ((b"content-type", b"audio/mpeg"),)
    spoken = asked("speech", {"model": "tts-1", "input": "Grüße", "voice": "alloy"})
    assert played(spoken, b"\xff\xfb", sound)[1].usage == Usage(characters=5)
    other = {"model": "gpt-4o-mini-tts", "input": "Hi", "voice": "alloy"}
    assert played(asked("speech", other), b"\xff\xfb", sound)[1].usage is None
    done = (
        b'data: {"type":"speech.audio.done","usage":'
        b'{"input_tokens":14,"output_tokens":101,"total_tokens":115}}\n\n'
    )
    streamed = asked("speech", other | {"stream_format": "sse"})
    assert played(streamed, done)[1].usage == Usage(input=14, output_audio=101)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"x"', b"\xff", b'{"usage":3}', b'{"usage":{}}', b"[" * 100_000]
)
@pytest.mark.req("M-5")
def test_a_document_that_cannot_be_read_passes_and_says_why(body: bytes) -> None:
    passed, reading = played(chat(), body, JSON)
    assert passed == body
    assert reading.usage is None
    assert reading.problem


def test_a_document_beyond_the_limit_is_not_kept() -> None:
    reader = OPENAI.reader(chat(), 200, JSON)
    for _ in range(65):
        reader.feed(b" " * 1024 * 1024)
    reader.finish()
    assert reader.reading().usage is None


def test_a_document_in_place_of_a_stream_is_read_as_one() -> None:
    body = recorded("chat.json")
    passed, reading = played(stream(), body, JSON)
    assert passed == body
    assert reading.usage is not None


def test_a_status_of_failure_passes_without_usage() -> None:
    body = b'{"error":{"message":"no"}}'
    passed, reading = played(chat(), body, JSON, status=429)
    assert passed == body
    assert reading.is_error
    assert reading.usage is None


def test_free_routes_use_nothing() -> None:
    ask = asked("moderations", {"input": "Hi"})
    assert played(ask, b"{}", JSON)[1].usage == Usage()


@pytest.mark.parametrize(
    ("encoding", "encode"), [(b"gzip", gzip.compress), (b"deflate", zlib.compress)]
)
def test_a_compressed_answer_passes_as_it_is_and_is_metered_from_a_copy(
    encoding: bytes, encode: object
) -> None:
    assert callable(encode)
    body = encode(recorded("chat_stream.sse"))
    passed, reading = played(stream(), body, (*SSE, (b"content-encoding", encoding)))
    assert passed == body
    assert reading.usage == CHAT_USAGE


@pytest.mark.parametrize("encoding", [b"br", b"gzip, gzip", b"gzip"])
def test_an_encoding_that_is_unknown_or_a_lie_leaves_no_usage(encoding: bytes) -> None:
    body = recorded("chat.json")
    passed, reading = played(chat(), body, (*JSON, (b"content-encoding", encoding)))
    assert passed == body
    assert reading.usage is None
    assert "encoded" in reading.problem
