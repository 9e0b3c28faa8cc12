"""Which rules of providers are not in the price library? Each once, with its date and source."""

from typing import Final

STANDARD_TIERS: Final = frozenset(("", "default", "standard", "auto", "on_demand"))
"""Words by which providers report that a call was billed at the listed price."""
STANDARD_SPEEDS: Final = frozenset(("", "standard"))
ANY_TIER: Final = "auto"
"""Asked for by a caller, this word lets the provider choose among its tiers."""

_CLAUDE_FAST_TIMES: Final = 6

WORLDWIDE: Final = frozenset(("", "global", "not_available"))
_REGION_TENTHS: Final = 11
_CLAUDE_REGIONS: Final = frozenset(("us",))

_GROQ_AUDIO_MS_MIN: Final = 10_000

_CONTAINER_PICO_PER_HOUR: Final = 50_000_000_000
_CONTAINER_MINUTES_MAX: Final = 20
CLAUDE_CONTAINER_PICO: Final = -(-_CONTAINER_PICO_PER_HOUR * _CONTAINER_MINUTES_MAX // 60)
"""The most that the container of one call costs: $0.05 an hour of execution and container, at least
five minutes (Anthropic's pages on pricing and on code execution, 2026). No report tells the time,
but no call is let run for longer than twenty minutes (`server.call_limit_s`)."""


def region_tenths(region: str, *, is_claude: bool) -> tuple[int, str]:
    """By how many tenths tokens are multiplied, and a doubt.

    Inference kept in the US costs 1.1 times the price for every kind of token (Anthropic's page on
    data residency, 2026-02-05, from Claude Opus 4.6 on; older models report `not_available`). A
    region that nobody has described is taken to cost the same, and doubted.
    """
    if region in WORLDWIDE:
        return 10, ""
    if is_claude and region in _CLAUDE_REGIONS:
        return _REGION_TENTHS, ""
    return (
        _REGION_TENTHS,
        f"what the region {region[:40]!r} costs is not known; 1.1 times was taken",
    )


def unlisted_speed_times(speed: str, *, is_claude: bool) -> int:
    """What tokens are multiplied by at a speed without a listed price.

    For fast mode of a Claude the highest multiple that was ever charged: Claude Opus 4.6, $30 and
    $150 instead of $5 and $25 (Anthropic's page on fast mode, 2026-02).
    """
    return _CLAUDE_FAST_TIMES if is_claude and speed == "fast" else 1


def is_prepaid(tier: str, *, is_claude: bool) -> bool:
    """Whether the tier is capacity bought beforehand, so that no price a token exists for it.

    Anthropic's priority tier is a commitment paid by the month (its page on service tiers,
    2025-05); the listed price is what the same call costs without one.
    """
    return is_claude and tier == "priority"


def audio_ms_min(provider: str, model: str) -> int:
    """The least that is billed for a recording: Groq bills ten seconds of any (its pricing page,
    2025-01)."""
    return _GROQ_AUDIO_MS_MIN if provider == "groq" and model.startswith("whisper") else 0
