"""One row of the admin table: who answers what, and in which shape."""

import inspect
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import UnionType
from typing import Any, Final, Generic, TypeVar, Union, get_args, get_origin, get_type_hints
from urllib.parse import unquote

import msgspec

from tokenward.kernel.refusals import Refusal

T = TypeVar("T")
PREFIX: Final = "/admin/v1"
_PARAMETER: Final = re.compile(r"\{(\w+)\}")


class Ask(msgspec.Struct, forbid_unknown_fields=True):
    """What a request asks for. Fields named in the route's path come from there, all others from
    the query (GET, DELETE) or the JSON body (POST, PUT). Unknown fields are refused."""


class Nothing(Ask):
    """A request that needs no words."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """What is shown of something long, and what asks for the next page; None: this was the last."""

    shown: T
    following: Ask | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A method and a path under `/admin/v1`, and the handler that answers.

    `ask` and `answer` are read off the handler's own annotations, so what is decoded, what is
    answered and what the OpenAPI document says cannot differ. `answer` holds no refusal, and of a
    page (`is_paged`) what is shown.
    """

    method: str
    path: str
    summary: str
    handler: Callable[..., Awaitable[Any]]
    status: int
    ask: type[Ask]
    answer: Any
    is_paged: bool

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the path's parts that vary."""
        return tuple(_PARAMETER.findall(self.path))

    @property
    def has_body(self) -> bool:
        """Whether the ask comes as JSON; else it comes in the query."""
        return self.method in ("POST", "PUT")

    def match(self, path: str) -> dict[str, str] | None:
        """The varying parts of a raw path, decoded, or None if this is another path.

        Only a parameter may be encoded: whoever guards `/admin/v1/keys` in front of us by its
        spelling must not be gone round by another spelling of it.
        """
        ours, theirs = self.path.split("/"), path.split("/")
        if len(ours) != len(theirs):
            return None
        found: dict[str, str] = {}
        for our, their in zip(ours, theirs, strict=True):
            if our.startswith("{"):
                parameter = _decoded(their)
                if parameter is None:
                    return None
                found[our[1:-1]] = parameter
            elif our != their:
                return None
        return found


def _decoded(segment: str) -> str | None:
    """What a parameter says; None for one that is empty, steps aside (`..`) or hides a slash."""
    try:
        text = unquote(segment, errors="strict")
    except UnicodeDecodeError:
        return None
    return None if text in ("", ".", "..") or "/" in text or "\\" in text else text


def route(
    method: str,
    path: str,
    summary: str,
    handler: Callable[..., Awaitable[Any]],
    status: int = 200,
) -> Route:
    """A row of the table; our bug (an assertion) if the handler is not annotated as it must be."""
    hints = get_type_hints(handler)
    names = tuple(inspect.signature(handler).parameters)
    assert names == ("office", "ask"), f"{handler} takes an office and an ask"
    answer = _without_refusal(hints["return"])
    is_paged = issubclass(get_origin(answer) or object, Page)
    made = Route(
        method=method,
        path=path,
        summary=summary,
        handler=handler,
        status=status,
        ask=hints["ask"],
        answer=get_args(answer)[0] if is_paged else answer,
        is_paged=is_paged,
    )
    assert set(made.parameters) <= set(made.ask.__struct_fields__), f"{path} names unknown fields"
    return made


def _without_refusal(answer: Any) -> Any:
    if get_origin(answer) not in (Union, UnionType):
        return answer
    kept = [part for part in get_args(answer) if part is not Refusal]
    assert len(kept) == 1, "a handler answers with one shape or a refusal"
    return kept[0]
