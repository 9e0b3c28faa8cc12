"""Is this name that model? The library's own matching, and a guard on its loose clauses.

The library matches many models by the start of a name, or by what stands somewhere in it. That is
right for an alias or a dated snapshot; it would also give a cheap model's price to a new model
whose name begins alike, or to a fine-tuned one. So what a clause leaves over must be ordinary.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from genai_prices.types import (
    ClauseAnd,
    ClauseContains,
    ClauseEndsWith,
    ClauseEquals,
    ClauseOr,
    ClauseRegex,
    ClauseStartsWith,
    MatchLogic,
    ModelInfo,
)

NAME_MAX: Final = 256
"""Longer names are not looked up."""

_ORDINARY_START: Final = re.compile(
    r"(?:(?:publishers/[a-z]+/)?models/|(?:anthropic|google|openai|amazon|meta)[/.])?"
    r"(?:(?:us|eu|apac|jp|au|ca|us-gov)\.)?"
)
_DATE: Final = r"20\d{6}|20\d\d-\d\d-\d\d|\d\d-20\d\d|\d\d-\d\d|\d{3,4}"
_ORDINARY_END: Final = re.compile(
    rf"(?:[-@](?:latest|default|preview|exp|beta|v\d(?::\d)?|{_DATE}))*(?::\d)?"
)
_WORD: Final = re.compile(r"[a-z0-9]+$")
_TUNED: Final = re.compile(r"^ft:|[.:]ft[-:]")


class ModelIndex:
    """The models of one provider by name."""

    __slots__ = ("_equals", "_loose", "_models")

    def __init__(self, models: Sequence[ModelInfo]) -> None:
        self._models = models
        self._equals: dict[str, int] = {}
        self._loose: list[tuple[int, MatchLogic]] = []
        for place, model in enumerate(models):
            for clause in _alternatives(model.match):
                if isinstance(clause, ClauseEquals):
                    self._equals.setdefault(clause.equals.lower(), place)
                else:
                    self._loose.append((place, clause))

    def find(self, name: str) -> ModelInfo | None:
        """The model that the library would take for this name in lower case, if it is certain:
        fine-tuned models only match an entry of their own."""
        equal = self._equals.get(name, len(self._models))
        is_sure = True
        for place, clause in self._loose:
            if place >= equal:
                break
            if clause.is_match(name):
                equal, is_sure = place, False
                break
        if equal == len(self._models):
            return None
        model = self._models[equal]
        is_tuned = _TUNED.search(name) is not None
        if is_tuned or not is_sure:
            is_sure = _is_explained(model, name, is_tuned=is_tuned)
        return model if is_sure else None

    def matching(self, pattern: re.Pattern[str]) -> Iterator[ModelInfo]:
        """The models of which an id or an exact alias matches; one may come several times."""
        yield from (model for model in self._models if pattern.match(model.id))
        yield from (self._models[at] for name, at in self._equals.items() if pattern.match(name))


def _is_explained(model: ModelInfo, name: str, *, is_tuned: bool) -> bool:
    if is_tuned:  # what follows the base model's name is the customer's own
        return _TUNED.search(model.id) is not None
    return name == model.id.lower() or any(
        _is_ordinary(name, *span) for span in _spans(model.match, name)
    )


def _alternatives(clause: MatchLogic) -> Iterator[MatchLogic]:
    if isinstance(clause, ClauseOr):
        for alternative in clause.or_:
            yield from _alternatives(alternative)
    else:
        yield clause


def _spans(clause: MatchLogic, name: str) -> Iterator[tuple[int, int]]:
    """The parts of the name that a matching clause spells out."""
    if not clause.is_match(name):
        return
    match clause:
        case ClauseOr():
            for alternative in clause.or_:
                yield from _spans(alternative, name)
        case ClauseAnd():
            for part in clause.and_:
                yield from _spans(part, name)
        case ClauseEquals():
            yield 0, len(name)
        case ClauseStartsWith():
            yield 0, len(clause.starts_with)
        case ClauseEndsWith():
            yield len(name) - len(clause.ends_with), len(name)
        case ClauseContains():
            start = name.find(clause.contains.lower())
            yield start, start + len(clause.contains)
        case ClauseRegex():
            found = re.search(clause.regex, name)
            if found is not None and found.end() > found.start():
                yield found.span()


def _is_ordinary(name: str, start: int, end: int) -> bool:
    """Whether around name[start:end] there is only where it is served and which snapshot it is."""
    if end < len(name) and name[end].isalnum():  # the clause stops within a word: take it back
        within = _WORD.search(name, start, end)
        end = within.start() if within else end
    if start < end < len(name) and name[end - 1] in "-@":
        end -= 1
    return (
        _ORDINARY_START.fullmatch(name, 0, start) is not None
        and _ORDINARY_END.fullmatch(name, end) is not None
    )
