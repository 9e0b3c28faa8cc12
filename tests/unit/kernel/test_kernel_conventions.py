"""Records speak OpenTelemetry's GenAI names to other tools."""

from tokenward.kernel.conventions import gen_ai_attributes
from tokenward.kernel.events import Record


def test_a_call_has_the_names_of_the_conventions_and_ours_beside_them() -> None:
    shown = gen_ai_attributes(
        Record(
            ts=1,
            request_id="req_1",
            dialect="anthropic",
            route="messages",
            model="claude-haiku-4-5",
            model_answered="claude-haiku-4-5-20251001",
            input_tokens=9,
            output_tokens=20,
            cached_tokens=4,
            cost_nusd=109_000,
            status=200,
            key="abc",
        )
    )
    assert shown == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-haiku-4-5",
        "gen_ai.response.model": "claude-haiku-4-5-20251001",
        "gen_ai.usage.input_tokens": 9,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "http.response.status_code": 200,
        "tokenward.request_id": "req_1",
        "tokenward.key": "abc",
        "tokenward.cost_nusd": 109_000,
    }


def test_a_refusal_is_an_error_type() -> None:
    refused = Record(ts=1, request_id="r", dialect="openai", status=429, refusal="cap:reached")
    assert gen_ai_attributes(refused)["error.type"] == "cap:reached"
