"""What do Anthropic's answers say was used?"""

import gzip
import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenward.kernel.usage import Usage
from tokenward.providers.anthropic import ANTHROPIC
from tokenward.providers.anthropic.dialect import COUNT_TOKENS, MESSAGES
from tokenward.providers.ask import Ask
from tokenward.providers.interfaces import Reader, Reading

DATA = Path(__file__).parents[2] / "data" / "anthropic"
JSON = ((b"content-type", b"application/json"),)
EVENTS = ((b"content-type", b"text/event-stream; charset=utf-8"),)
STREAMS = sorted(path.name for path in DATA.glob("*.sse"))
ASK = Ask(route=MESSAGES, model="claude-sonnet-4-5", output_asked=1024)
ASK_1H = Ask(
    route=MESSAGES, model="claude-sonnet-4-5", output_asked=1024, most=Usage(cache_write_1h=9)
)


def read(body: bytes, ask: Ask = ASK, *, status: int = 200) -> Reading:
    reader = ANTHROPIC.reader(ask, status, JSON if body.startswith(b"{") else EVENTS)
    assert reader.feed(body) + reader.finish() == body
    return reader.reading()


def used(body: bytes, ask: Ask = ASK) -> Usage:
    usage = read(body, ask).usage
    assert usage is not None
    return usage


def recorded(name: str) -> bytes:
    return (DATA / name).read_bytes()


def message(**usage: object) -> bytes:
    plain: dict[str, object] = {"input_tokens": 10, "output_tokens": 5}
    return json.dumps({"type": "message", "model": "m", "usage": {**plain, **usage}}).encode()


def stream(*events: dict[str, object]) -> bytes:
    return b"".join(
        b"event: %s\ndata: %s\n\n" % (str(event["type"]).encode(), json.dumps(event).encode())
        for event in events
    )


def start(**usage: object) -> dict[str, object]:
    return {"type": "message_start", "message": {"type": "message", "model": "m", "usage": usage}}


def delta(reason: str | None = "end_turn", **usage: object) -> dict[str, object]:
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}


STOP: dict[str, object] = {"type": "message_stop"}


@pytest.mark.req("M-3")
def test_a_later_count_overrides_the_seed_and_is_never_added() -> None:
    assert used(recorded("stream_basic.sse")) == Usage(input=25, output=15)
    assert used(recorded("stream_web_search.sse")) == Usage(input=10_682, output=510, searches=1)


def test_tier_region_speed_and_thinking_are_read_as_billed() -> None:
    assert used(recorded("stream_thinking.sse")) == Usage(
        input=40, output=300, reasoning=280, service_tier="priority", region="us", speed="fast"
    )
    plain = used(recorded("message.json"))
    assert (plain.service_tier, plain.region, plain.speed) == ("", "", "")


def test_the_model_is_the_one_that_answered() -> None:
    assert read(recorded("stream_basic.sse")).model == "claude-sonnet-4-5-20250929"
    assert read(recorded("message.json")).model == "claude-sonnet-4-5-20250929"


def test_a_count_that_goes_down_keeps_the_larger_and_is_doubted() -> None:
    usage = used(
        stream(
            start(input_tokens=25, output_tokens=1), delta(input_tokens=0, output_tokens=15), STOP
        )
    )
    assert usage.input == 25
    assert usage.doubts == ("input_tokens went down from 25 to 0 in the stream",)


@pytest.mark.req("M-10")
def test_cache_writes_are_charged_by_the_time_they_are_kept() -> None:
    split = {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 70}
    usage = used(message(cache_creation_input_tokens=100, cache_creation=split))
    assert (usage.cache_write_5m, usage.cache_write_1h, usage.doubts) == (30, 70, ())


@pytest.mark.parametrize(("ask", "bucket"), [(ASK, "cache_write_5m"), (ASK_1H, "cache_write_1h")])
def test_writes_without_a_split_are_charged_as_the_request_asked(ask: Ask, bucket: str) -> None:
    usage = used(recorded("message_null_split.json"), ask)
    assert getattr(usage, bucket) == 2048
    assert usage.doubts == ()


def test_a_split_that_differs_from_its_total_is_charged_at_the_larger_reading() -> None:
    split = {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 0}
    more = used(message(cache_creation_input_tokens=100, cache_creation=split))
    assert (more.cache_write_5m, len(more.doubts)) == (100, 1)
    less = used(message(cache_creation_input_tokens=10, cache_creation=split))
    assert (less.cache_write_5m, len(less.doubts)) == (30, 1)


def test_compaction_comes_on_top_of_the_whole() -> None:
    iterations = [
        {"type": "message", "input_tokens": 10, "output_tokens": 5},
        {"type": "compaction", "input_tokens": 900, "output_tokens": 70},
    ]
    usage = used(message(iterations=iterations))
    assert (usage.input, usage.output, usage.doubts) == (910, 75, ())


def test_iterations_that_add_up_to_more_than_the_whole_are_believed() -> None:
    iterations = [{"type": "message", "input_tokens": 10, "output_tokens": 5}] * 2
    usage = used(message(iterations=iterations))
    assert (usage.input, usage.output, len(usage.doubts)) == (20, 10, 1)


def test_another_models_tokens_are_counted_and_doubted() -> None:
    iterations = [
        {"type": "advisor_message", "model": "big", "input_tokens": 7, "output_tokens": 3}
    ]
    usage = used(message(iterations=iterations))
    assert (usage.input, usage.output, len(usage.doubts)) == (17, 8, 1)


@pytest.mark.parametrize("wrong", [-1, 1.5, "10", True, 2**63, [1], None])
@pytest.mark.req("M-5")
def test_a_count_that_is_no_count_makes_the_usage_unreadable(wrong: object) -> None:
    reading = read(message(input_tokens=wrong))
    assert reading.usage is None
    assert reading.problem


@pytest.mark.parametrize(
    "body",
    [
        b'{"type":"message"}',
        b'{"type":"message","usage":{}}',
        b'{"type":"message","usage":{"input_tokens":3}}',
        b"{" + b'"a":{' * 100_000,
        b"{",
        recorded("message.json")[:-40],
    ],
)
@pytest.mark.req("M-5")
def test_an_answer_without_usage_says_so(body: bytes) -> None:
    reading = read(body)
    assert reading.usage is None
    assert reading.problem


@pytest.mark.parametrize(
    "events",
    [
        [start(input_tokens=25, output_tokens=1)],
        [start(input_tokens=25, output_tokens=1), STOP],
        [start(input_tokens=25, output_tokens=1), delta(None, output_tokens=9)],
        [delta(output_tokens=9), STOP],
    ],
)
@pytest.mark.req("M-4")
def test_a_stream_that_ends_before_its_output_is_counted_has_no_usage(
    events: list[dict[str, object]],
) -> None:
    reading = read(stream(*events))
    assert reading.usage is None
    assert reading.problem == "the answer broke off before its usage came"


def test_usage_is_known_from_the_delta_that_ends_the_message() -> None:
    broken_off = stream(start(input_tokens=25, output_tokens=1), delta(output_tokens=9))
    assert used(broken_off) == Usage(input=25, output=9)


@pytest.mark.req("M-11")
def test_an_error_inside_a_stream_is_an_error_with_unknown_usage() -> None:
    reading = read(recorded("stream_overloaded.sse"))
    assert reading.is_error
    assert reading.usage is None
    assert reading.problem == "the provider reported overloaded_error inside the answer"


def test_an_answer_that_came_compressed_is_metered_and_an_unknown_encoding_is_not() -> None:
    body = gzip.compress(recorded("message.json"))
    for encoding, input_tokens in ((b"gzip", 56_322), (b"br", None)):
        reader = ANTHROPIC.reader(ASK, 200, (*JSON, (b"content-encoding", encoding)))
        assert reader.feed(body) + reader.finish() == body
        usage = reader.reading().usage
        assert (usage and usage.input) == input_tokens


def test_only_message_stop_is_final() -> None:
    body = recorded("stream_basic.sse")
    reader = ANTHROPIC.reader(ASK, 200, EVENTS)
    reader.feed(body[: body.index(b"event: message_stop")])
    assert not reader.is_final
    reader.feed(body[body.index(b"event: message_stop") :])
    assert reader.is_final


def test_a_rejected_call_and_a_free_one_are_not_read() -> None:
    assert read(recorded("message.json"), status=529) == Reading(
        usage=None, problem="the provider answered 529", is_error=True
    )
    free = Ask(route=COUNT_TOKENS, model="m", has_output=False)
    assert read(b'{"input_tokens": 14}', free).usage == Usage()


def test_an_event_too_long_to_hold_passes_and_is_not_read() -> None:
    reader = ANTHROPIC.reader(ASK, 200, EVENTS)
    chunk = b"x" * (1 << 20)
    passed = sum(len(reader.feed(chunk)) for _ in range(40)) + len(reader.finish())
    assert passed == 40 << 20
    assert "were not read" in reader.reading().problem


def fed(reader: Reader, chunks: list[bytes]) -> tuple[bytes, Reading, bool]:
    passed = b"".join([*map(reader.feed, chunks), reader.finish()])
    return passed, reader.reading(), reader.is_final


@pytest.mark.parametrize("name", STREAMS)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_a_stream_reads_the_same_however_it_is_cut(name: str, data: st.DataObject) -> None:
    body = recorded(name)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=12)))
    edges = [0, *cuts, len(body)]
    chunks = [body[left:right] for left, right in pairwise(edges)]
    whole = fed(ANTHROPIC.reader(ASK, 200, EVENTS), [body])
    assert fed(ANTHROPIC.reader(ASK, 200, EVENTS), chunks) == whole
    assert whole[0] == body


@given(
    chunks=st.lists(
        st.one_of(
            st.binary(max_size=60),
            st.sampled_from(
                [recorded(name)[at : at + 90] for name in STREAMS for at in range(0, 900, 45)]
            ),
        ),
        max_size=12,
    ),
    headers=st.sampled_from([JSON, EVENTS]),
)
@settings(max_examples=200, deadline=None)
def test_hostile_bytes_pass_unchanged_and_never_raise(
    chunks: list[bytes], headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    passed, reading, _ = fed(ANTHROPIC.reader(ASK, 200, headers), chunks)
    assert passed == b"".join(chunks)
    assert reading.usage is not None or reading.problem
