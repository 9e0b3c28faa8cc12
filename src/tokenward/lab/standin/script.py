"""What will it say, and what will that cost? Decided before the first byte, for every dialect."""

from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from tokenward.lab.standin.behaviour import Behaviour, without_directive
from tokenward.lab.standin.schema import instance_of
from tokenward.lab.standin.tariff import Used
from tokenward.lab.standin.text import padded, prose, seed_of, tokens_in

JsonObject = dict[str, Any]

_VISIBLE_DEFAULT: Final = 20
_REASONING_DEFAULT: Final = 32
_CHUNKS_DEFAULT: Final = 8
_CHUNKS_MAX: Final = 100_000


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the caller offers."""

    name: str
    schema: object = None


@dataclass(slots=True, kw_only=True)
class Prompt:
    """A request of any dialect, reduced to what decides the answer and its cost."""

    model: str
    body: JsonObject = field(default_factory=dict)
    said: str = ""
    """The last text of the user."""
    input_tokens: int = 0
    input_audio: int = 0
    limit: int | None = None
    """The most output tokens of one choice, thinking included."""
    choices: int = 1
    drafts: int = 0
    """Choices generated and billed, where more than are returned (`best_of`)."""
    stream: bool = False
    tools: tuple[Tool, ...] = ()
    tool: Tool | None = None
    """The tool that the request makes it call."""
    schema: object = None
    """What the text must fit, when it must be JSON."""
    thinks: bool = False
    tier: str = ""
    region: str = ""
    speed: str = ""


@dataclass(slots=True, kw_only=True)
class Script:
    """What is going to be answered."""

    texts: list[str]
    """The visible text of each choice; the tool's arguments as JSON where a tool is called."""
    tool: Tool | None
    is_cut: bool
    """The output limit ended it."""
    thought: str
    visible: int
    """Tokens of one choice."""
    reasoning: int
    """Tokens of one choice."""
    reasoning_shown: int
    """What the usage report says of it."""
    chunks: int
    used: Used
    prompt: Prompt
    asked: Behaviour

    @property
    def output_shown(self) -> int:
        """All choices' output as the usage report says it, reasoning included."""
        hidden = (self.reasoning - self.reasoning_shown) * self.generated
        return self.used.output - hidden

    @property
    def generated(self) -> int:
        """How many choices were generated."""
        return max(self.prompt.choices, self.prompt.drafts)


def write(prompt: Prompt, asked: Behaviour) -> Script:
    """Decide the answer. The output never exceeds the prompt's limit, whatever was asked."""
    tool = _tool(prompt, asked)
    fixed = _fixed(prompt, asked, tool)
    visible, reasoning, is_cut = _lengths(prompt, asked, fixed)
    seed = seed_of(prompt.model, prompt.said)
    if fixed is None:
        texts = [prose(seed + 7 * i, visible) for i in range(prompt.choices)]
    else:
        text = fixed[: visible * 4] if is_cut else fixed
        texts = [text] * prompt.choices
    if asked.huge:
        texts = [padded(text, asked.huge) for text in texts]
    generated = max(prompt.choices, prompt.drafts)
    return Script(
        texts=texts,
        tool=tool,
        is_cut=is_cut,
        thought=prose(seed + 1, min(reasoning, 64)),
        visible=visible,
        reasoning=reasoning,
        reasoning_shown=0 if asked.usage == "hidden" else reasoning,
        chunks=min(asked.chunks or min(_CHUNKS_DEFAULT, max(visible, 1)), _CHUNKS_MAX),
        used=_used(prompt, asked, generated * (visible + reasoning), generated * reasoning),
        prompt=prompt,
        asked=asked,
    )


def _tool(prompt: Prompt, asked: Behaviour) -> Tool | None:
    if asked.tool == "none":
        return None
    if asked.tool == "force" and prompt.tools:
        return prompt.tool or prompt.tools[0]
    return prompt.tool


def _fixed(prompt: Prompt, asked: Behaviour, tool: Tool | None) -> str | None:
    """The text where the request decides it: arguments of a tool, JSON by a schema, an echo."""
    if tool is not None:
        made = instance_of(tool.schema)
        return msgspec.json.encode(made if isinstance(made, dict) else {}).decode()
    if prompt.schema is not None:
        return msgspec.json.encode(instance_of(prompt.schema)).decode()
    return without_directive(prompt.said) if asked.echo else None


def _lengths(prompt: Prompt, asked: Behaviour, fixed: str | None) -> tuple[int, int, bool]:
    """Visible tokens and reasoning tokens of one choice, and whether the limit cut it."""
    natural = max(_VISIBLE_DEFAULT, asked.chunks) if fixed is None else tokens_in(len(fixed))
    wanted = asked.output_tokens if asked.output_tokens >= 0 else natural
    reasoning = max(asked.reasoning, 0)
    if asked.reasoning < 0 and prompt.thinks:
        reasoning = _REASONING_DEFAULT
        if prompt.limit is not None:
            reasoning = min(reasoning, prompt.limit // 2)
    if prompt.limit is None:
        return wanted, reasoning, False
    reasoning = min(reasoning, prompt.limit)
    visible = min(wanted, prompt.limit - reasoning)
    return visible, reasoning, visible < wanted


def _used(prompt: Prompt, asked: Behaviour, output: int, reasoning: int) -> Used:
    from_cache = asked.cached + asked.cache_write + asked.cache_write_1h
    counted = prompt.input_tokens if asked.input_tokens < 0 else asked.input_tokens
    audio = prompt.input_audio if asked.input_tokens < 0 else 0
    return Used(
        input=max(counted - from_cache, 0),
        input_audio=audio,
        cached=asked.cached,
        cache_write=asked.cache_write,
        cache_write_1h=asked.cache_write_1h,
        output=output,
        reasoning=reasoning,
        searches=asked.searches,
        tier=asked.tier or prompt.tier,
        region=prompt.region,
        speed=prompt.speed,
    )
