"""What stands in a story's file?"""

from collections.abc import Iterable
from difflib import get_close_matches
from importlib.resources import files

import msgspec
from msgspec import Struct

STORIES_MAX = 200


class StoryError(Exception):
    """Raised when there is no such story, or its file does not fit; says so in one line."""


class Key(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The key that is stolen and its honest owner. `days` is how long it has been in use, drawn
    between the two; `is_declared` says that the project tells the guard what it is for. `keys` are
    taken at once. `models` are all that it was used with. `usd_a_day` is the owner's own use.
    `has_owner` False: nobody else uses it."""

    kind: str
    days: tuple[int, int]
    cap_usd: float
    usd_a_day: float = 1.0
    is_declared: bool = True
    keys: int = 1
    models: tuple[str, ...] = ()
    program: str = ""
    has_owner: bool = True


class Step(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One phase of the theft. It begins `after_s` (drawn between the two) after the one before.

    `programs`, `networks`, `models` and `probes` are drawn once a seed; "same" is what the owner
    has, "before" what the step before had, "family" the owner's program on another machine.
    `addresses` are how many networks of that kind the thief's calls come from in turn; with
    `each_model` all models are asked in turn.
    `prompts` are so many own system prompts in turn, 0 none, -1 the owner's. `harness` "program"
    is the program's own name. `foreign` is the share of calls with a history of answers from
    elsewhere, `chars` the median length of a prompt. `is_probe`: finding out whether the key
    works, before it pays.
    """

    name: str
    calls: int
    per_minute: float
    cost_usd: float
    after_s: tuple[float, float] = (0.0, 0.0)
    programs: tuple[str, ...] = ("same",)
    networks: tuple[str, ...] = ("same",)
    addresses: int = 1
    country: str = ""
    models: tuple[str, ...] = ("same",)
    each_model: bool = False
    prompts: int = 1
    tools: str = "none"
    harness: str = ""
    probes: tuple[str, ...] = ()
    output_limit: int | None = None
    chars: int = 2_000
    foreign: float = 0.0
    contradictions: tuple[str, ...] = ()
    oddities: tuple[str, ...] = ()
    is_probe: bool = False


class Turn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something the owner does differently, `day` days into the story (`changes.CHANGES`)."""

    change: str
    day: int = 0


class Expected(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How it should end, and why. Caught: within the fewer of `within_calls` and the calls that
    cost `within_share` of the daily cap. `has_hold`: a dearer model may be held in a benign one."""

    caught: bool
    why: str
    classes: tuple[str, ...] = ()
    within_calls: int = 20
    within_share: float = 0.02
    has_hold: bool = False


class Story(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One story. `source` says where its numbers are from."""

    name: str
    title: str
    source: str
    key: Key
    expected: Expected
    benign: bool = False
    lasts_days: int = 1
    steps: tuple[Step, ...] = ()
    turns: tuple[Turn, ...] = ()


def story_names() -> list[str]:
    """The names of all stories, thefts before benign ones, each in the order of the alphabet."""
    return [story.name for story in load_stories()]


def load_stories(names: Iterable[str] = ()) -> list[Story]:
    """The stories of these names, or all. Raises StoryError that names the nearest."""
    found = {}
    folder = files("tokenward.lab.stories")
    for file in sorted(folder.iterdir(), key=lambda each: each.name)[:STORIES_MAX]:
        if file.name.endswith(".toml"):
            story = _read(file.name, file.read_bytes())
            found[story.name] = story
    chosen = list(names)
    for name in chosen:
        if name not in found:
            near = get_close_matches(name, found, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(found)}"
            raise StoryError(f"there is no story {name[:40]!r}; {hint}")
    wanted = [found[name] for name in dict.fromkeys(chosen)] if chosen else list(found.values())
    return sorted(wanted, key=lambda story: (story.benign, story.name))


def _read(file: str, text: bytes) -> Story:
    try:
        story = msgspec.toml.decode(text, type=Story)
    except msgspec.DecodeError as error:
        raise StoryError(f"{file}: {error}") from None
    if f"{story.name}.toml" != file:
        raise StoryError(f"{file}: the story in it has another name, {story.name!r}")
    return story
