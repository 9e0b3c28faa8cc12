"""What did the provider say was used? One set of disjoint buckets from the dialect's reports.

OpenAI counts cached input inside the input and reasoning inside the output. Compatible servers
differ in both, so it is decided by the identity with `total_tokens`, not by the vendor's name;
where nothing adds up, the larger reading is taken and `doubts` says so.
"""

import math
from typing import Final

from tokenward.kernel.usage import Usage

_COUNT_MAX: Final = 2**40
_SECONDS_MAX: Final = 10_000_000
_STANDARD_TIERS: Final = ("", "default", "auto", "standard", "on_demand")

_PROMPT: Final = ("prompt_tokens", "input_tokens")
_COMPLETION: Final = ("completion_tokens", "output_tokens")
_PROMPT_DETAILS: Final = ("prompt_tokens_details", "input_tokens_details", "input_token_details")
_COMPLETION_DETAILS: Final = ("completion_tokens_details", "output_tokens_details")
_CACHED: Final = ("cached_tokens", "prompt_cache_hit_tokens", "cache_read_input_tokens")
_WRITTEN: Final = (
    "cache_write_tokens",
    "cache_creation_tokens",
    "cache_creation_input_tokens",
)

Report = dict[str, object]


def token_usage(report: object, made: str = "output", has_output: bool = True) -> Usage:
    """The buckets of a report in tokens; ValueError when it cannot be read.

    `made` is the kind of output where the report does not break it down: `output`,
    `output_image` or `output_audio`.
    """
    if not isinstance(report, dict):
        raise ValueError("the usage is not an object")
    prompt = _count(report, _PROMPT)
    completion = _count(report, _COMPLETION) if has_output else _count_or_0(report, _COMPLETION)
    prompt_details = _details(report, _PROMPT_DETAILS)
    completion_details = _details(report, _COMPLETION_DETAILS)
    cached = max(_count_or_0(prompt_details, _CACHED), _count_or_0(report, _CACHED))
    written = max(_count_or_0(prompt_details, _WRITTEN), _count_or_0(report, _WRITTEN))
    reasoning = max(
        _count_or_0(completion_details, ("reasoning_tokens",)),
        _count_or_0(report, ("reasoning_tokens",)),
    )
    total = None if report.get("total_tokens") is None else _count(report, ("total_tokens",))
    all_input, all_output, doubts = _reconcile(
        prompt, cached + written, completion, reasoning, total
    )
    output = _split_output(completion_details, all_output, made)
    return _split_input(prompt_details, all_input, cached, written, output, reasoning, doubts)


def duration_usage(seconds: object) -> Usage:
    """The bucket of a recording billed by its length, in whole seconds begun."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise ValueError("the duration is not a number")
    if not math.isfinite(seconds) or not 0 <= seconds <= _SECONDS_MAX:
        raise ValueError("the duration is no possible one")
    return Usage(audio_ms=math.ceil(seconds) * 1000)


def transcript_usage(report: object) -> Usage:
    """The buckets of a transcription's report, which is one of tokens or of seconds."""
    if isinstance(report, dict) and report.get("type") == "duration":
        return duration_usage(report.get("seconds"))
    return token_usage(report)


def billed_tier(tier: object) -> str:
    """The service tier that the answer names; empty for the standard one."""
    if not isinstance(tier, str) or tier in _STANDARD_TIERS:
        return ""
    return tier[:32]


def _reconcile(
    prompt: int, cache: int, completion: int, reasoning: int, total: int | None
) -> tuple[int, int, tuple[str, ...]]:
    """All input, all output and what is doubtful, from counts that may or may not overlap."""
    inside, outside = (prompt, ""), (prompt + cache, "cached input is reported outside the input")
    subset, addend = completion, completion + reasoning
    inputs = [outside] if cache > prompt else [inside, outside]
    outputs = [addend] if reasoning > completion else [subset, addend]
    if total is None:
        doubt = "reasoning is reported outside the output" if reasoning > completion else ""
        doubts = tuple(text for text in (inputs[0][1], doubt) if text)
        return inputs[0][0], outputs[0], doubts
    for all_input, doubt in inputs:
        for all_output in outputs:
            if all_input + all_output == total:
                return all_input, all_output, (doubt,) if doubt else ()
    all_input, doubt = inputs[0]
    mismatch = f"the counts do not add up to the total of {total}"
    doubts = (doubt, mismatch) if doubt else (mismatch,)
    return all_input, max(addend, total - all_input), doubts


def _split_input(
    details: Report,
    all_input: int,
    cached: int,
    written: int,
    output: tuple[int, int, int, tuple[str, ...]],
    reasoning: int,
    doubts: tuple[str, ...],
) -> Usage:
    """The whole usage, with its input by kind. What was cached is taken to be text first, so that
    the dear kinds count as uncached unless the report says otherwise."""
    audio = _count_or_0(details, ("audio_tokens",))
    image = _count_or_0(details, ("image_tokens",))
    text = max(0, all_input - audio - image)
    split = _details(details, ("cached_tokens_details",))
    audio_names, image_names = ("audio_tokens",), ("image_tokens", "cached_image_tokens")
    beyond_text = max(0, cached - text)
    cached_audio = min(cached, audio, _count_or_0(split, audio_names) if split else beyond_text)
    cached_image = min(
        cached - cached_audio,
        image,
        _count_or_0(split, image_names) if split else beyond_text - cached_audio,
    )
    ttl = _details(details, ("cache_write_tokens_details",))
    written_1h = min(written, _count_or_0(ttl, ("ttl_12h_tokens",)))
    uncached = all_input - cached - written
    plain = uncached - (audio - cached_audio) - (image - cached_image)
    made, audio_made, image_made, output_doubts = output
    if plain < 0:
        doubts = (*doubts, "the kinds of input add up to more than the input")
    return Usage(
        input=max(0, plain),
        input_audio=audio - cached_audio,
        input_image=image - cached_image,
        cache_read=cached - cached_audio - cached_image,
        cache_read_audio=cached_audio,
        cache_read_image=cached_image,
        cache_write_5m=written - written_1h,
        cache_write_1h=written_1h,
        output=made,
        output_audio=audio_made,
        output_image=image_made,
        reasoning=min(reasoning, made + audio_made + image_made),
        doubts=(*doubts, *output_doubts),
    )


def _split_output(
    details: Report, all_output: int, made: str
) -> tuple[int, int, int, tuple[str, ...]]:
    """Output by kind: plain, audio, image, and what is doubtful."""
    audio = _count_or_0(details, ("audio_tokens",))
    image = _count_or_0(details, ("image_tokens",))
    plain = all_output - audio - image
    doubt = ("the kinds of output add up to more than the output",) if plain < 0 else ()
    if not audio and not image and not details.get("text_tokens"):
        audio = all_output if made == "output_audio" else 0
        image = all_output if made == "output_image" else 0
        plain = all_output - audio - image
    return max(0, plain), audio, image, doubt


def _count(report: Report, names: tuple[str, ...]) -> int:
    """The first of `names` that is there; ValueError when none is, or when it is no count."""
    for name in names:
        if name in report:
            return _readable(report[name], name)
    raise ValueError(f"the usage has no readable {names[0]}")


def _count_or_0(report: Report, names: tuple[str, ...]) -> int:
    """The largest of `names`; what is absent or null is 0."""
    largest = 0
    for name in names:
        value = report.get(name)
        if value is not None:
            count = _readable(value, name)
            if count > largest:
                largest = count
    return largest


def _readable(value: object, name: str) -> int:
    if type(value) is not int or not 0 <= value <= _COUNT_MAX:  # True is no count
        raise ValueError(f"the usage has no readable {name}")
    return value


def _details(report: Report, names: tuple[str, ...]) -> Report:
    for name in names:
        value = report.get(name)
        if isinstance(value, dict):
            return value
        if value is not None:
            raise ValueError(f"the usage has no readable {name}")
    return {}
