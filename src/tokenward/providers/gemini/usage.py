"""Gemini's usage report → disjoint buckets.

`promptTokenCount` includes cached tokens; what the provider's tools brought in is input on top of
it; thoughts are output on top of the candidates. The total is their sum (documented), which tells
where a report means something else; then the larger reading is charged, and the doubt is noted.
"""

from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct

from tokenward.kernel.usage import Usage
from tokenward.providers.answers import Count

_PRICED_AS_IMAGE: Final = ("IMAGE", "VIDEO")
_TIERS_BY_TRAFFIC: Final = {"ON_DEMAND_PRIORITY": "priority", "ON_DEMAND_FLEX": "flex"}
_STANDARD_TIERS: Final = ("", "standard", "unspecified")


class ModalityTokens(Struct, rename="camel"):
    """How many of some tokens were text, sound, pictures …"""

    modality: str = ""
    token_count: Count = 0


class UsageReport(Struct, rename="camel"):
    """`usageMetadata`, of one answer or so far of a stream."""

    prompt_token_count: Count = 0
    cached_content_token_count: Count = 0
    candidates_token_count: Count = 0
    thoughts_token_count: Count = 0
    tool_use_prompt_token_count: Count = 0
    total_token_count: Count | None = None
    prompt_tokens_details: list[ModalityTokens] | None = None
    cache_tokens_details: list[ModalityTokens] | None = None
    candidates_tokens_details: list[ModalityTokens] | None = None
    tool_use_prompt_tokens_details: list[ModalityTokens] | None = None
    service_tier: str | None = None
    traffic_type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What else the buckets depend on: what was asked, and what came beside the report."""

    output_bucket: str = "output"
    searches: int = 0
    service_tier: str = ""
    doubts: tuple[str, ...] = ()


@dataclass(slots=True)
class _Doubts:
    """Collects what does not add up."""

    found: list[str] = field(default_factory=list)

    def within(self, part: int, whole: int, what: str) -> int:
        """`part`, but no more than `whole`."""
        if part > whole:
            self.found.append(f"{what}: {part} of {whole}")
        return min(part, whole)


def merge(before: UsageReport | None, after: UsageReport) -> tuple[UsageReport, str]:
    """The later report of a stream, each count at least as large as before. That they are
    cumulative is observed, not documented, so a count that goes down is doubted."""
    if before is None:
        return after, ""
    doubt = ""
    for name in UsageReport.__struct_fields__:
        old, new = getattr(before, name), getattr(after, name)
        is_lower = isinstance(old, int) and isinstance(new, int) and 0 < new < old
        if is_lower:
            doubt = f"{name} went down from {old} to {new} in the stream"
        if is_lower or not new:
            setattr(after, name, old)
    return after, doubt


def to_usage(report: UsageReport, context: Context) -> Usage:
    """The buckets of a report that is whole."""
    doubts = _Doubts(list(context.doubts))
    counted_input = report.prompt_token_count + report.tool_use_prompt_token_count
    cached = report.cached_content_token_count
    if cached > report.prompt_token_count:
        doubts.found.append("more tokens cached than in the prompt; they were charged beside it")
        fresh = counted_input
    else:
        fresh = counted_input - cached
    cached_audio, cached_image = _kinds(report.cache_tokens_details, cached, "cached", doubts)
    audio, image = _fresh_kinds(report, cached_audio, cached_image, fresh, doubts)
    output = _output(report, counted_input, doubts)
    made_audio, made_image = _made_kinds(report, context.output_bucket, output, doubts)
    return Usage(
        input=fresh - audio - image,
        input_audio=audio,
        input_image=image,
        cache_read=cached - cached_audio - cached_image,
        cache_read_audio=cached_audio,
        cache_read_image=cached_image,
        output=output - made_audio - made_image,
        output_audio=made_audio,
        output_image=made_image,
        reasoning=min(report.thoughts_token_count, output - made_audio - made_image),
        searches=context.searches,
        service_tier=_tier(report, context),
        doubts=tuple(dict.fromkeys(doubts.found)),
    )


def _output(report: UsageReport, counted_input: int, doubts: _Doubts) -> int:
    """All billed output. Thoughts come on top of the candidates, unless the total proves that
    they are inside; what the total has and nothing names is charged as output, the dearest."""
    candidates, thoughts = report.candidates_token_count, report.thoughts_token_count
    total = report.total_token_count
    if total is not None and thoughts <= candidates and total == counted_input + candidates:
        return candidates
    named = counted_input + candidates + thoughts
    if total is None or total == named:
        return candidates + thoughts
    doubts.found.append(f"the total says {total}, its parts {named}; the larger was taken")
    return candidates + thoughts + max(0, total - named)


def _fresh_kinds(
    report: UsageReport, cached_audio: int, cached_image: int, fresh: int, doubts: _Doubts
) -> tuple[int, int]:
    """Sound and pictures in the uncached input."""
    details = (report.prompt_tokens_details or []) + (report.tool_use_prompt_tokens_details or [])
    audio = max(0, _of_kind(details, ("AUDIO",)) - cached_audio)
    image = max(0, _of_kind(details, _PRICED_AS_IMAGE) - cached_image)
    audio = doubts.within(audio, fresh, "sound in the uncached input")
    return audio, doubts.within(image, fresh - audio, "pictures in the uncached input")


def _made_kinds(
    report: UsageReport, asked_bucket: str, output: int, doubts: _Doubts
) -> tuple[int, int]:
    """Sound and pictures in the output; without details all candidates are what was asked for."""
    candidates = min(report.candidates_token_count, output)
    if report.candidates_tokens_details:
        return _kinds(report.candidates_tokens_details, candidates, "made", doubts)
    if asked_bucket == "output" or not candidates:
        return 0, 0
    doubts.found.append(f"the output is not split by kind; all is charged as {asked_bucket}")
    return (candidates, 0) if asked_bucket == "output_audio" else (0, candidates)


def _kinds(
    details: list[ModalityTokens] | None, whole: int, what: str, doubts: _Doubts
) -> tuple[int, int]:
    audio = doubts.within(_of_kind(details, ("AUDIO",)), whole, f"sound {what}")
    image = _of_kind(details, _PRICED_AS_IMAGE)
    return audio, doubts.within(image, whole - audio, f"pictures {what}")


def _of_kind(details: list[ModalityTokens] | None, kinds: tuple[str, ...]) -> int:
    return sum(item.token_count for item in details or () if item.modality.upper() in kinds)


def _tier(report: UsageReport, context: Context) -> str:
    said = (report.service_tier or "").lower()
    said = said or _TIERS_BY_TRAFFIC.get(report.traffic_type or "", "") or context.service_tier
    return "" if said in _STANDARD_TIERS else said[:40]
