"""Reading requests: the parts that more than one dialect has."""

from typing import Any

from tokenward.lab.standin.answer import encode
from tokenward.lab.standin.dialect import RejectedError
from tokenward.lab.standin.script import JsonObject
from tokenward.lab.standin.text import tokens_in

_PER_MESSAGE = 4


def model_of(body: JsonObject) -> str:
    """The model named in the body; without one the request is no request."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise RejectedError("you must provide a model parameter")
    return model


def count_of(body: JsonObject, name: str, least: int = 1) -> int | None:
    """A whole number of the body, or None when absent or null."""
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise RejectedError(f"Invalid value for '{name}': expected an integer of at least {least}")
    return value


def list_of(body: JsonObject, name: str) -> list[Any]:
    """A list of the body that must not be empty."""
    value = body.get(name)
    if not isinstance(value, list) or not value:
        raise RejectedError(f"'{name}' is required and must not be empty")
    return value


def object_at(value: JsonObject, name: str) -> JsonObject:
    """An object inside an object; {} when absent, null or anything else."""
    inner = value.get(name)
    return inner if isinstance(inner, dict) else {}


def said_in(content: object) -> str:
    """The texts of a message's content, whether it is a string or a list of parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = [part.get("text") for part in content if isinstance(part, dict)]
    return "\n".join(text for text in texts if isinstance(text, str))


def tokens_of(content: object, image: int) -> int:
    """Input tokens of one message: its texts, `image` for each picture, JSON for the rest."""
    if isinstance(content, str):
        return _PER_MESSAGE + tokens_in(len(content))
    total = _PER_MESSAGE
    for part in content if isinstance(content, list) else ():
        if not isinstance(part, dict):
            continue
        text = part.get("text")
        if isinstance(text, str):
            total += tokens_in(len(text))
        elif "image" in str(part.get("type")):
            total += image
        else:
            total += tokens_in(len(encode(part)))
    return total


def tokens_of_json(value: object) -> int:
    """Input tokens of something that is sent to the model as JSON (tools, schemas)."""
    return tokens_in(len(encode(value))) if value else 0
