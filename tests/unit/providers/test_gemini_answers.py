"""What do Gemini's answers say was used?"""

import gzip
import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tokenward.kernel.usage import Usage
from tokenward.providers.ask import Ask, Route
from tokenward.providers.gemini import GEMINI
from tokenward.providers.gemini.elements import ElementSplitter
from tokenward.providers.interfaces import Headers, Reader, Reading

DATA = Path(__file__).parents[2] / "data" / "gemini"
JSON: Headers = ((b"content-type", b"application/json; charset=UTF-8"),)
EVENTS: Headers = ((b"content-type", b"text/event-stream"),)
STREAMS = {"stream_thoughts.sse": EVENTS, "stream_blocked.sse": EVENTS, "stream_array.json": JSON}


def route(operation: str) -> Route:
    return next(route for route in GEMINI.routes if route.operation == operation)


ONE = Ask(route=route("generate_content"), model="gemini-2.5-pro")
STREAMED = replace(ONE, route=route("stream_generate_content"), stream=True)


def recorded(name: str) -> bytes:
    return (DATA / name).read_bytes()


def read(body: bytes, ask: Ask = ONE, headers: Headers = JSON, status: int = 200) -> Reading:
    reader = GEMINI.reader(ask, status, headers)
    assert reader.feed(body) + reader.finish() == body
    assert not reader.is_final, "only the end of the body ends an answer"
    return reader.reading()


def used(body: bytes, ask: Ask = ONE, headers: Headers = JSON) -> Usage:
    reading = read(body, ask, headers)
    assert reading.usage is not None, reading.problem
    return reading.usage


def answer(*, reason: str | None = "STOP", model: str = "gemini-2.5-pro", **usage: object) -> bytes:
    grounding = usage.pop("grounding", None)
    candidate = {"index": 0, "finishReason": reason, "groundingMetadata": grounding}
    plain: dict[str, object] = {"promptTokenCount": 10, "candidatesTokenCount": 5}
    return json.dumps(
        {"candidates": [candidate], "usageMetadata": {**plain, **usage}, "modelVersion": model}
    ).encode()


def kinds(**counts: int) -> list[dict[str, object]]:
    return [{"modality": kind, "tokenCount": count} for kind, count in counts.items()]


def events(*bodies: bytes) -> bytes:
    return b"".join(b"data: %s\r\n\r\n" % body for body in bodies)


def test_thoughts_are_output_on_top_of_the_candidates() -> None:
    assert used(recorded("generate_thoughts.json")) == Usage(input=7, output=1_221, reasoning=1_097)


def test_a_stream_of_events_says_the_same_as_one_document() -> None:
    streamed = used(recorded("stream_thoughts.sse"), STREAMED, EVENTS)
    assert streamed == used(recorded("generate_thoughts.json"))


def test_a_stream_as_one_long_array_is_read_too() -> None:
    usage = used(recorded("stream_array.json"), STREAMED)
    assert usage == Usage(input=20, output=603, reasoning=405)


def test_every_kind_of_token_has_its_own_bucket_and_none_is_counted_twice() -> None:
    usage = used(recorded("generate_speech.json"))
    assert usage == Usage(
        input=142,
        input_audio=200,
        input_image=258,
        cache_read_audio=300,
        output_audio=250,
    )
    assert usage.total_tokens == 1_150


def test_output_that_is_not_split_is_charged_as_what_was_asked_for() -> None:
    usage = used(answer(), replace(ONE, output_bucket="output_image"))
    assert (usage.output_image, usage.output, len(usage.doubts)) == (5, 0, 1)
    spoken = used(answer(), replace(ONE, output_bucket="output_audio"))
    assert (spoken.output_audio, spoken.output) == (5, 0)


def test_what_only_the_total_names_is_charged_as_output_and_doubted() -> None:
    usage = used(answer(totalTokenCount=40))
    assert (usage.input, usage.output, len(usage.doubts)) == (10, 30, 1)


def test_a_total_below_its_parts_is_doubted_and_the_parts_are_charged() -> None:
    usage = used(answer(totalTokenCount=4, thoughtsTokenCount=7))
    assert (usage.output, len(usage.doubts)) == (12, 1)


def test_thoughts_are_inside_the_candidates_only_if_the_total_proves_it() -> None:
    usage = used(answer(totalTokenCount=15, thoughtsTokenCount=4))
    assert (usage.output, usage.reasoning, usage.doubts) == (5, 4, ())


def test_more_cached_than_prompted_is_never_subtracted_below_zero() -> None:
    usage = used(answer(cachedContentTokenCount=400))
    assert (usage.input, usage.cache_read, len(usage.doubts)) == (10, 400, 1)


def test_details_that_exceed_their_whole_are_clamped_and_doubted() -> None:
    usage = used(
        answer(
            promptTokensDetails=kinds(AUDIO=900, IMAGE=900),
            candidatesTokensDetails=kinds(IMAGE=900, AUDIO=900),
        )
    )
    assert (usage.input, usage.input_audio, usage.input_image) == (0, 10, 0)
    assert (usage.output, usage.output_audio, usage.output_image) == (0, 5, 0)
    assert len(usage.doubts) == 4


@pytest.mark.parametrize(
    ("model", "version", "searches"),
    [
        ("gemini-2.5-pro", "gemini-2.5-pro", 1),
        ("gemini-3-pro-preview", "gemini-3-pro-preview", 2),
        ("gemini-flash-latest", "gemini-2.5-flash", 2),
    ],
)
@pytest.mark.req("M-10")
def test_a_search_is_billed_by_the_prompt_or_by_the_query(
    model: str, version: str, searches: int
) -> None:
    body = answer(model=version, grounding={"webSearchQueries": ["a", "b", ""]})
    assert used(body, replace(ONE, model=model)).searches == searches
    assert used(answer(grounding={}), replace(ONE, model=model)).searches == 0


@pytest.mark.parametrize(
    ("said", "tier"),
    [
        ({"serviceTier": "standard"}, ""),
        ({"serviceTier": "FLEX"}, "flex"),
        ({"trafficType": "ON_DEMAND_PRIORITY"}, "priority"),
        ({"trafficType": "ON_DEMAND"}, ""),
        ({}, ""),
    ],
)
@pytest.mark.req("M-10")
def test_the_service_tier_is_the_one_that_was_billed(said: dict[str, str], tier: str) -> None:
    assert used(answer(**said)).service_tier == tier


def test_where_no_tier_is_named_the_dearer_is_charged() -> None:
    assert used(answer(), replace(ONE, service_tiers=("", "priority"))).service_tier == "priority"
    assert used(answer(), replace(ONE, service_tiers=("", "flex"))).service_tier == ""
    headers = (*JSON, (b"x-gemini-service-tier", b"standard"))
    asked = replace(ONE, service_tiers=("", "priority"))
    assert used(answer(), asked, headers).service_tier == ""


def test_a_blocked_prompt_has_used_its_input() -> None:
    assert used(recorded("stream_blocked.sse"), STREAMED, EVENTS) == Usage(input=31)


def test_a_count_that_goes_down_keeps_the_larger_and_is_doubted() -> None:
    body = events(answer(reason=None, promptTokenCount=90), answer())
    usage = used(body, STREAMED, EVENTS)
    assert (usage.input, usage.doubts) == (
        90,
        ("prompt_token_count went down from 90 to 10 in the stream",),
    )


def test_a_count_left_out_later_stays_and_is_not_doubted() -> None:
    usage = used(events(answer(reason=None, thoughtsTokenCount=7), answer()), STREAMED, EVENTS)
    assert (usage.output, usage.doubts) == (12, ())


@pytest.mark.parametrize(
    "body",
    [
        events(answer(reason=None)),
        events(b'{"candidates":[{"finishReason":"STOP"}]}'),
        events(answer(reason=None))[:-30],
        b"",
    ],
)
@pytest.mark.req("M-4")
def test_a_stream_that_broke_off_has_no_usage(body: bytes) -> None:
    reading = read(body, STREAMED, EVENTS)
    assert reading.usage is None
    assert reading.problem


def test_every_candidate_must_have_ended() -> None:
    asked = replace(STREAMED, choices=2)
    first = b'{"candidates":[{"index":0,"finishReason":"STOP"},{"index":1}]}'
    last = (
        b'{"candidates":[{"index":1,"finishReason":"STOP"}],'
        b'"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":8}}'
    )
    assert read(events(first), asked, EVENTS).usage is None
    assert used(events(first, last), asked, EVENTS) == Usage(input=3, output=8)


@pytest.mark.parametrize("wrong", [-1, 1.5, "10", True, 2**63, [1]])
@pytest.mark.req("M-5")
def test_a_count_that_is_no_count_makes_the_usage_unreadable(wrong: object) -> None:
    reading = read(answer(thoughtsTokenCount=wrong))
    assert reading.usage is None
    assert reading.problem


@pytest.mark.parametrize(
    "body", [b"{}", b"[]", b'{"usageMetadata":{}}', b'{"embedding":{"values":[0.1]}}', b"\xff"]
)
@pytest.mark.req("M-5")
def test_an_answer_without_usage_says_so(body: bytes) -> None:
    reading = read(body)
    assert reading.usage is None
    assert reading.problem


def test_an_embedding_has_input_alone() -> None:
    asked = Ask(route=route("embed_content"), model="gemini-embedding-001", has_output=False)
    body = b'{"embedding":{"values":[0.1]},"usageMetadata":{"promptTokenCount":4}}'
    assert used(body, asked) == Usage(input=4)


@pytest.mark.req("M-11")
def test_an_error_inside_a_stream_is_an_error_with_unknown_usage() -> None:
    error = b'{"error":{"code":503,"status":"UNAVAILABLE","message":"x"}}'
    for body, headers in (
        (events(answer(), error), EVENTS),
        (b"[" + answer() + b"," + error + b"]", JSON),
    ):
        reading = read(body, STREAMED, headers)
        assert reading.is_error
        assert reading.usage is None
        assert reading.problem == "the provider reported UNAVAILABLE inside the answer"


def test_a_rejected_call_and_a_free_one_are_not_read() -> None:
    rejected = read(answer(), status=429)
    assert rejected == Reading(usage=None, problem="the provider answered 429", is_error=True)
    free = Ask(route=route("count_tokens"), model="m", has_output=False)
    assert read(b'{"totalTokens": 14}', free).usage == Usage()


@pytest.mark.parametrize(("headers", "lead"), [(EVENTS, b"data: "), (JSON, b'[{"a":"')])
def test_a_piece_too_long_to_hold_passes_and_is_not_read(headers: Headers, lead: bytes) -> None:
    reader = GEMINI.reader(STREAMED, 200, headers)
    chunk = b"x" * (1 << 20)
    passed = len(reader.feed(lead)) + sum(len(reader.feed(chunk)) for _ in range(40))
    assert passed + len(reader.finish()) == len(lead) + (40 << 20)
    assert "were not read" in reader.reading().problem


def test_an_answer_that_came_compressed_is_metered_and_an_unknown_encoding_is_not() -> None:
    body = gzip.compress(recorded("stream_thoughts.sse"))
    for encoding, input_tokens in ((b"gzip", 7), (b"br", None)):
        reader = GEMINI.reader(STREAMED, 200, (*EVENTS, (b"content-encoding", encoding)))
        assert reader.feed(body) + reader.finish() == body
        usage = reader.reading().usage
        assert (usage and usage.input) == input_tokens


def test_elements_are_found_in_an_array_and_alone() -> None:
    splitter = ElementSplitter(100)
    assert splitter.feed(b'[{"a":"}\\"]"}\n,\r\n{"b":{') == [b'{"a":"}\\"]"}']
    assert splitter.feed(b"}}]\n") == [b'{"b":{}}']
    assert splitter.rest() == b""
    assert ElementSplitter(100).feed(b' {"a":[{},{}]} ') == [b'{"a":[{},{}]}']


def test_an_element_of_exactly_the_limit_is_held_and_one_byte_more_is_not() -> None:
    for chunks in ([b'{"a":12}'], [b'{"a"', b":12}"]):
        kept, dropped = ElementSplitter(8), ElementSplitter(7)
        assert [piece for chunk in chunks for piece in kept.feed(chunk)] == [b'{"a":12}']
        assert [piece for chunk in chunks for piece in dropped.feed(chunk)] == []
        assert (kept.overflowed, dropped.overflowed) == (False, True)
        assert dropped.feed(b"{}") == []


def fed(reader: Reader, chunks: list[bytes]) -> tuple[bytes, Reading]:
    return b"".join([*map(reader.feed, chunks), reader.finish()]), reader.reading()


def cut(body: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted(at), len(body)]
    return [body[left:right] for left, right in pairwise(edges)]


@pytest.mark.parametrize("name", STREAMS)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_stream_reads_the_same_however_it_is_cut(name: str, data: st.DataObject) -> None:
    body = recorded(name)
    chunks = cut(body, data.draw(st.lists(st.integers(0, len(body)), max_size=12)))
    whole = fed(GEMINI.reader(STREAMED, 200, STREAMS[name]), [body])
    assert fed(GEMINI.reader(STREAMED, 200, STREAMS[name]), chunks) == whole
    assert whole[0] == body
    assert whole[1].usage is not None


@given(
    body=st.lists(
        st.sampled_from([b"{", b"}", b"[", b"]", b'"', b"\\", b",", b"x", b"1"]), max_size=40
    ).map(b"".join),
    at=st.lists(st.integers(0, 40), max_size=8),
    limit=st.integers(1, 12),
)
@settings(max_examples=400, deadline=None)
def test_elements_are_cut_in_the_same_places_however_the_bytes_arrive(
    body: bytes, at: list[int], limit: int
) -> None:
    whole, pieces = ElementSplitter(limit), ElementSplitter(limit)
    expected = whole.feed(body)
    found = [
        item for chunk in cut(body, [min(i, len(body)) for i in at]) for item in pieces.feed(chunk)
    ]
    assert found == expected
    assert pieces.overflowed == whole.overflowed


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
    ask=st.sampled_from([ONE, STREAMED]),
)
@settings(max_examples=200, deadline=None)
def test_hostile_bytes_pass_unchanged_and_never_raise(
    chunks: list[bytes], headers: Headers, ask: Ask
) -> None:
    passed, reading = fed(GEMINI.reader(ask, 200, headers), chunks)
    assert passed == b"".join(chunks)
    assert reading.usage is not None or reading.problem


COUNTS = st.integers(0, 2_000)


@given(
    counts=st.fixed_dictionaries(
        dict.fromkeys(
            (
                "candidatesTokenCount",
                "thoughtsTokenCount",
                "cachedContentTokenCount",
                "toolUsePromptTokenCount",
                "totalTokenCount",
            ),
            COUNTS,
        )
    ),
    prompt=st.integers(1, 2_000),
    details=st.fixed_dictionaries(
        {
            name: st.builds(kinds, AUDIO=COUNTS, IMAGE=COUNTS, TEXT=COUNTS, VIDEO=COUNTS)
            for name in ("promptTokensDetails", "cacheTokensDetails", "candidatesTokensDetails")
        }
    ),
)
@settings(max_examples=300, deadline=None)
@pytest.mark.req("M-1")
def test_buckets_are_never_negative_and_never_sum_to_less_than_the_report(
    counts: dict[str, int], prompt: int, details: dict[str, object]
) -> None:
    usage = used(answer(promptTokenCount=prompt, **counts, **details))
    assert usage.input_tokens >= prompt + counts["toolUsePromptTokenCount"]
    assert usage.output_tokens >= counts["candidatesTokenCount"]
    assert usage.total_tokens >= counts["totalTokenCount"]
