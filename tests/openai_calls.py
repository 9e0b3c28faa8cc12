"""How the tests of the OpenAI dialect make calls and play answers."""

import json
from pathlib import Path

from tokenward.kernel.refusals import Refusal
from tokenward.providers.ask import Ask, Request
from tokenward.providers.interfaces import Headers, Reading
from tokenward.providers.openai import OPENAI

DATA = Path(__file__).parent / "data" / "openai"
SSE: Headers = ((b"content-type", b"text/event-stream; charset=utf-8"),)
JSON: Headers = ((b"content-type", b"application/json"),)
MESSAGES = [{"role": "user", "content": "Hello"}]


def request(operation: str, body: object, **headers: str) -> Request:
    """A request for this operation; `body` as it is when it is bytes, else as JSON."""
    route = next(route for route in OPENAI.routes if route.operation == operation)
    given = {"content-type": "application/json"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    return Request(
        route=route,
        model_in_path="",
        query=b"",
        headers={name.encode(): value.encode() for name, value in given.items()},
        body=body if isinstance(body, bytes) else json.dumps(body).encode(),
    )


def asked(operation: str, body: object, **headers: str) -> Ask:
    """What is asked; the request must be acceptable."""
    ask = OPENAI.inspect(request(operation, body, **headers))
    assert isinstance(ask, Ask), ask
    return ask


def refused(operation: str, body: object, **headers: str) -> Refusal:
    """The refusal of a request that must not be acceptable."""
    refusal = OPENAI.inspect(request(operation, body, **headers))
    assert isinstance(refusal, Refusal), refusal
    assert refusal.code == "request:invalid"
    return refusal


def rewritten(operation: str, body: object, output_limit: int | None = None) -> bytes:
    """The body that the provider gets."""
    made = request(operation, body)
    ask = OPENAI.inspect(made)
    assert isinstance(ask, Ask), ask
    return OPENAI.rewrite(made, ask, output_limit)


def played(
    ask: Ask, body: bytes, headers: Headers = SSE, status: int = 200, step: int = 7
) -> tuple[bytes, Reading]:
    """What the caller gets of an answer that arrives in pieces of `step` bytes, and its reading."""
    reader = OPENAI.reader(ask, status, headers)
    passed = b"".join(reader.feed(body[at : at + step]) for at in range(0, len(body), step))
    return passed + reader.finish(), reader.reading()


def form(fields: list[tuple[str, str | bytes]], boundary: str = "x7MA4YWxkTrZu0gW") -> bytes:
    """A multipart body; bytes are files."""
    parts = []
    for name, value in fields:
        head = f'content-disposition: form-data; name="{name}"'
        if isinstance(value, bytes):
            head += '; filename="f.bin"\r\ncontent-type: application/octet-stream'
        data = value if isinstance(value, bytes) else value.encode()
        parts.append(f"--{boundary}\r\n{head}\r\n\r\n".encode() + data + b"\r\n")
    return b"".join(parts) + f"--{boundary}--\r\n".encode()


FORM_TYPE = "multipart/form-data; boundary=x7MA4YWxkTrZu0gW"
