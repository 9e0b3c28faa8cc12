"""Reading what the Messages API answers: one document, or a stream of events."""

from typing import Final

from msgspec import Struct
from msgspec.json import Decoder

from tokenward.kernel.usage import Usage
from tokenward.providers.answers import ANSWER_LIMIT, UNFINISHED, too_long
from tokenward.providers.anthropic.hearing import delta_text
from tokenward.providers.anthropic.usage import UsageReport, merge, to_usage
from tokenward.providers.hearing import Hearing
from tokenward.providers.interfaces import Reading
from tokenward.providers.sse import EventSplitter, event_data, event_name

_CONTENT_EVENTS: Final = frozenset(
    (b"content_block_start", b"content_block_delta", b"content_block_stop", b"ping")
)
_DELTA: Final = b"content_block_delta"


class _Problem(Struct):
    type: str = ""


class _Message(Struct):
    type: str = ""
    model: str = ""
    usage: UsageReport | None = None
    error: _Problem | None = None


class _Delta(Struct):
    stop_reason: str | None = None


class _Event(Struct):
    type: str = ""
    message: _Message | None = None
    delta: _Delta | None = None
    usage: UsageReport | None = None
    error: _Problem | None = None


_read_message: Final = Decoder(_Message).decode
_read_event: Final = Decoder(_Event).decode


def read_document(body: bytes, most: Usage) -> Reading:
    """What a whole message says, of a call that asked for `most`; never raises."""
    try:
        message = _read_message(body)
    except (ValueError, RecursionError) as error:
        return Reading(usage=None, problem=f"the answer cannot be read: {str(error)[:200]}")
    if message.type == "error":
        return _failed(message.error, message.model)
    report = message.usage
    if report is None or report.input_tokens is None or report.output_tokens is None:
        return Reading(usage=None, model=message.model, problem="the answer has no usage")
    return Reading(usage=to_usage(report, most), model=message.model)


class StreamReader:
    """Passes the events on as they come. `message_start` seeds the usage, what `message_delta`
    says overrides it, and it is known once a delta has counted the output and the message has
    ended: in a stream that breaks off before, more was generated than anybody counted.
    """

    __slots__ = (
        "_doubts",
        "_events",
        "_has_ended",
        "_hearing",
        "_is_counted",
        "_model",
        "_most",
        "_report",
        "_wrong",
        "is_final",
    )

    def __init__(self, most: Usage) -> None:
        self._events = EventSplitter(ANSWER_LIMIT)
        self._most = most
        self._report: UsageReport | None = None
        self._doubts: list[str] = []
        self._model = ""
        self._is_counted = False
        self._has_ended = False
        self._wrong: Reading | None = None
        self._hearing = Hearing(delta_text)
        self.is_final = False

    def feed(self, chunk: bytes) -> bytes:
        """The chunk itself: nothing is ever changed or kept back."""
        for event in self._events.feed(chunk):
            if self._events.overflowed:
                self._wrong = too_long(ANSWER_LIMIT)
            elif self._wrong is None:
                self._see(event)
        return chunk

    def finish(self) -> bytes:
        """Nothing is left: all was passed on. A last event without its blank line counts."""
        last = self._events.rest()
        if last and self._wrong is None:
            self._see(last)
        return b""

    def reading(self) -> Reading:
        """Without usage until the delta that ends the message."""
        if self._wrong is not None:
            return self._wrong
        report = self._report
        is_known = self._is_counted and self._has_ended
        if not is_known or report is None or report.input_tokens is None:
            return Reading(usage=None, model=self._model, problem=UNFINISHED.problem)
        usage = to_usage(report, self._most, self._doubts)
        return Reading(usage=usage, model=self._model)

    def said(self) -> str:
        """The text of what was said, without thoughts."""
        return self._hearing.said()

    def _see(self, event: bytes) -> None:
        name = event_name(event)
        if name not in _CONTENT_EVENTS:
            self._take(event_data(event))
        elif name == _DELTA and not self._hearing.is_full:
            self._hearing.hear(event_data(event))

    def _take(self, data: bytes) -> None:
        if not data:
            return
        try:
            event = _read_event(data)
        except (ValueError, RecursionError) as error:
            why = f"an event cannot be read: {str(error)[:200]}"
            self._wrong = Reading(usage=None, model=self._model, problem=why)
            return
        match event.type:
            case "message_start" if event.message is not None:
                self._model = event.message.model
                self._count(event.message.usage)
            case "message_delta":
                self._count(event.usage)
                if event.usage is not None and event.usage.output_tokens is not None:
                    self._is_counted = True
                if event.delta is not None and event.delta.stop_reason:
                    self._has_ended = True
            case "content_block_delta":  # from a server that does not name its events
                self._hearing.hear(data)
            case "message_stop":
                self._has_ended = self.is_final = True
            case "error":
                self._wrong = _failed(event.error, self._model)

    def _count(self, report: UsageReport | None) -> None:
        if report is not None:
            self._report, doubt = merge(self._report, report)
            self._doubts.append(doubt)


def _failed(problem: _Problem | None, model: str) -> Reading:
    kind = problem.type[:60] if problem is not None else "an error"
    why = f"the provider reported {kind} inside the answer"
    return Reading(usage=None, model=model, problem=why, is_error=True)
