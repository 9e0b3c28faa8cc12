"""What may a request's body be, and are its fields what the bounds rely on?

Every function here raises ValueError with a plain reason, which `invalid` turns into a refusal.
"""

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote_to_bytes

from tokenward.kernel.json_text import JsonObject, JsonValue, parse_object
from tokenward.kernel.refusals import Refusal
from tokenward.providers.ask import Request

COUNT_MAX: Final = 2**31 - 1
"""The largest count any provider accepts (an int32 where the format says so)."""
MODEL_NAME_SIZE_MAX: Final = 256
_MODEL_IN_PATH: Final = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._@-]{0,255}")


def invalid(reason: str) -> Refusal:
    """The refusal for a request that no provider accepts, or that two could read differently."""
    return Refusal("request:invalid", 400, reason)


def read_object(request: Request) -> JsonObject:
    """The body as one strict JSON object; its headers must not say that it is anything else."""
    content_type = request.headers.get(b"content-type", b"")
    if content_type != b"application/json":
        _check_type(content_type)
    if request.headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
        raise ValueError("content-encoding: a compressed body cannot be read; send it plain")
    try:
        return parse_object(request.body)
    except ValueError as error:
        raise ValueError(f"The body cannot be read as JSON: {error}.") from None


def _check_type(content_type: bytes) -> None:
    media_type, _, parameters = content_type.lower().partition(b";")
    if media_type.strip() not in (b"", b"application/json"):
        raise ValueError("content-type: must be application/json")
    charset = parameters.replace(b'"', b"").partition(b"charset=")[2].partition(b";")[0].strip()
    if charset not in (b"", b"utf-8", b"utf8"):
        raise ValueError("content-type: JSON is UTF-8")


def as_object(value: JsonValue, where: str) -> JsonObject:
    """`value` if it is an object."""
    if not isinstance(value, dict):
        raise ValueError(f"{where}: must be an object")
    return value


def as_list(value: JsonValue, where: str) -> list[JsonValue]:
    """`value` if it is a list; absent is empty."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise ValueError(f"{where}: must be a list")
    return value


def as_flag(value: JsonValue, where: str) -> bool:
    """`value` if it is true or false; absent is false."""
    if value is None:
        return False
    if not isinstance(value, bool):
        raise ValueError(f"{where}: must be true or false")
    return value


def as_text(value: JsonValue, where: str) -> str:
    """`value` if it is a string; absent is empty."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{where}: must be a string")
    return value


def as_count(value: JsonValue, where: str, least: int = 0) -> int:
    """`value` if it is a whole number from `least` to `COUNT_MAX`, written as one."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= COUNT_MAX:
        raise ValueError(f"{where}: must be a whole number from {least} to {COUNT_MAX}")
    return value


def as_model_name(value: JsonValue, where: str) -> str:
    """`value` if it can name a model: printable, not empty and of bounded length."""
    if not isinstance(value, str) or not 0 < len(value) <= MODEL_NAME_SIZE_MAX:
        raise ValueError(f"{where}: must be a string of 1 to {MODEL_NAME_SIZE_MAX} characters")
    if not value.isprintable():
        raise ValueError(f"{where}: must hold no control characters")
    return value


def model_in_path(request: Request) -> str:
    """The model that the path names, decoded; nothing in it can change what the path means."""
    name = unquote_to_bytes(request.model_in_path)
    if _MODEL_IN_PATH.fullmatch(name) is None:
        raise ValueError("model: the path must name it with letters, digits, '.', '_', '@', '-'")
    return name.decode("ascii")


def objects_within(value: JsonValue) -> Iterator[JsonObject]:
    """Every object in `value`, itself included, in no particular order."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield item
            waiting.extend(item.values())
        elif isinstance(item, list):
            waiting.extend(item)
