"""The Anthropic dialect: which routes, which headers, which errors."""

import json
from functools import partial
from typing import Final

from tokenward.kernel.refusals import Refusal
from tokenward.kernel.secret import Secret
from tokenward.kernel.usage import Usage
from tokenward.providers.answers import DocumentReader, PassingReader, encoded, rejected
from tokenward.providers.anthropic.answer import StreamReader, read_document
from tokenward.providers.anthropic.hearing import message_text
from tokenward.providers.anthropic.request import read_count_tokens, read_messages
from tokenward.providers.ask import Ask, Meter, Request, Route
from tokenward.providers.decoding import reader_of_encoded
from tokenward.providers.interfaces import Headers, Reader, Reading
from tokenward.providers.request_body import invalid, model_in_path

NAME: Final = "anthropic"
MESSAGES: Final = Route(
    dialect=NAME, operation="messages", method="POST", path="/v1/messages", meter=Meter.USAGE
)
COUNT_TOKENS: Final = Route(
    dialect=NAME,
    operation="count_tokens",
    method="POST",
    path="/v1/messages/count_tokens",
    meter=Meter.FREE,
)
LIST_MODELS: Final = Route(
    dialect=NAME, operation="list_models", method="GET", path="/v1/models", meter=Meter.FREE
)
GET_MODEL: Final = Route(
    dialect=NAME, operation="get_model", method="GET", path="/v1/models/{model}", meter=Meter.FREE
)

_ERROR_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class AnthropicDialect:
    """The Messages API, as `interfaces.Dialect` promises."""

    name: str = NAME
    routes: tuple[Route, ...] = (MESSAGES, COUNT_TOKENS, LIST_MODELS, GET_MODEL)

    def inspect(self, request: Request) -> Ask | Refusal:
        """What is asked. An absent `max_tokens` is refused as the provider does, never filled in:
        this API demands it of the caller."""
        try:
            if request.route == MESSAGES:
                return read_messages(request)
            if request.route == COUNT_TOKENS:
                return read_count_tokens(request)
            model = model_in_path(request) if request.route == GET_MODEL else ""
            return Ask(route=request.route, model=model, has_output=False)
        except ValueError as error:
            return invalid(str(error))

    def rewrite(self, request: Request, ask: Ask, output_limit: int | None) -> bytes:
        """The caller's bytes: it always set its own limit, and streams always end with usage."""
        assert output_limit is None or ask.output_asked is None, "the caller's limit stands"
        return request.body

    def credential(self, credential: Secret) -> Headers:
        """As an API key; `anthropic-version` is the caller's to choose."""
        return ((b"x-api-key", credential.reveal().encode("latin-1")),)

    def reader(self, ask: Ask, status: int, headers: Headers) -> Reader:
        """By what the answer says it is, not by what was asked."""
        if not 200 <= status < 300:
            return PassingReader(rejected(status))
        if ask.route.meter is Meter.FREE:
            return PassingReader(Reading(usage=Usage(), model=ask.model))
        given = dict(headers)
        reader: Reader = DocumentReader(partial(read_document, most=ask.most), hear=message_text)
        if given.get(b"content-type", b"").lower().startswith(b"text/event-stream"):
            reader = StreamReader(ask.most)
        encoding = given.get(b"content-encoding", b"")
        return reader_of_encoded(reader, encoding) or PassingReader(encoded(encoding))

    def error(self, refusal: Refusal, request_id: str) -> bytes:
        """`{"type": "error", "error": {...}, "request_id": ...}`, the facts inside `error`."""
        other = "invalid_request_error" if refusal.status < 500 else "api_error"
        told = {
            "type": _ERROR_TYPES.get(refusal.status, other),
            "message": refusal.message,
            "code": refusal.shown_code,
        }
        error = {**dict(refusal.facts), **told}
        return json.dumps({"type": "error", "error": error, "request_id": request_id}).encode()


ANTHROPIC: Final = AnthropicDialect()
