"""What did a call use? One set of disjoint buckets for every provider.

The buckets never overlap: `input` is the uncached text (or unspecified) input, `input_audio` the
uncached audio input, and so on, so a cost is a plain sum. `reasoning` is the one exception: it
says how much of `output` was hidden reasoning and is never priced on its own.
"""

from operator import attrgetter
from typing import Final

from msgspec import Struct
from msgspec.structs import fields


class Usage(Struct, frozen=True, kw_only=True, gc=False):
    """Units used by one call, all integers >= 0 (ValueError otherwise).

    Tokens unless the name says otherwise; `audio_ms` is milliseconds, `images` pictures made,
    `characters` characters spoken, `searches` and `file_searches` paid tool calls, `containers`
    machines lent to the model for one call.
    """

    input: int = 0
    input_audio: int = 0
    input_image: int = 0
    cache_read: int = 0
    cache_read_audio: int = 0
    cache_read_image: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    output: int = 0
    output_audio: int = 0
    output_image: int = 0
    reasoning: int = 0
    searches: int = 0
    file_searches: int = 0
    characters: int = 0
    audio_ms: int = 0
    images: int = 0
    containers: int = 0
    service_tier: str = ""
    """As billed: "" for the standard tier, else the provider's word (`priority`, `flex`, …)."""
    region: str = ""
    """As billed where it changes the price (Anthropic's `inference_geo`), else ""."""
    speed: str = ""
    """As billed where it changes the price (Anthropic's `fast`), else ""."""
    doubts: tuple[str, ...] = ()
    """What did not add up in the provider's report; the larger reading was taken."""

    def __post_init__(self) -> None:
        if min(_counts(self)) < 0:
            raise ValueError("a usage bucket is negative")

    @property
    def input_tokens(self) -> int:
        """All input tokens, cached or not, as people count them."""
        return (
            self.input
            + self.input_audio
            + self.input_image
            + self.cached_tokens
            + self.cache_write_5m
            + self.cache_write_1h
        )

    @property
    def cached_tokens(self) -> int:
        """Input tokens read from a cache."""
        return self.cache_read + self.cache_read_audio + self.cache_read_image

    @property
    def output_tokens(self) -> int:
        """All billed output tokens, hidden reasoning included."""
        return self.output + self.output_audio + self.output_image

    @property
    def total_tokens(self) -> int:
        """What a token cap counts."""
        return self.input_tokens + self.output_tokens


COUNTS: Final = tuple(f.name for f in fields(Usage) if f.type is int)
"""The names of the integer buckets, in order."""
_counts: Final = attrgetter(*COUNTS)
