"""What does this provider charge? Its own price list and its own sums.

Written down by hand from the public price pages of the three providers (October 2026), in dollars
a million tokens. On purpose nothing here is shared with the rest of tokenward.
"""

import re
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from typing import Final

import msgspec

_NUSD_PER_TOKEN: Final = Decimal(1000)  # of a dollar a million tokens
_NUSD_PER_CHARACTER: Final = Decimal(1000)  # of a dollar a million characters
_NUSD_PER_AUDIO_MS: Final = Decimal(10) ** 9 / 3_600_000  # of a dollar an hour
_NUSD_PER_SEARCH: Final = Decimal(10_000_000)  # ten dollars a thousand
_US_ONLY: Final = Decimal("1.1")


class Used(msgspec.Struct, frozen=True, kw_only=True):
    """What one call used up, in buckets that do not overlap; `reasoning` is part of `output`."""

    input: int = 0
    cached: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    input_audio: int = 0
    output: int = 0
    reasoning: int = 0
    output_image: int = 0
    searches: int = 0
    characters: int = 0
    audio_ms: int = 0
    tier: str = ""
    region: str = ""
    speed: str = ""

    @property
    def prompt(self) -> int:
        """All input tokens."""
        return self.input + self.cached + self.cache_write + self.cache_write_1h + self.input_audio

    def after(self, share: int, whole: int) -> "Used":
        """What was used when `share` of `whole` parts of the visible output were made.

        Thinking comes first, all at once; tokens are rounded up.
        """
        if share >= whole:
            return self
        visible = self.output - self.reasoning
        made = self.reasoning - (-visible * share // whole)
        return msgspec.structs.replace(self, output=made)


@dataclass(frozen=True, slots=True)
class Rates:
    """Dollars a million tokens; a rate that is None costs what plain input costs."""

    input: Decimal
    output: Decimal = Decimal(0)
    cached: Decimal | None = None
    write: Decimal | None = None
    write_1h: Decimal | None = None
    audio: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model on the list: who serves it, under what full name, for how much."""

    name: str
    dialect: str
    snapshot: str
    kind: str
    rates: Rates
    tiers: dict[str, Rates] = field(default_factory=dict)
    long_from: int = 0
    """Prompts above so many tokens cost `long_input` times the input and `long_output` times
    the output, all of it; 0 = never."""
    long_input: Decimal = Decimal(2)
    long_output: Decimal = Decimal("1.5")
    fast: int = 1
    """How many times the price in the fast mode."""
    us_only_costs_more: bool = False
    image_output: Decimal = Decimal(0)
    per_character: Decimal = Decimal(0)
    per_audio_hour: Decimal = Decimal(0)


def _rates(prices: str) -> Rates:
    """`"input output cached write write_1h audio"`; `-` where there is no such rate."""
    return Rates(*(None if p == "-" else Decimal(p) for p in prices.split()))  # type: ignore[arg-type]  # input and output are never "-"


def _model(
    dialect: str, name: str, prices: str, *, day: str = "", kind: str = "chat", **more: object
) -> Model:
    tiers = more.pop("tiers", {})
    assert isinstance(tiers, dict)
    return Model(
        name=name,
        dialect=dialect,
        snapshot=f"{name}-{day}" if day else name,
        kind=kind,
        rates=_rates(prices),
        tiers={tier: _rates(each) for tier, each in tiers.items()},
        **more,  # type: ignore[arg-type]  # the fields of Model, checked by its constructor
    )


_LIST: Final = (
    _model(
        "openai", "gpt-5-mini", "0.25 2 0.025", day="2025-08-07",
        tiers={"priority": "0.45 3.60 0.045", "flex": "0.125 1 0.0125"},
    ),
    _model(
        "openai", "gpt-5-nano", "0.05 0.40 0.005", day="2025-08-07",
        tiers={"flex": "0.025 0.20 0.0025"},
    ),
    _model(
        "openai", "gpt-4o-mini", "0.15 0.60 0.075", day="2024-07-18",
        tiers={"priority": "0.25 1 0.125"},
    ),
    _model(
        "openai", "gpt-4o", "2.50 10 1.25", day="2024-08-06",
        tiers={"priority": "4.25 17 2.125"},
    ),
    _model(
        "openai", "gpt-6-astra", "10 50 1 12.50", long_from=272_000,
        tiers={"priority": "20 100 2 25", "flex": "5 25 0.5 6.25"},
    ),
    _model("openai", "gpt-3.5-turbo-instruct", "1.50 2", kind="completion"),
    _model("openai", "text-embedding-3-small", "0.02", kind="embedding"),
    _model("openai", "tts-1", "0", kind="speech", per_character=Decimal(15)),
    _model("openai", "whisper-1", "0", kind="hearing", per_audio_hour=Decimal("0.36")),
    _model("openai", "gpt-4o-mini-transcribe", "1.25 5 - - - 3", kind="hearing"),
    _model("openai", "gpt-image-1", "5 0 1.25", kind="image", image_output=Decimal(40)),
    _model("anthropic", "claude-haiku-4-5", "1 5 0.10 1.25 2", day="20251001"),
    _model(
        "anthropic", "claude-opus-5-5", "4 20 0.20 5 8", fast=2, us_only_costs_more=True
    ),
    _model("anthropic", "claude-sonnet-5", "2 10 0.20 2.50 4", us_only_costs_more=True),
    _model("gemini", "gemini-2.5-flash", "0.30 2.50 0.03 - - 1"),
    _model("gemini", "gemini-2.5-pro", "1.25 10 0.125", long_from=200_000),
    _model("gemini", "gemini-embedding-001", "0.15", kind="embedding"),
)  # fmt: skip
_DATED: Final = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8})$")


class Tariff:
    """The models served and what they cost."""

    def __init__(self, extra: dict[str, tuple[str, str]] | None = None) -> None:
        """`extra` adds models of any dialect: name → (input, output) in dollars a million."""
        self._models = {model.name: model for model in _LIST}
        for name, (each_input, each_output) in (extra or {}).items():
            self._models[name] = _model("", name, f"{each_input} {each_output}", kind="any")

    def find(self, name: str, dialect: str) -> Model | None:
        """The model called so, by its short or its dated name; None = not served."""
        model = self._models.get(name) or self._models.get(_DATED.sub("", name))
        return model if model is not None and model.dialect in ("", dialect) else None

    def served(self, dialect: str) -> list[Model]:
        """All models of a dialect, in the order of the list."""
        return [model for model in self._models.values() if model.dialect in ("", dialect)]


def cost_nusd(model: Model, used: Used) -> int:
    """Nano-dollars for one call, rounded up once."""
    rates = model.tiers.get(used.tier, model.rates)
    plain = rates.input
    incoming = (
        plain * used.input
        + _or(rates.cached, plain) * used.cached
        + _or(rates.write, plain) * used.cache_write
        + _or(rates.write_1h, _or(rates.write, plain)) * used.cache_write_1h
        + _or(rates.audio, plain) * used.input_audio
    )
    outgoing = rates.output * used.output + model.image_output * used.output_image
    if model.long_from and used.prompt > model.long_from:
        incoming, outgoing = incoming * model.long_input, outgoing * model.long_output
    tokens = incoming + outgoing
    if used.speed == "fast":
        tokens *= model.fast
    if used.region == "us" and model.us_only_costs_more:
        tokens *= _US_ONLY
    cost = (
        tokens * _NUSD_PER_TOKEN
        + model.per_character * used.characters * _NUSD_PER_CHARACTER
        + model.per_audio_hour * used.audio_ms * _NUSD_PER_AUDIO_MS
        + used.searches * _NUSD_PER_SEARCH
    )
    return int(cost.to_integral_value(ROUND_CEILING))


def _or(rate: Decimal | None, fallback: Decimal) -> Decimal:
    return fallback if rate is None else rate
