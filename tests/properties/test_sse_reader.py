"""However a stream arrives, the caller gets the same bytes and the same usage is read."""

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openai_calls import DATA, FORM_TYPE, MESSAGES, SSE, asked, form
from tokenward.kernel.usage import COUNTS
from tokenward.providers.ask import Ask
from tokenward.providers.interfaces import Reading
from tokenward.providers.json_edit import insert_first, remove_member
from tokenward.providers.openai import OPENAI
from tokenward.providers.openai.streams import ChunkWatcher, EventReader
from tokenward.providers.openai.usage import token_usage
from tokenward.providers.sse import EventSplitter

CHAT = asked("chat", {"model": "m", "messages": MESSAGES, "stream": True})
ASKS = {
    "chat_stream.sse": CHAT,
    "chat_stream_compatible.sse": CHAT,
    "completion_stream.sse": asked("completions", {"model": "m", "prompt": "x", "stream": True}),
    "response_stream.sse": asked("responses", {"model": "m", "input": "x", "stream": True}),
    "image_stream.sse": asked("images", {"model": "gpt-image-1", "prompt": "x", "stream": True}),
    "transcript_stream.sse": asked(
        "transcriptions",
        form([("model", "gpt-4o-transcribe"), ("stream", "true"), ("file", b"\xff\xfb")]),
        content_type=FORM_TYPE,
    ),
}
HOSTILE = st.lists(
    st.one_of(
        st.binary(max_size=12),
        st.sampled_from(
            [
                *(b"\r", b"\n", b"\r\n", b"data", b":", b" ", b"\n\n", b"data: ", b"event: error"),
                *(b"[DONE]", b"{", b"}", b"[", b'"usage":', b"null", b",", b'"choices":[]', b'"'),
                *(
                    b'data: {"usage":null}\n\n',
                    b'data: {"choices":[],"usage":{}}\n\n',
                    b"\xef\xbb\xbf",
                ),
                b'data: {"a":1,"usage":null,"x":{"usage":null}}\n\n',
                b'data: {"type":"response.completed","response":[]}\n\n',
                b'data: {"type":"transcript.text.done","usage":{"input_tokens":-1}}\n\n',
                b'{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n',
            ]
        ),
    ),
    max_size=30,
).map(b"".join)


@st.composite
def pieces(draw: st.DrawFn, body: bytes) -> list[bytes]:
    """`body` cut anywhere, empty pieces included."""
    cuts = sorted(draw(st.lists(st.integers(0, len(body)), max_size=12)))
    return [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]


def play(ask: Ask, chunks: Iterator[bytes] | list[bytes]) -> tuple[bytes, Reading, bool]:
    reader = OPENAI.reader(ask, 200, SSE)
    passed = b"".join([reader.feed(chunk) for chunk in chunks]) + reader.finish()
    return passed, reader.reading(), reader.is_final


@pytest.mark.req("M-2")
@pytest.mark.parametrize("name", ASKS)
@given(data=st.data())
def test_a_recorded_stream_may_be_cut_anywhere(name: str, data: st.DataObject) -> None:
    body = (DATA / name).read_bytes()
    end = data.draw(st.sampled_from([b"\n", b"\r\n", b"\r"]))
    body = body.replace(b"\n", end)
    whole = play(ASKS[name], [body])
    assert whole[1].usage is not None
    assert play(ASKS[name], data.draw(pieces(body))) == whole


@pytest.mark.parametrize("name", ASKS)
@given(body=HOSTILE, data=st.data())
def test_hostile_bytes_never_raise_and_may_be_cut_anywhere(
    name: str, body: bytes, data: st.DataObject
) -> None:
    whole = play(ASKS[name], [body])
    assert play(ASKS[name], data.draw(pieces(body))) == whole


@given(body=HOSTILE)
def test_a_caller_that_asked_for_usage_gets_every_byte(body: bytes) -> None:
    fields = {"stream": True, "stream_options": {"include_usage": True}}
    ask = asked("chat", {"model": "m", "messages": MESSAGES} | fields)
    assert play(ask, [body])[0] == body


@given(body=HOSTILE, limit=st.integers(1, 60), data=st.data())
def test_the_buffer_is_bounded_and_no_byte_is_lost(
    body: bytes, limit: int, data: st.DataObject
) -> None:
    chunks = data.draw(pieces(body))
    splitter, whole = EventSplitter(limit), EventSplitter(limit)
    passed = b""
    for chunk in chunks:
        before = len(passed)
        passed += b"".join(splitter.feed(chunk))
        assert len(passed) >= before
        assert sum(map(len, chunks)) >= len(passed)
    waiting = splitter.rest()
    assert len(waiting) <= limit
    assert passed + waiting == body
    events = whole.feed(body)
    assert whole.overflowed == splitter.overflowed
    assert b"".join(events) + whole.rest() == body


@given(body=HOSTILE, limit=st.integers(1, 60), data=st.data())
def test_giving_up_on_long_events_does_not_depend_on_the_cuts(
    body: bytes, limit: int, data: st.DataObject
) -> None:
    def read(chunks: list[bytes]) -> tuple[bytes, Reading]:
        reader = EventReader(ChunkWatcher(CHAT), limit)
        passed = b"".join([reader.feed(chunk) for chunk in chunks]) + reader.finish()
        return passed, reader.reading()

    assert read(data.draw(pieces(body))) == read([body])


COUNT = st.integers(0, 2_000)
REPORTS = st.fixed_dictionaries(
    {"prompt_tokens": COUNT, "completion_tokens": COUNT},
    optional={
        "total_tokens": st.integers(0, 9_000),
        "reasoning_tokens": COUNT,
        "prompt_tokens_details": st.dictionaries(
            st.sampled_from(
                ["cached_tokens", "cache_write_tokens", "audio_tokens", "image_tokens"]
            ),
            COUNT,
        ),
        "completion_tokens_details": st.dictionaries(
            st.sampled_from(["reasoning_tokens", "audio_tokens", "image_tokens"]), COUNT
        ),
    },
)


@pytest.mark.req("M-1")
@given(report=REPORTS)
def test_buckets_are_never_negative_and_never_below_the_report(report: dict[str, int]) -> None:
    usage = token_usage(report)
    assert all(getattr(usage, name) >= 0 for name in COUNTS)
    assert usage.input_tokens >= report["prompt_tokens"]
    assert usage.output_tokens >= report["completion_tokens"]
    total = report.get("total_tokens")
    if total is not None:
        assert usage.total_tokens >= total
        assert usage.doubts or usage.total_tokens == total


JSON_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(
    value=st.dictionaries(st.text(max_size=4), JSON_VALUES, max_size=5),
    member=JSON_VALUES,
    indent=st.sampled_from([None, 1]),
    ascii_only=st.booleans(),
)
def test_an_inserted_member_is_read_back_and_can_be_removed_again(
    value: dict[str, object], member: object, indent: int | None, ascii_only: bool
) -> None:
    body = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    edited = insert_first(body, "a new name", member)
    assert json.loads(edited) == {"a new name": member, **value}
    assert len(edited) > len(body)
    assert json.loads(remove_member(edited, "a new name")) == value
    assert remove_member(body, "a new name") == body
