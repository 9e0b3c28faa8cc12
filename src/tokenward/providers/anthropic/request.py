"""What is asked of the Messages API, and what can it cost?"""

from typing import Final

from msgspec.structs import replace

from tokenward.kernel.json_text import JsonObject
from tokenward.kernel.usage import Usage
from tokenward.providers.anthropic.content import cache_ttl, most_tokens, what_is_open
from tokenward.providers.anthropic.conversation import messages_said
from tokenward.providers.anthropic.tools import ToolCost, tool_cost
from tokenward.providers.ask import Ask, Request
from tokenward.providers.request_body import (
    as_count,
    as_flag,
    as_list,
    as_model_name,
    as_object,
    as_text,
    read_object,
)

THINKING_MIN: Final = 1_024

_UNBOUNDED_FIELDS: Final = {
    "mcp_servers": "tools of MCP servers bring text of any length into the call",
    "fallbacks": "a fallback model bills its own attempt at its own price",
    "compaction": "compaction is a further call to the model inside this one",
    "thread": "a thread adds a conversation that the provider keeps",
}
_BOUNDED_FIELDS: Final = frozenset(
    (
        "model", "messages", "max_tokens", "system", "tools", "tool_choice", "stream",
        "thinking", "temperature", "top_p", "top_k", "stop_sequences", "metadata",
        "cache_control", "service_tier", "inference_geo", "speed", "output_config",
        "output_format", "context_management", "diagnostics", "billing_policy",
        "fallback_credit_token", "container",
    )
)  # fmt: skip


def read_messages(request: Request) -> Ask:
    """A call to the model. Raises ValueError with a plain reason for what no provider accepts."""
    body = read_object(request)
    model = as_model_name(body.get("model"), "model")
    _check_messages(body)
    if body.get("max_tokens") is None:
        raise ValueError("max_tokens: Field required. It is the most tokens the answer may have.")
    max_tokens = as_count(body["max_tokens"], "max_tokens")
    _check_thinking(body, max_tokens, request.headers.get(b"anthropic-beta", b""))
    if not isinstance(body.get("system"), str | list | None):
        raise ValueError("system: must be a string or a list")
    tools = tool_cost(body)
    open_ended = what_is_open(body)
    if body.get("container") is not None:
        open_ended = open_ended or "what the container holds"
    if tools.rounds > 1:
        open_ended = open_ended or "what the provider's own tools bring into the call"
    return Ask(
        route=request.route,
        model=model,
        stream=as_flag(body.get("stream"), "stream"),
        most=_most(body, len(request.body) + tools.prompt_tokens, tools),
        output_asked=max_tokens,
        output_min=min(1, max_tokens),
        choices=tools.rounds,  # whether max_tokens is for a round or for all is not documented
        service_tiers=_service_tiers(body),
        regions=_regions(body),
        speeds=_speeds(body),
        open_ended=open_ended,
        rounds=tools.rounds,
        unbounded=_unbounded_field(body) or tools.unbounded,
        said=messages_said(body),
    )


def read_count_tokens(request: Request) -> Ask:
    """Counting is free, and makes nothing."""
    body = read_object(request)
    model = as_model_name(body.get("model"), "model")
    _check_messages(body)
    return Ask(route=request.route, model=model, has_output=False, said=messages_said(body))


def _check_messages(body: JsonObject) -> None:
    if not as_list(body.get("messages"), "messages"):
        raise ValueError("messages: at least one message is required")


def _check_thinking(body: JsonObject, max_tokens: int, betas: bytes) -> None:
    if body.get("thinking") is None:
        return
    thinking = as_object(body["thinking"], "thinking")
    if as_text(thinking.get("type"), "thinking.type") != "enabled":
        return
    budget = as_count(thinking.get("budget_tokens"), "thinking.budget_tokens", THINKING_MIN)
    # Interleaved with tool calls, the budget is for the whole turn and may exceed one answer.
    if budget >= max_tokens and b"interleaved-thinking" not in betas:
        raise ValueError("max_tokens: must be greater than thinking.budget_tokens")


def _most(body: JsonObject, size: int, tools: ToolCost) -> Usage:
    tokens = most_tokens(body, size)
    has_container = tools.runs_code or body.get("container") is not None
    paid = Usage(searches=tools.searches, containers=int(has_container))
    match cache_ttl(body):
        case "1h":
            return replace(paid, cache_write_1h=tokens)
        case "5m":
            return replace(paid, cache_write_5m=tokens)
        case _:
            return replace(paid, input=tokens)


def _service_tiers(body: JsonObject) -> tuple[str, ...]:
    match as_text(body.get("service_tier"), "service_tier"):
        case "standard_only":
            return ("",)
        case "" | "auto":  # priority capacity where the organisation has committed to some
            return ("auto",)
        case other:
            raise ValueError(f"service_tier: must be auto or standard_only, not {other[:40]!r}")


def _regions(body: JsonObject) -> tuple[str, ...]:
    match as_text(body.get("inference_geo"), "inference_geo"):
        case "global":
            return ("",)
        case "":  # the workspace's default, which the guard cannot see
            return ("", "us")
        case region:
            return (region[:40],)


def _speeds(body: JsonObject) -> tuple[str, ...]:
    match as_text(body.get("speed"), "speed"):
        case "" | "standard":
            return ("",)
        case speed:
            return ("", speed[:40])


def _unbounded_field(body: JsonObject) -> str:
    for name, value in body.items():
        if value is None or name in _BOUNDED_FIELDS:
            continue
        unknown = f"this guard does not know what the field {name[:60]!r} costs"
        return _UNBOUNDED_FIELDS.get(name, unknown)
    return _UNBOUNDED_FIELDS["compaction"] if _compacts(body) else ""


def _compacts(body: JsonObject) -> bool:
    """Whether an edit of the context does more than leave something out."""
    where = "context_management"
    edits = as_object(body.get(where) or {}, where).get("edits")
    kinds = [as_object(edit, where).get("type") for edit in as_list(edits, where)]
    return not all(as_text(kind, where).startswith("clear_") for kind in kinds)
