"""A record under the names of OpenTelemetry's GenAI semantic conventions, for other tools.

https://opentelemetry.io/docs/specs/semconv/gen-ai/ names what it has names for; what is only ours
stands under `tokenward.`.
"""

from typing import Final

from tokenward.kernel.events import Record

OPERATIONS: Final = {
    "responses": "chat",
    "messages": "chat",
    "completions": "text_completion",
    "generate_content": "generate_content",
    "stream_generate_content": "generate_content",
    "embeddings": "embeddings",
    "embed_content": "embeddings",
    "batch_embed_contents": "embeddings",
}
SYSTEMS: Final = {"openai": "openai", "anthropic": "anthropic", "gemini": "gcp.gemini"}

Attribute = str | int | float | bool | tuple[str, ...]


def gen_ai_attributes(record: Record) -> dict[str, Attribute]:
    """Attributes of the span that the record describes; what is empty or zero is left out."""
    status_failed = record.refusal or (str(record.status) if record.status >= 400 else "")
    attributes: dict[str, Attribute | None] = {
        "gen_ai.operation.name": OPERATIONS.get(record.route, record.route),
        "gen_ai.provider.name": SYSTEMS.get(record.dialect, record.dialect),
        "gen_ai.request.model": record.model,
        "gen_ai.response.model": record.model_answered,
        "gen_ai.request.max_tokens": record.max_tokens,
        "gen_ai.usage.input_tokens": record.input_tokens,
        "gen_ai.usage.output_tokens": record.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": record.cached_tokens,
        "gen_ai.usage.cache_creation.input_tokens": record.cache_write_tokens,
        "gen_ai.usage.reasoning.output_tokens": record.reasoning_tokens,
        "openai.response.service_tier": record.service_tier if record.dialect == "openai" else "",
        "http.response.status_code": record.status,
        "error.type": status_failed,
        "client.address": record.client_ip,
        "user_agent.original": record.user_agent,
        "tokenward.request_id": record.request_id,
        "tokenward.account": record.account,
        "tokenward.project": record.project,
        "tokenward.key": record.key,
        "tokenward.provider": record.provider,
        "tokenward.proof_kind": record.proof_kind,
        "tokenward.proof_thumbprint": record.proof_thumbprint,
        "tokenward.client": record.client,
        "tokenward.client_fingerprint": record.client_fingerprint,
        "tokenward.network": record.network,
        "tokenward.network_kind": record.network_kind,
        "client.geo.country_iso_code": record.country,
        "tokenward.system_hash": record.system_hash,
        "tokenward.tools_hash": record.tools_hash,
        "tokenward.prefix_hash": record.prefix_hash,
        "tokenward.script": record.script,
        "tokenward.unknown_signals": record.unknown_signals,
        "tokenward.log_e": record.log_e,
        "tokenward.evidence": record.evidence,
        "tokenward.would": record.would,
        "tokenward.incident": record.incident,
        "tokenward.outcome": record.outcome,
        "tokenward.verdict": record.verdict,
        "tokenward.held_nusd": record.held_nusd,
        "tokenward.cost_nusd": record.cost_nusd,
        "tokenward.is_estimate": record.is_estimate,
        "tokenward.doubts": record.doubts,
        "tokenward.stream": record.stream,
        "tokenward.total_ms": record.total_ms,
        "tokenward.ttft_ms": record.ttft_ms,
        "tokenward.guard_us": record.guard_us,
    }
    return {name: value for name, value in attributes.items() if value}
