"""Random requests against the running guard: it always answers, and never loses count."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attacks.probe import (
    Answer,
    Entrance,
    Key,
    ask,
    assert_refused,
    new_key,
    settled_caps,
)
from chance import fuzz, soak
from guard import GuardProcess
from standin import StandinProcess
from tokenward.app import DIALECTS

DOCUMENTS = [200, soak(5_000, limit_s=3_600)]
BYTES = [100, soak(2_500, limit_s=3_600)]
DOCUMENTED_5XX = {"store:unavailable", "provider:unavailable", "provider:no_answer"}
MODELS = {"openai": "gpt-5-mini", "anthropic": "claude-haiku-4-5", "gemini": "gemini-2.5-flash"}
ENTRANCES = [
    Entrance(
        name=f"{route.dialect}-{route.operation}",
        dialect=route.dialect,
        path=route.path.replace("{model}", MODELS[route.dialect]),
        body={},
    )
    for dialect in DIALECTS
    for route in dialect.routes
    if route.method == "POST" and not route.path.startswith("/v1/models/")  # as in v1beta
]
FORMS = [
    entrance
    for entrance in ENTRANCES
    if entrance.path.endswith(("/edits", "/transcriptions", "/translations"))
]

NAMES = (
    "model", "messages", "input", "prompt", "contents", "content", "parts", "text", "role", "type",
    "max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens", "stream",
    "stream_options", "include_usage", "n", "best_of", "candidateCount", "generationConfig",
    "generation_config", "thinkingConfig", "thinkingBudget", "thinking", "budget_tokens", "tools",
    "tool_choice", "function", "name", "image_url", "url", "input_audio", "data", "source",
    "media_type", "inlineData", "inline_data", "mimeType", "fileData", "fileUri", "system",
    "systemInstruction", "cache_control", "ttl", "service_tier", "serviceTier", "inference_geo",
    "speed", "requests", "voice", "size", "quality", "response_format", "modalities", "audio",
    "reasoning", "effort", "previous_response_id", "conversation", "background", "store",
    "context_management", "edits", "web_search_options", "max_uses", "metadata", "googleSearch",
    "cachedContent", "safetySettings", "instructions", "suffix", "partial_images", "dimensions",
)  # fmt: skip
WORDS = (
    "user", "assistant", "system", "text", "image", "document", "tool_result", "base64", "file",
    "url", "auto", "default", "flex", "priority", "standard_only", "us", "fast", "enabled",
    "ephemeral", "5m", "1h", "function", "web_search_20250305", "input_text", "input_image",
    "image_url", "input_file", "tts-1", "gpt-5-mini", "gpt-image-1", "text-embedding-3-small",
    "claude-haiku-4-5", "models/gemini-2.5-flash", "alloy", "1024x1024", "high", "hi", "20",
    "data:image/png;base64,AAAA", "\x00", "\ud800", "é🦊", "{{7*7}}",
)  # fmt: skip
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, 1, -1, 2, 20, 1024, 2**31 - 1, 2**31, 2**63, 10**30]),
    st.sampled_from([0.5, 20.0, -0.0, 1e300]),
    st.sampled_from(WORDS),
    st.text(max_size=12),
)
names = st.sampled_from(NAMES) | st.text(max_size=6)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)
GOOD: dict[str, dict[str, Any]] = {
    "openai": {
        "model": "gpt-5-mini",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        "input": "hi",
        "prompt": "hi",
        "voice": "alloy",
    },
    "anthropic": {
        "model": "claude-haiku-4-5",
        "max_tokens": 20,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
    },
    "gemini": {
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "content": {"parts": [{"text": "hi"}]},
        "generationConfig": {"maxOutputTokens": 20},
    },
}


@st.composite
def documents(draw: st.DrawFn, dialect: str) -> dict[str, Any]:
    """A lawful request with up to five members spoiled, at any depth."""
    document: dict[str, Any] = json.loads(json.dumps(GOOD[dialect]))
    for _ in range(draw(st.integers(0, 5))):
        place: Any = document
        while isinstance(place, dict | list) and place and draw(st.booleans()):
            at = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else [0]))
            if not isinstance(place[at], dict | list):
                break
            place = place[at]
        if isinstance(place, dict):
            place[draw(names)] = draw(values)
        elif isinstance(place, list):
            place.append(draw(values))
    return document


@pytest.fixture(scope="module")
def key(guard: GuardProcess) -> Key:
    return new_key(guard, caps=["1000000.00/day"])


def check(
    guard: GuardProcess,
    standin: StandinProcess,
    key: Key,
    entrance: Entrance,
    data: bytes,
    kind: str = "application/json",
) -> None:
    """One request: what it was told agrees with what the provider saw and what is charged."""
    (before,) = settled_caps(guard, key)
    standin.reset()
    headers = [*entrance.headers(key.text)[1:], ("content-type", kind)]
    answer = ask(guard.base_url, "POST", entrance.path, headers, data)
    seen = standin.requests()
    (after,) = settled_caps(guard, key)
    assert_clear(answer, entrance)
    if answer.is_refusal and answer.status < 500:
        assert seen == [], "a refused call reached the provider"
    if not seen or seen[0]["status"] >= 400:
        assert after["spent"] == before["spent"], "charged, and no provider did anything"
    else:
        assert after["spent"] - before["spent"] >= standin.bill()["totals"]["cost_nusd"]


def assert_clear(answer: Answer, entrance: Entrance) -> None:
    """The provider's own answer, or a refusal that says what is wrong."""
    if answer.status >= 500:
        assert answer.code in DOCUMENTED_5XX, answer
    elif answer.is_refusal:
        assert_refused(answer, entrance, answer.code)


@pytest.mark.slow
@pytest.mark.parametrize("examples", DOCUMENTS)
@pytest.mark.parametrize("entrance", ENTRANCES, ids=lambda entrance: entrance.name)
def test_any_json_is_answered_clearly_and_charged_rightly(
    guard: GuardProcess, standin: StandinProcess, key: Key, entrance: Entrance, examples: int
) -> None:
    @fuzz(examples)
    @given(documents(entrance.dialect))
    def run(document: dict[str, Any]) -> None:
        check(guard, standin, key, entrance, json.dumps(document).encode())

    run()


pieces = st.sampled_from(
    [b"{", b"}", b"[", b"]", b":", b",", b'"', b"\\", b"\\u0000", b"\\ud800", b"\x00", b"\xff",
     b"null", b"true", b"1e999", b"-", b"0", b"NaN", b'"model"', b'"gpt-5-mini"', b'"messages"',
     b'"max_tokens"', b"\r\n", b"--x", b"Content-Disposition: form-data", b"\xef\xbb\xbf", b" "]
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("examples", BYTES)
@pytest.mark.parametrize("entrance", ENTRANCES, ids=lambda entrance: entrance.name)
def test_any_bytes_are_answered_clearly_and_charged_rightly(
    guard: GuardProcess, standin: StandinProcess, key: Key, entrance: Entrance, examples: int
) -> None:
    good = json.dumps(GOOD[entrance.dialect]).encode()

    @st.composite
    def broken(draw: st.DrawFn) -> bytes:
        data = bytearray(good)
        for _ in range(draw(st.integers(1, 4))):
            at = draw(st.integers(0, len(data)))
            data[at : at + draw(st.integers(0, 8))] = draw(pieces | st.binary(max_size=4))
        return bytes(data)

    @fuzz(examples)
    @given(st.binary(max_size=64) | st.lists(pieces).map(b"".join) | broken())
    def run(data: bytes) -> None:
        check(guard, standin, key, entrance, data)

    run()


@pytest.mark.slow
@pytest.mark.parametrize("examples", BYTES)
@pytest.mark.parametrize("entrance", FORMS, ids=lambda entrance: entrance.name)
def test_any_form_is_answered_clearly_and_charged_rightly(
    guard: GuardProcess, standin: StandinProcess, key: Key, entrance: Entrance, examples: int
) -> None:
    names = st.sampled_from(
        ["model", "prompt", "file", "image", "image[]", "n", "stream", "size", "response_format",
         "language", "quality", "timestamp_granularities[]", "a\r\nb", "", "\x00"]
    )  # fmt: skip
    values = st.sampled_from(
        [b"whisper-1", b"gpt-4o-transcribe", b"gpt-image-1", b"1", b"-1", b"true", b"high", b"",
         b"\x00", b"\xff", b"--x", b"\r\n--x--\r\n", b"RIFF", bytes(100)]
    )  # fmt: skip
    ends = st.sampled_from(["", '; filename="a.wav"', '; filename="'])

    @fuzz(examples)
    @given(st.lists(st.tuples(names, values, ends), max_size=5))
    def run(fields: list[tuple[str, bytes, str]]) -> None:
        good = [("model", b"whisper-1", ""), ("file", b"RIFF", '; filename="a.wav"')]
        parts = [
            f'--x\r\ncontent-disposition: form-data; name="{name}"{end}\r\n\r\n'.encode() + value
            for name, value, end in (*good, *fields)
        ]
        data = b"\r\n".join([*parts, b"--x--\r\n"])
        check(guard, standin, key, entrance, data, "multipart/form-data; boundary=x")

    run()
