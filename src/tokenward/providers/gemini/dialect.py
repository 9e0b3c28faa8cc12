"""The Gemini dialect: which routes, which headers, which errors."""

from functools import partial
from typing import Final

from tokenward.kernel.refusals import Refusal
from tokenward.kernel.secret import Secret
from tokenward.kernel.usage import Usage
from tokenward.providers.answers import DocumentReader, PassingReader, encoded, rejected
from tokenward.providers.ask import Ask, Meter, Request, Route
from tokenward.providers.decoding import reader_of_encoded
from tokenward.providers.gemini.answer import Account, array_reader, read_document, sse_reader
from tokenward.providers.gemini.errors import error_body
from tokenward.providers.gemini.hearing import answer_text
from tokenward.providers.gemini.request import read_count_tokens, read_embed, read_generate
from tokenward.providers.gemini.rewriting import set_output_limit
from tokenward.providers.interfaces import Headers, Reader, Reading
from tokenward.providers.request_body import invalid, model_in_path

NAME: Final = "gemini"
VERSIONS: Final = ("/v1beta", "/v1")
_VERBS: Final = (
    ("generate_content", "generateContent", Meter.USAGE),
    ("stream_generate_content", "streamGenerateContent", Meter.USAGE),
    ("count_tokens", "countTokens", Meter.FREE),
    ("embed_content", "embedContent", Meter.USAGE),
    ("batch_embed_contents", "batchEmbedContents", Meter.USAGE),
)


def _routes(version: str) -> tuple[Route, ...]:
    called = [
        Route(
            dialect=NAME,
            operation=operation,
            method="POST",
            path=f"{version}/models/{{model}}:{verb}",
            meter=meter,
        )
        for operation, verb, meter in _VERBS
    ]
    looked_up = [
        Route(
            dialect=NAME, operation=operation, method="GET", path=version + path, meter=Meter.FREE
        )
        for operation, path in (("list_models", "/models"), ("get_model", "/models/{model}"))
    ]
    return (*called, *looked_up)


class GeminiDialect:
    """The Gemini API, as `interfaces.Dialect` promises."""

    name: str = NAME
    routes: tuple[Route, ...] = tuple(route for version in VERSIONS for route in _routes(version))

    def inspect(self, request: Request) -> Ask | Refusal:
        """What is asked; the model is the one that the path names."""
        try:
            match request.route.operation:
                case "generate_content":
                    return read_generate(request, is_stream=False)
                case "stream_generate_content":
                    return read_generate(request, is_stream=True)
                case "count_tokens":
                    return read_count_tokens(request)
                case "embed_content" | "batch_embed_contents":
                    return read_embed(request)
                case "get_model":
                    return Ask(route=request.route, model=model_in_path(request), has_output=False)
                case _:
                    return Ask(route=request.route, model="", has_output=False)
        except ValueError as error:
            return invalid(str(error))

    def rewrite(self, request: Request, ask: Ask, output_limit: int | None) -> bytes:
        """The caller's bytes, with the limit set where it set none; usage always comes."""
        if output_limit is None or ask.output_asked is not None or not ask.has_output:
            return request.body
        return set_output_limit(request.body, ask.given, output_limit)

    def credential(self, credential: Secret) -> Headers:
        """As an API key."""
        return ((b"x-goog-api-key", credential.reveal().encode("latin-1")),)

    def reader(self, ask: Ask, status: int, headers: Headers) -> Reader:
        """By what the answer says it is: only the provider knows whether it streams events."""
        if not 200 <= status < 300:
            return PassingReader(rejected(status))
        if ask.route.meter is Meter.FREE:
            return PassingReader(Reading(usage=Usage(), model=ask.model))
        given = dict(headers)
        tier = given.get(b"x-gemini-service-tier", b"").decode("latin-1").lower()
        account = Account(ask, tier)
        reader: Reader = DocumentReader(partial(read_document, account=account), hear=answer_text)
        if given.get(b"content-type", b"").lower().startswith(b"text/event-stream"):
            reader = sse_reader(account)
        elif ask.stream:
            reader = array_reader(account)
        encoding = given.get(b"content-encoding", b"")
        return reader_of_encoded(reader, encoding) or PassingReader(encoded(encoding))

    def error(self, refusal: Refusal, request_id: str) -> bytes:
        """Google's envelope."""
        return error_body(refusal, request_id)


GEMINI: Final = GeminiDialect()
