"""Which door is it? A table of every route of every dialect, denied unless declared (S-1)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, unquote_to_bytes

from tokenward.kernel.refusals import Refusal
from tokenward.keys.format import PREFIX
from tokenward.providers.ask import Route
from tokenward.providers.interfaces import Dialect

MODEL: Final = "{model}"
MODEL_CHARS_MAX: Final = 256
ID: Final = "{id}"
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,256}")
"""As it stands in the path: nothing in it can be decoded, or mean another path to anybody."""

Methods = dict[str, list[Route]]


@dataclass(frozen=True, slots=True)
class Match:
    """A declared route, its dialect, and the model named in the path (decoded), if any."""

    route: Route
    dialect: Dialect
    model_in_path: str


class Routes:
    """Looks a request up by its raw path: no decoding, no `//`, no trailing slash, no case.

    Two dialects may declare the same method and path (`GET /v1/models`): then the caller's own
    headers say which it speaks; the first dialect is taken if they do not.
    """

    def __init__(self, dialects: Iterable[Dialect]) -> None:
        self._dialects: Mapping[str, Dialect] = {d.name: d for d in dialects}
        self._exact: dict[str, Methods] = {}
        self._around_id: dict[tuple[str, str], Methods] = {}
        self._by_prefix: dict[str, list[tuple[str, Route]]] = {}
        self.table: tuple[Route, ...] = tuple(
            route for dialect in self._dialects.values() for route in dialect.routes
        )
        for route in self.table:
            if MODEL in route.path:
                prefix, _, suffix = route.path.partition(MODEL)
                self._by_prefix.setdefault(prefix, []).append((suffix, route))
            elif ID in route.path:
                prefix, _, suffix = route.path.partition(ID)
                methods = self._around_id.setdefault((prefix, suffix), {})
                methods.setdefault(route.method, []).append(route)
            else:
                methods = self._exact.setdefault(route.path, {})
                methods.setdefault(route.method, []).append(route)

    def match(
        self, method: str, raw_path: bytes, headers: Mapping[bytes, bytes]
    ) -> Match | Refusal:
        """The declared route, or `route:unknown` (404), or `route:method` (405)."""
        try:
            path = raw_path.decode("ascii")
        except UnicodeDecodeError:
            return unknown_route("with bytes outside ASCII")
        if PREFIX in unquote(path):
            return unknown_route("with a key in it; keys go into headers")
        methods, model = self._exact.get(path), ""
        if methods is None:
            methods = self._with_id(path)
        if methods is None:
            methods, model = self._with_model(path)
        if methods is None:
            return unknown_route(path)
        routes = methods.get(method)
        if not routes:
            return Refusal(
                "route:method",
                405,
                f"{path[:100]} takes {', '.join(sorted(methods))}, not {method[:20]}.",
                facts=(("allow", ", ".join(sorted(methods))),),
            )
        route = self._spoken(routes, headers)
        return Match(route, self._dialects[route.dialect], model)

    def dialect_for(self, path: str, headers: Mapping[bytes, bytes]) -> Dialect:
        """Whose envelope an error on an unknown path wears: a guess that only words depend on."""
        if path.startswith("/v1beta/") or b"x-goog-api-key" in headers:
            name = "gemini"
        elif path.startswith("/v1/messages") or b"anthropic-version" in headers:
            name = "anthropic"
        else:
            name = "openai"
        return self._dialects.get(name) or next(iter(self._dialects.values()))

    def _with_id(self, path: str) -> Methods | None:
        """An id is the last segment, or the last but one."""
        head, _, last = path.rpartition("/")
        outer, _, inner = head.rpartition("/")
        for around, name in (((head + "/", ""), last), ((outer + "/", "/" + last), inner)):
            methods = self._around_id.get(around)
            if methods is not None and _ID.fullmatch(name) is not None:
                return methods
        return None

    def _with_model(self, path: str) -> tuple[Methods | None, str]:
        head, slash, segment = path.rpartition("/")
        for suffix, _ in self._by_prefix.get(head + slash, ()):
            if suffix and not segment.endswith(suffix):
                continue
            name = segment.removesuffix(suffix)
            model = _model_name(name)
            if model is None or (not suffix and _has_verb(name)):
                continue
            methods: Methods = {}
            for other_suffix, other in self._by_prefix[head + slash]:
                if other_suffix == suffix:
                    methods.setdefault(other.method, []).append(other)
            return methods, model
        return None, ""

    def _spoken(self, routes: list[Route], headers: Mapping[bytes, bytes]) -> Route:
        if len(routes) > 1:
            said = self.dialect_for("", headers).name
            for route in routes:
                if route.dialect == said:
                    return route
        return routes[0]


def _has_verb(segment: str) -> bool:
    """Gemini's paths end in `:verb`; OpenAI's fine-tuned models have colons of their own."""
    return ":" in segment and not segment.startswith("ft:")


def _model_name(segment: str) -> str | None:
    decoded = unquote_to_bytes(segment)
    try:
        name = decoded.decode("utf-8")
    except UnicodeDecodeError:
        return None
    is_clean = 0 < len(name) <= MODEL_CHARS_MAX and name.isprintable()
    return name if is_clean and name != "." and ".." not in name else None


def unknown_route(path: str) -> Refusal:
    """A door that was never declared."""
    return Refusal(
        "route:unknown",
        404,
        f"This guard has no route {path[:100]!r}. It serves the OpenAI, Anthropic and Gemini "
        "routes listed in docs/reference/http.md, and nothing else.",
    )
