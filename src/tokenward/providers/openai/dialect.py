"""OpenAI's way of speaking, for its own servers and for every compatible one."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

from tokenward.kernel.json_text import JsonObject
from tokenward.kernel.refusals import Refusal
from tokenward.kernel.secret import Secret
from tokenward.kernel.usage import Usage
from tokenward.providers.answers import DocumentReader, PassingReader, rejected
from tokenward.providers.ask import Ask, Meter, Request, Route
from tokenward.providers.decoding import reader_of_encoded
from tokenward.providers.hearing import Hearing
from tokenward.providers.interfaces import Headers, Reader, Reading
from tokenward.providers.openai import (
    audio,
    chat,
    completions,
    documents,
    images,
    responses,
    stored,
    trials,
)
from tokenward.providers.openai.endings import IMAGE_EVENT_LIMIT, MediaWatcher, ResponseWatcher
from tokenward.providers.openai.errors import error_body
from tokenward.providers.openai.hearing import IN_DOCUMENTS, IN_EVENTS
from tokenward.providers.openai.rewriting import rewrite
from tokenward.providers.openai.streams import ChunkWatcher, EventReader
from tokenward.providers.request_body import as_model_name, invalid, read_object

MODERATION_DEFAULT: Final = "omni-moderation-latest"


def _route(operation: str, path: str, meter: Meter = Meter.USAGE, method: str = "POST") -> Route:
    return Route(dialect="openai", operation=operation, method=method, path=path, meter=meter)


ROUTES: Final = (
    _route("chat", "/v1/chat/completions"),
    _route("responses", "/v1/responses"),
    _route("compact", "/v1/responses/compact"),
    _route("count", "/v1/responses/input_tokens", Meter.FREE),
    _route("completions", "/v1/completions"),
    _route("embeddings", "/v1/embeddings"),
    _route("images", "/v1/images/generations"),
    _route("image_edits", "/v1/images/edits"),
    _route("speech", "/v1/audio/speech"),
    _route("transcriptions", "/v1/audio/transcriptions"),
    _route("translations", "/v1/audio/translations"),
    _route("moderations", "/v1/moderations", Meter.FREE),
    _route("models", "/v1/models", Meter.FREE, "GET"),
    _route("model", "/v1/models/{model}", Meter.FREE, "GET"),
    *stored.ROUTES,
    *trials.ROUTES,
)
"""Not offered: files, batches, conversations, vector stores and all else kept at the provider."""

_FORMS: Final[dict[str, Callable[[Request], Ask]]] = {
    "image_edits": images.edit,
    "transcriptions": audio.transcribe,
    "translations": audio.transcribe,
}
_USAGE_OF: Final = {
    "chat": documents.completion_usage,
    "completions": documents.completion_usage,
    "embeddings": documents.completion_usage,
    "responses": documents.response_usage,
    "compact": documents.compaction_usage,
    "images": documents.image_usage,
    "image_edits": documents.image_usage,
    "transcriptions": documents.transcription_usage,
    "translations": documents.transcription_usage,
}


class OpenAIDialect:
    """Stateless; `OPENAI` is the one instance."""

    name = "openai"
    routes = ROUTES

    def inspect(self, request: Request) -> Ask | Refusal:
        """What is asked, or `request:invalid` naming the member that is wrong."""
        if request.route.operation == trials.OPERATION:
            return trials.refuse(request)
        encoding = request.headers.get(b"content-encoding", b"identity").strip().lower()
        if encoding not in (b"", b"identity"):
            refusal = invalid("content-encoding: a compressed body cannot be read; send it plain")
            return replace(refusal, status=415)
        try:
            return _inspect(request)
        except ValueError as error:
            return invalid(str(error))

    def rewrite(self, request: Request, ask: Ask, output_limit: int | None) -> bytes:
        """The caller's bytes with the insertions of `rewriting.rewrite`."""
        return rewrite(request, ask, output_limit)

    def credential(self, credential: Secret) -> Headers:
        """A bearer token (RFC 6750 section 2.1)."""
        return ((b"authorization", b"Bearer " + credential.reveal().encode()),)

    def reader(self, ask: Ask, status: int, headers: Headers) -> Reader:
        """A reader for this answer; a status other than 2xx means that nothing was made."""
        if not 200 <= status < 300:
            return PassingReader(rejected(status))
        if ask.route.meter is Meter.FREE:
            return PassingReader(Reading(usage=Usage()))
        given = dict(headers)
        reader = _reader(ask, given.get(b"content-type", b"").strip().lower())
        encoding = given.get(b"content-encoding", b"")
        return reader_of_encoded(reader, encoding) or PassingReader(
            Reading(usage=None, problem=f"an answer encoded as {encoding[:32]!r} is not read")
        )

    def error(self, refusal: Refusal, request_id: str) -> bytes:
        """The refusal in OpenAI's envelope."""
        return error_body(refusal, request_id)


def _inspect(request: Request) -> Ask:
    operation = request.route.operation
    if request.route.stored:
        return stored.inspect(request)
    if operation in ("models", "model"):
        return Ask(route=request.route, model=request.model_in_path, has_output=False)
    if operation in _FORMS:
        return _FORMS[operation](request)
    document = read_object(request)
    if operation == "moderations":
        model = as_model_name(document.get("model", MODERATION_DEFAULT), "model")
        return Ask(route=request.route, model=model, has_output=False)
    return _INSPECT[operation](request, document)


_INSPECT: Final[dict[str, Callable[[Request, JsonObject], Ask]]] = {
    "chat": chat.inspect,
    "responses": responses.inspect,
    "compact": responses.compact,
    "count": responses.count,
    "completions": completions.inspect,
    "embeddings": completions.embed,
    "images": images.generate,
    "speech": audio.speak,
}


def _reader(ask: Ask, content_type: bytes) -> Reader:
    operation = ask.route.operation
    is_document = content_type.startswith(b"application/json")
    if content_type.startswith(b"text/event-stream") or (ask.stream and not is_document):
        return _stream_reader(ask)
    if operation == "speech":
        if not ask.has_output:
            return PassingReader(Reading(usage=ask.most, model=ask.model))
        return PassingReader(Reading(usage=None, problem="sound does not tell its usage"))
    read = partial(documents.read_document, ask=ask, usage_of=_USAGE_OF[operation])
    return DocumentReader(read, documents.DOCUMENT_LIMIT, IN_DOCUMENTS.get(operation))


def _stream_reader(ask: Ask) -> Reader:
    operation = ask.route.operation
    if operation in ("chat", "completions"):
        return EventReader(ChunkWatcher(ask), hearing=Hearing(IN_EVENTS[operation]))
    if operation == "responses":
        return EventReader(ResponseWatcher(ask), hearing=Hearing(IN_EVENTS[operation]))
    if operation in ("images", "image_edits"):
        return EventReader(MediaWatcher(ask), IMAGE_EVENT_LIMIT)
    return EventReader(MediaWatcher(ask))


OPENAI: Final = OpenAIDialect()
