"""The stand-in as an ASGI application: routes, the credential, and what tests may look at."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec

from tokenward.lab.standin import anthropic, gemini, models
from tokenward.lab.standin.answer import JSON, Call, Operation, encode
from tokenward.lab.standin.behaviour import Behaviour, behaviour_of, directive_in
from tokenward.lab.standin.bill import LINES_MAX, Bill
from tokenward.lab.standin.dialect import ANTHROPIC, GEMINI, OPENAI, Dialect, RejectedError
from tokenward.lab.standin.openai_chat import CHAT
from tokenward.lab.standin.openai_completions import COMPLETIONS, EMBEDDINGS
from tokenward.lab.standin.openai_media import IMAGES, SPEECH, TRANSCRIPTIONS, form_of
from tokenward.lab.standin.openai_responses import RESPONSES
from tokenward.lab.standin.play import play
from tokenward.lab.standin.record import Record, Seen
from tokenward.lab.standin.script import Prompt, write
from tokenward.lab.standin.tariff import Model, Tariff
from tokenward.lab.standin.wire import Receive, Scope, Send, Wire

_POSTS: Final = {
    "/v1/chat/completions": CHAT,
    "/v1/responses": RESPONSES,
    "/v1/completions": COMPLETIONS,
    "/v1/embeddings": EMBEDDINGS,
    "/v1/images/generations": IMAGES,
    "/v1/audio/speech": SPEECH,
    "/v1/audio/transcriptions": TRANSCRIPTIONS,
    "/v1/messages": anthropic.MESSAGES,
    "/v1/messages/count_tokens": anthropic.COUNT_TOKENS,
}
_MODELS: Final = ("/v1/models", "/v1beta/models")
_WAITING_HELPS: Final = (429, 503, 529)
_STATED: Final = "The stand-in was asked to fail"
_READ_LAST: Final = 100
Headers = dict[bytes, bytes]
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")


def make_app(
    bill_path: Path | None, credential: str, extra: dict[str, tuple[str, str]] | None = None
) -> "Standin":
    """An ASGI application. `credential` is what callers must present ("" = nobody is asked);
    `extra` serves more models: name → dollars a million tokens of (input, output)."""
    return Standin(Bill(bill_path), Tariff(extra), credential)


class Standin:
    """The provider. Holds its bill and its record; one event loop only."""

    def __init__(self, bill: Bill, tariff: Tariff, credential: str) -> None:
        self.bill = bill
        self.record = Record()
        self._tariff = tariff
        self._credential = credential
        self._number = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        assert scope["type"] == "http", "the stand-in speaks HTTP only"
        wire, arrived_ms = Wire(scope, receive, send), time.time_ns() // 1_000_000
        body = await wire.body()
        if scope["path"].startswith("/_standin/"):
            await self._show(wire, scope)
            return
        headers: Headers = dict(scope["headers"])
        query = scope["query_string"]
        seen = self.record.add(
            scope["method"], scope["path"], query, scope["headers"], body or b"", arrived_ms
        )
        self._number += 1
        exchange = _Exchange(self, wire, seen, headers, self._number)
        if body is None:
            await exchange.refuse(OPENAI, 413, "The request is too large")
            return
        await exchange.serve(body, self._credential)

    def model(self, name: str, dialect: Dialect) -> Model:
        """The model called so. Raises RejectedError (404)."""
        found = self._tariff.find(name, dialect.name)
        if found is None:
            raise RejectedError(f"The model '{name}' does not exist or you have no access", 404)
        return found

    def models(self, path: str, dialect: Dialect) -> dict[str, Any]:
        """What a path below `/models` shows."""
        _, _, name = path.partition("/models/")
        if name:
            return models.shown(self.model(name, dialect), dialect)
        return models.listed(self._tariff, dialect)

    async def _show(self, wire: Wire, scope: Scope) -> None:
        """The windows for tests, which need no credential."""
        last = int(dict(parse_qsl(scope["query_string"].decode())).get("last", -1))
        what = f"{scope['method']} {scope['path'].removeprefix('/_standin/')}"
        status, shown = 200, b"{}"
        if what == "GET bill":
            shown = self.bill.report(LINES_MAX if last < 0 else last)
        elif what == "GET requests":
            shown = encode(self.record.requests(_READ_LAST if last < 0 else last))
        elif what == "GET leaks":
            shown = encode(self.record.leaks())
        elif what == "POST reset":
            self.bill.reset()
            self.record.reset()
        else:
            status, shown = 404, b'{"error":"there is no such window"}'
        await wire.document(status, [(b"content-type", JSON)], shown)


def _accepted(step: Callable[[A, B], C], one: A, other: B) -> C:
    """The step's result. What it cannot read (a list where an object belongs, a schema that is
    none) is what the real providers refuse as a bad request."""
    try:
        return step(one, other)
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise RejectedError(f"The request has a wrong shape: {error}") from None


class _Exchange:
    """One request and its answer."""

    def __init__(
        self, provider: Standin, wire: Wire, seen: Seen, headers: Headers, number: int
    ) -> None:
        self._provider = provider
        self._wire = wire
        self._seen = seen
        self._headers = headers
        self._number = number

    async def serve(self, body: bytes, credential: str) -> None:
        """Route, check the credential, and answer one way or another."""
        operation, model = self._route()
        dialect = operation.dialect if operation else self._dialect_of_models()
        try:
            self._check_credential(dialect, credential)
            if operation is not None:
                await self._operate(operation, model, body)
            else:
                await self._send(dialect, 200, encode(self._listed(dialect)))
        except RejectedError as rejected:
            await self.refuse(dialect, rejected.status, str(rejected))

    def _route(self) -> tuple[Operation | None, str]:
        if self._seen.method != "POST":
            return None, ""
        path = self._seen.path
        place, _, rest = path.partition("/models/")
        model, is_verb, verb = rest.rpartition(":")
        if is_verb and place in ("/v1", "/v1beta"):
            return gemini.VERBS.get(verb), model
        return _POSTS.get(path), ""

    def _dialect_of_models(self) -> Dialect:
        if b"anthropic-version" in self._headers:
            return ANTHROPIC
        is_gemini = b"x-goog-api-key" in self._headers or self._seen.path.startswith("/v1beta/")
        return GEMINI if is_gemini else OPENAI

    def _listed(self, dialect: Dialect) -> dict[str, Any]:
        if self._seen.method != "GET" or not self._seen.path.startswith(_MODELS):
            raise RejectedError(f"Invalid URL ({self._seen.method} {self._seen.path})", 404)
        return self._provider.models(self._seen.path, dialect)

    def _check_credential(self, dialect: Dialect, credential: str) -> None:
        presented = dialect.credential(self._headers, self._seen.query)
        if credential and presented != credential:
            raise RejectedError("Incorrect API key provided", 401)

    async def _operate(self, operation: Operation, model_in_path: str, body: bytes) -> None:
        prompt = _accepted(operation.read, self._parsed(operation, body), model_in_path)
        header = self._headers.get(b"x-standin", b"").decode("latin-1")
        try:
            asked = behaviour_of(header, directive_in(prompt.said))
        except ValueError as error:
            raise RejectedError(str(error)) from None
        dialect = operation.dialect
        if asked.redirect:
            await self._wire.wait(asked.first_ms)
            await self._send(dialect, 302, b"{}", (b"location", asked.redirect.encode()))
        elif asked.status:
            if not await self._wire.wait(asked.first_ms):
                await self.refuse(dialect, asked.status, _STATED, asked.retry_after)
        else:
            await self._answer(operation, prompt, asked)

    def _parsed(self, operation: Operation, body: bytes) -> dict[str, Any]:
        if operation is TRANSCRIPTIONS:
            return form_of(body, self._headers.get(b"content-type", b""))
        try:
            value = msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError):
            raise RejectedError("We could not parse the JSON body of your request.") from None
        if not isinstance(value, dict):
            raise RejectedError("The body must be a JSON object")
        return value

    async def _answer(self, operation: Operation, prompt: Prompt, asked: Behaviour) -> None:
        dialect = operation.dialect
        model = self._provider.model(prompt.model, dialect)
        if model.kind not in operation.kinds and model.kind != "any":
            raise RejectedError(f"The model '{prompt.model}' is not supported here", 404)
        script = _accepted(write, prompt, asked)
        call = Call(
            number=self._number,
            now_s=int(time.time()),
            model=model,
            query=dict(parse_qsl(self._seen.query.decode("latin-1"))) if self._seen.query else {},
        )
        answer = operation.write(script, call)
        used = operation.bill(script, call) if operation.bill else script.used
        request_id = self._request_id(dialect)

        def charge(end: str, share: int, whole: int) -> None:
            if not operation.is_free:
                self._provider.bill.charge(
                    model,
                    used.after(share, whole),
                    request_id=request_id,
                    dialect=dialect.name,
                    operation=operation.name,
                    stream=prompt.stream,
                    status=200,
                    end=str(end),
                    cut=end == "cut",
                    tag=asked.tag,
                    arrived_ms=self._seen.arrived_ms,
                )

        self._seen.status, self._seen.request_id = 200, request_id
        headers = [(dialect.request_id_header, request_id.encode())]
        failure = await play(self._wire, answer, asked, headers, charge)
        if failure:
            await self.refuse(dialect, failure, _STATED, asked.retry_after)

    def _request_id(self, dialect: Dialect) -> str:
        return f"{dialect.request_id_prefix}{self._number:024x}"

    async def refuse(
        self, dialect: Dialect, status: int, message: str, retry_after: str = ""
    ) -> None:
        """An error in the dialect's envelope."""
        wait = retry_after or ("1" if status in _WAITING_HELPS else "")
        body = dialect.refusal(status, message, self._request_id(dialect))
        extra = [(b"retry-after", wait.encode())] if wait else []
        await self._send(dialect, status, body, *extra)

    async def _send(
        self, dialect: Dialect, status: int, body: bytes, *extra: tuple[bytes, bytes]
    ) -> None:
        request_id = self._request_id(dialect)
        self._seen.status, self._seen.request_id = status, request_id
        named = (dialect.request_id_header, request_id.encode())
        await self._wire.document(status, [(b"content-type", JSON), named, *extra], body)
