"""The members that several operations of the dialect share: are they what the bound relies on?

Functions raise ValueError with a plain reason.
"""

import re
from typing import Final

from tokenward.kernel.json_text import JsonObject
from tokenward.providers.ask import NO_LIMIT
from tokenward.providers.request_body import as_count, as_flag, as_object, as_text

CHOICES_MAX: Final = 128

_NOT_ACCEPTED: Final = {
    "models": "name one model; a list of fallbacks would be billed at a price nobody asked for",
    "fallbacks": "name one model; a list of fallbacks would be billed at a price nobody asked for",
    "n_predict": "limit the output with max_tokens; some servers read both names",
    "max_new_tokens": "limit the output with max_tokens; some servers read both names",
}
"""Members of OpenAI-compatible servers that would go round the guard's price or its limit."""

_OPENING: Final = {
    "chat_template": "the caller's own chat template may write any text",
    "mm_processor_kwargs": "mm_processor_kwargs may change the size of images",
    "prompt_embeds": "prompt_embeds hide how long the prompt is",
    "data_sources": "data_sources bring documents into the prompt",
}
"""Members that make the size of the input unknowable from the request."""

_ADDING: Final = {
    "plugins": "plugins are billed on top of the model",
    "context_management": "compacting the context runs the model once more",
}
"""Members that add a cost nothing in the request limits."""

_LIMITED_BY_COMPLETION: Final = re.compile(r"(?:^|[/:])(?:o\d|gpt-(?:[5-9]|\d\d|chat))")

SETTABLE: Final = (
    "model", "stream_options", "max_tokens", "max_completion_tokens", "max_output_tokens",
    "max_tool_calls",
)  # fmt: skip


def refuse_detours(document: JsonObject) -> None:
    """No member may name another model or another output limit than the guard sees."""
    for name, reason in _NOT_ACCEPTED.items():
        if document.get(name) is not None:
            raise ValueError(f"{name}: not accepted; {reason}")


def opened_by(document: JsonObject) -> str:
    """What in `document` makes the input unknowable; empty when nothing does."""
    return next((why for name, why in _OPENING.items() if document.get(name) is not None), "")


def unlimited_by(document: JsonObject, *, but: str = "") -> str:
    """What in `document`, `but` for one member, adds a cost without a limit; empty when nothing
    does."""
    adding = (why for name, why in _ADDING.items() if name != but and document.get(name))
    return next(adding, "")


def service_tiers(document: JsonObject) -> tuple[str, ...]:
    """The tiers the call may be billed at. Absent means what the provider's project is set to."""
    tier = as_text(document.get("service_tier"), "service_tier")
    if tier in ("", "auto"):
        return ("auto",)
    if len(tier) > 32 or not tier.isprintable():
        raise ValueError("service_tier: no such tier")
    return ("",) if tier == "default" else (tier,)


def choices(document: JsonObject) -> int:
    """How many answers are made and billed: `best_of` are made, `n` of them are returned. The
    format lets `best_of` be 0, which makes no fewer than `n`."""
    counts = [1]
    for name, least in (("n", 1), ("best_of", 0)):
        if document.get(name) is not None:
            count = as_count(document[name], name, least)
            if count > CHOICES_MAX:
                raise ValueError(f"{name}: must be at most {CHOICES_MAX}")
            counts.append(count)
    return max(counts)


def output_asked(document: JsonObject, *names: str, least: int = 0) -> tuple[int | None, str]:
    """The caller's output limit; the largest where it gave several names for it (OpenAI refuses
    two, other servers each prefer another one); None when it gave none. And why it holds nothing:
    the format lets it be 0, which is no limit to some servers."""
    given = [
        as_count(document[name], name, least) for name in names if document.get(name) is not None
    ]
    return (None, NO_LIMIT) if 0 in given else (max(given, default=None), "")


def settable(document: JsonObject) -> JsonObject:
    """Those members that `rewriting` may have to set."""
    return {name: document[name] for name in SETTABLE if name in document}


def wants_usage(document: JsonObject) -> bool:
    """Whether the caller itself asked for usage in the stream."""
    options = document.get("stream_options")
    if options is None:
        return False
    asked = as_object(options, "stream_options").get("include_usage")
    return as_flag(asked, "stream_options.include_usage")


def is_limited_by_completion(model: str) -> bool:
    """Whether the model is of OpenAI's reasoning families, which know only
    `max_completion_tokens`; every other server knows at least `max_tokens`."""
    return _LIMITED_BY_COMPLETION.search(model) is not None
