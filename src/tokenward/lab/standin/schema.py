"""A value that fits a JSON Schema: what a model answers when it is held to one."""

from typing import Any, Final, cast

from tokenward.lab.standin.text import prose

JsonObject = dict[str, Any]

_DEPTH_MAX: Final = 24
_FORMATS: Final = {
    "date": "2026-01-02",
    "date-time": "2026-01-02T03:04:05Z",
    "time": "03:04:05Z",
    "email": "a@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
}


def instance_of(schema: object) -> Any:
    """The smallest plausible instance, deterministic.

    Knows what structured output of the providers allows: types (also in Gemini's capitals),
    enum, const, anyOf, oneOf, allOf, local $ref, bounds. Patterns are not solved. Beyond a depth
    of 24 everything is null, so that a schema that contains itself ends.
    """
    root = cast(JsonObject, schema) if isinstance(schema, dict) else {}
    return _fill(root, root, 0)


def _fill(schema: object, root: JsonObject, depth: int) -> Any:
    if not isinstance(schema, dict) or depth > _DEPTH_MAX:
        return None
    rules = _resolved(cast(JsonObject, schema), root)
    if "const" in rules:
        return rules["const"]
    if rules.get("enum"):
        return rules["enum"][0]
    for choice in ("anyOf", "oneOf"):
        if rules.get(choice):
            rest = {k: v for k, v in rules.items() if k != choice}
            return _fill({**rest, **_shallowest(rules[choice], root)}, root, depth + 1)
    kind = _kind(rules)
    if kind == "object":
        return _object(rules, root, depth)
    if kind == "array":
        count = max(int(rules.get("minItems", 1)), 0) if depth < _DEPTH_MAX // 2 else 0
        return [_fill(rules.get("items", {"type": "string"}), root, depth + 1)] * count
    if kind == "string":
        return _string(rules)
    if kind in ("integer", "number"):
        return _number(rules, whole=kind == "integer")
    return True if kind == "boolean" else None


def _resolved(schema: JsonObject, root: JsonObject) -> JsonObject:
    """The schema with `$ref` followed and `allOf` merged, a bounded number of times."""
    rules = schema
    for _ in range(_DEPTH_MAX):
        if isinstance(rules.get("$ref"), str):
            rest = {k: v for k, v in rules.items() if k != "$ref"}
            rules = {**_target(rules["$ref"], root), **rest}
        elif rules.get("allOf"):
            merged: JsonObject = {k: v for k, v in rules.items() if k != "allOf"}
            for part in rules["allOf"]:
                merged = _merged(merged, part)
            rules = merged
        else:
            break
    return rules


def _merged(one: JsonObject, other: JsonObject) -> JsonObject:
    properties = {**one.get("properties", {}), **other.get("properties", {})}
    both = {**one, **other}
    return {**both, "properties": properties} if properties else both


def _target(pointer: str, root: JsonObject) -> JsonObject:
    place: Any = root
    for step in pointer.removeprefix("#").strip("/").split("/"):
        if step:
            name = step.replace("~1", "/").replace("~0", "~")
            place = place.get(name, {}) if isinstance(place, dict) else {}
    return place if isinstance(place, dict) else {}


def _shallowest(choices: list[JsonObject], root: JsonObject) -> JsonObject:
    """The first choice that is not null and does not contain others, else the first."""
    flat = [c for c in choices if _kind(_resolved(c, root)) not in ("null", "object", "array")]
    rich = [c for c in choices if _kind(_resolved(c, root)) != "null"]
    return _resolved((flat or rich or choices)[0], root)


def _kind(rules: JsonObject) -> str:
    kind = rules.get("type")
    if isinstance(kind, list):
        kind = next((k for k in kind if k != "null"), "null")
    if isinstance(kind, str):
        return kind.lower()
    return "object" if "properties" in rules else "array" if "items" in rules else "string"


def _object(rules: JsonObject, root: JsonObject, depth: int) -> JsonObject:
    properties: JsonObject = rules.get("properties", {})
    required = rules.get("required", list(properties))
    wanted = properties if depth < _DEPTH_MAX // 2 else {k: properties.get(k) for k in required}
    made = {name: _fill(each, root, depth + 1) for name, each in wanted.items()}
    return made | {name: prose(len(name), 1) for name in required if name not in made}


def _string(rules: JsonObject) -> str:
    text = _FORMATS.get(rules.get("format", ""), "")
    least, most = int(rules.get("minLength", 0)), rules.get("maxLength")
    text = text or prose(7, 1 + least // 4)
    text = text.ljust(least, "x")
    return text if most is None else text[: int(most)]


def _number(rules: JsonObject, *, whole: bool) -> float | int:
    """A number between the bounds: the middle of two, one away from a single one, else 0."""
    nudge = 1 if whole else 0
    low = rules.get("minimum", _shifted(rules.get("exclusiveMinimum"), nudge))
    high = rules.get("maximum", _shifted(rules.get("exclusiveMaximum"), -nudge))
    if low is not None and high is not None:
        value = (low + high) / 2
    elif low is not None:
        value = low + 1
    else:
        value = 0 if high is None else high - 1
    step = rules.get("multipleOf", 1 if whole else None)
    if step:
        value = value // step * step
        value += step if low is not None and value < low else 0
    return int(value) if whole else value


def _shifted(bound: float | None, by: int) -> float | None:
    return None if bound is None else bound + by
