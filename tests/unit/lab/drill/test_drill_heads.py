"""The heads that the drill plays show the guard the programs they are of."""

import pytest

from tokenward.kernel.signals import Client
from tokenward.lab.drill.calls import CHAT, MESSAGES, Ask, Body
from tokenward.lab.drill.heads import HEADS
from tokenward.lab.drill.programs import ADDRESS, recorded_request
from tokenward.signals.client import read_client

KEY = "tw_sk_not-a-key"
BODY: Body = {"model": "m", "messages": [{"role": "user", "content": "is 3 < 4 & “é”?"}]}
FAMILIES = {"go-relay": "go"}


def _seen(program: str, path: str = CHAT, body: Body | None = BODY) -> Client:
    head, _, sent = recorded_request("127.0.0.1:1", KEY, Ask(program, "::1", path, body)).partition(
        b"\r\n\r\n"
    )
    lines = head.split(b"\r\n")[1:]
    pairs = [(name, value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    wire = tuple(name for name, _ in pairs)
    lengths = [int(value) for name, value in pairs if name.lower() == b"content-length"]
    assert lengths == ([len(sent)] if body else [])
    assert any(KEY.encode() in value for _, value in pairs)
    assert (ADDRESS.encode(), b"::1") in pairs
    return read_client(tuple((name.lower(), value) for name, value in pairs), wire, sent)


PLAYED = [
    (program, path)
    for program in sorted(set(HEADS) - {"go-relay", "node-http"})
    for path in (CHAT, MESSAGES)
    if path == CHAT or program not in ("openai-python", "openai-node", "litellm")
]
"""OpenAI's SDKs have no such route as Anthropic's, and LiteLLM calls it with another head."""


@pytest.mark.parametrize(("program", "path"), PLAYED)
def test_a_recorded_head_is_taken_for_its_program_and_nothing_contradicts(
    program: str, path: str
) -> None:
    seen = _seen(program, path)
    assert seen.family == program
    assert seen.contradictions == ()
    assert seen.oddities == ()


@pytest.mark.parametrize("path", [CHAT, MESSAGES])
def test_a_relay_in_go_that_claims_a_python_sdk_contradicts_itself(path: str) -> None:
    seen = _seen("go-relay", path)
    assert seen.family == "go"
    assert seen.claimed in {"openai-python", "anthropic-python"}
    assert any("Go's net/http" in said for said in seen.contradictions)
    assert any("X-Stainless-Os" in said for said in seen.contradictions)
    assert any("\\u003c" in said for said in seen.contradictions)


def test_a_pool_of_keys_shows_its_empty_headers() -> None:
    seen = _seen("node-http")
    assert [said for said in seen.oddities if "Origin" in said]
    assert [said for said in seen.oddities if "Referer" in said]


def test_the_same_program_on_another_machine_has_another_fingerprint() -> None:
    here, there = _seen("openai-python"), _seen("openai-python@1")
    assert here.family == there.family == "openai-python"
    assert here.fingerprint != there.fingerprint


def test_a_call_without_a_body_says_nothing_of_one() -> None:
    assert _seen("requests", "/v1/organizations", None).serializer == ""
