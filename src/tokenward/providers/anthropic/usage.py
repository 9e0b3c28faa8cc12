"""Anthropic's usage report → disjoint buckets.

`input_tokens` excludes what was read from or written to the cache; `output_tokens` includes
thinking. All counts of a stream are cumulative over the whole call, the rounds of server tools
included; entries of `iterations` for compaction and advisors come on top.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from msgspec import Struct

from tokenward.kernel.usage import Usage
from tokenward.providers.answers import Count

_PLAIN: Final = {"standard", "global", "not_available", ""}
"""Words for what is billed at the listed price."""
_INSIDE: Final = ("message", "fallback_message")
"""Iterations whose tokens the top-level counts are meant to include."""


class CacheCreation(Struct):
    """Tokens written to the cache, by the time they are kept."""

    ephemeral_5m_input_tokens: Count | None = None
    ephemeral_1h_input_tokens: Count | None = None


class ServerToolUse(Struct):
    """Calls of the provider's own tools; fetches are not billed by number."""

    web_search_requests: Count | None = None


class OutputDetails(Struct):
    """How much of the output was hidden reasoning."""

    thinking_tokens: Count | None = None


class Tokens(Struct):
    """The counts that a whole call and one of its iterations share."""

    type: str = ""
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_creation: CacheCreation | None = None


class UsageReport(Tokens):
    """The `usage` of a message, of `message_start` and of `message_delta`."""

    server_tool_use: ServerToolUse | None = None
    output_tokens_details: OutputDetails | None = None
    service_tier: str | None = None
    inference_geo: str | None = None
    speed: str | None = None
    iterations: list[Tokens] | None = None


@dataclass(slots=True)
class _Sum:
    """Four counts of tokens, and cache writes by time kept."""

    input: int
    output: int
    cache_read: int
    cache_write_5m: int
    cache_write_1h: int

    def add(self, other: "_Sum") -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def raise_to(self, other: "_Sum") -> bool:
        """Take the larger of each; whether anything grew."""
        grew = False
        for name in self.__slots__:
            if getattr(other, name) > getattr(self, name):
                setattr(self, name, getattr(other, name))
                grew = True
        return grew


def merge(seed: UsageReport | None, later: UsageReport) -> tuple[UsageReport, str]:
    """What `later` says, and what only `seed` says; never a sum (M-3). And a doubt, if a
    cumulative count went down: then the larger one stands."""
    if seed is None:
        return later, ""
    doubt = ""
    for name in UsageReport.__struct_fields__:
        before, after = getattr(seed, name), getattr(later, name)
        if after is None:
            setattr(later, name, before)
        elif isinstance(after, int) and isinstance(before, int) and after < before:
            setattr(later, name, before)
            doubt = f"{name} went down from {before} to {after} in the stream"
    return later, doubt


def to_usage(report: UsageReport, most: Usage, doubts: Iterable[str] = ()) -> Usage:
    """The buckets, for a call that asked for `most`. If it asked for caching for an hour, writes
    that the report does not split are charged as such; otherwise as writes for five minutes (G17).
    If it asked for a container, it is charged: no report tells whether that ran."""
    keeps_1h = most.cache_write_1h > 0
    found = [doubt for doubt in doubts if doubt]
    total = _sum(report, keeps_1h, found)
    inside, extra = _Sum(0, 0, 0, 0, 0), _Sum(0, 0, 0, 0, 0)
    for step in report.iterations or ():
        (inside if step.type in _INSIDE else extra).add(_sum(step, keeps_1h, found))
        if step.type not in (*_INSIDE, "compaction"):
            found.append(f"tokens of {step.type[:40]!r} are priced as the model's own")
    if total.raise_to(inside):
        found.append("the iterations add up to more than the whole; the larger was taken")
    total.add(extra)
    thinking = report.output_tokens_details and report.output_tokens_details.thinking_tokens
    searches = report.server_tool_use and report.server_tool_use.web_search_requests
    return Usage(
        input=total.input,
        output=total.output,
        cache_read=total.cache_read,
        cache_write_5m=total.cache_write_5m,
        cache_write_1h=total.cache_write_1h,
        reasoning=min(thinking or 0, total.output),
        searches=searches or 0,
        containers=most.containers,
        service_tier=_billed(report.service_tier),
        region=_billed(report.inference_geo),
        speed=_billed(report.speed),
        doubts=tuple(dict.fromkeys(found)),
    )


def _sum(tokens: Tokens, keeps_1h: bool, doubts: list[str]) -> _Sum:
    split = tokens.cache_creation or CacheCreation()
    kept_5m = split.ephemeral_5m_input_tokens or 0
    kept_1h = split.ephemeral_1h_input_tokens or 0
    written = tokens.cache_creation_input_tokens
    unsplit = max(0, (written or 0) - kept_5m - kept_1h)
    if tokens.cache_creation is not None and written not in (None, kept_5m + kept_1h):
        doubts.append("the cache writes differ from their split; the larger was taken")
    if keeps_1h or kept_1h:
        kept_1h += unsplit
    else:
        kept_5m += unsplit
    return _Sum(
        input=tokens.input_tokens or 0,
        output=tokens.output_tokens or 0,
        cache_read=tokens.cache_read_input_tokens or 0,
        cache_write_5m=kept_5m,
        cache_write_1h=kept_1h,
    )


def _billed(word: str | None) -> str:
    return "" if word is None or word in _PLAIN else word[:40]
