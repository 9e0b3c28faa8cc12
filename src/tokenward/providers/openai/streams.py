"""Answers that are a stream of events: what is passed on, and what do they say was used?

A watcher sees every event once, whole, and returns what the caller gets of it. `EventReader`
cuts the bytes into events, so that nothing depends on how they arrived.
"""

import re
from typing import Final, Protocol

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import replace

from tokenward.kernel.usage import Usage
from tokenward.providers.answers import UNFINISHED, too_long
from tokenward.providers.ask import Ask
from tokenward.providers.hearing import Hearing
from tokenward.providers.interfaces import Reading
from tokenward.providers.json_edit import remove_member
from tokenward.providers.openai.documents import counted
from tokenward.providers.sse import EVENT_LIMIT, EventSplitter, event_data


class Watcher(Protocol):
    """Understands the events of one kind of stream."""

    is_final: bool

    def see(self, event: bytes) -> bytes:
        """What the caller gets of this event: itself, itself without a member, or nothing."""
        ...

    def reading(self) -> Reading:
        """What is known now."""
        ...


class EventReader:
    """Passes a stream on event by event, through its watcher. Holds at most `limit` bytes; after
    an event that is longer, everything passes unread and there is no usage."""

    __slots__ = ("_hearing", "_limit", "_splitter", "_watcher", "is_final")

    def __init__(
        self, watcher: Watcher, limit: int = EVENT_LIMIT, hearing: Hearing | None = None
    ) -> None:
        self._watcher = watcher
        self._hearing = hearing
        self._limit = limit
        self._splitter = EventSplitter(limit)
        self.is_final = False

    def feed(self, chunk: bytes) -> bytes:
        """The events that are whole now, as the caller shall get them."""
        events = self._splitter.feed(chunk)
        unread = events.pop() if self._splitter.overflowed and events else b""
        if self._hearing is not None and not self._hearing.is_full:
            for event in events:
                self._hearing.hear(event_data(event))
        passed = b"".join([self._watcher.see(event) for event in events]) + unread
        self.is_final = self._watcher.is_final
        return passed

    def finish(self) -> bytes:
        """The last event, which may lack its blank line."""
        rest = self._splitter.rest()
        if self._hearing is not None:
            self._hearing.hear(event_data(rest))
        passed = self._watcher.see(rest) if rest else b""
        self.is_final = self._watcher.is_final
        return passed

    def reading(self) -> Reading:
        """What the watcher knows."""
        if self._splitter.overflowed:
            return replace(too_long(self._limit), model=self._watcher.reading().model)
        return self._watcher.reading()

    def said(self) -> str:
        """What was heard of the first choice."""
        return self._hearing.said() if self._hearing is not None else ""


class _Chunk(Struct):
    """The members of a chunk that matter, of any shape."""

    usage: object = UNSET
    choices: object = None
    model: object = None
    service_tier: object = None
    error: object = None


_decoder: Final = msgspec.json.Decoder(_Chunk)
_TELLING: Final = re.compile(rb'"(?:usage|error|service_tier)"')
_NULL_USAGE: Final = re.compile(rb',\s*"usage"\s*:\s*null')


class ChunkWatcher:
    """Chat and text completions, streamed.

    Usage comes in an extra chunk without choices. Where the caller did not ask for it, that chunk
    is dropped, and the `"usage":null` that the provider then adds to every other chunk is cut
    out: the caller gets the bytes it would have got directly. Servers that report a running total
    in every chunk, or the total in the last one, are read by their last word.
    """

    __slots__ = ("_ask", "_error", "_is_settled", "_model", "_report", "_tier", "is_final")

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._model = ""
        self._report: object = None
        self._tier: object = None
        self._is_settled = False
        self._error = ""
        self.is_final = False

    def see(self, event: bytes) -> bytes:
        """The event, without what the caller did not ask for."""
        data = event_data(event)
        if data == b"[DONE]":
            self.is_final = True
            return event
        if not data or (self._model and _TELLING.search(data) is None):
            return event
        try:
            chunk = _decoder.decode(data)
        except (msgspec.DecodeError, ValueError, RecursionError):
            return event
        self._note(chunk)
        if self._ask.wants_usage or chunk.usage is UNSET:
            return event
        if chunk.usage is None:
            return _without_usage(event, data)
        return b"" if chunk.choices == [] else event

    def reading(self) -> Reading:
        """Usage once it is certain that no later chunk corrects it."""
        if self._report is None or not (self._is_settled or self.is_final):
            problem = self._error or UNFINISHED.problem
            if self.is_final and not self._error:
                problem = "the stream ended without a word on usage"
            return Reading(
                usage=None, model=self._model, problem=problem, is_error=bool(self._error)
            )
        try:
            usage: Usage | None = counted(self._report, self._tier, self._ask)
            problem = self._error
        except ValueError as error:
            usage, problem = None, str(error)
        return Reading(usage=usage, model=self._model, problem=problem, is_error=bool(self._error))

    def _note(self, chunk: _Chunk) -> None:
        if isinstance(chunk.model, str) and chunk.model:
            self._model = chunk.model[:256]
        if chunk.service_tier is not None:
            self._tier = chunk.service_tier
        if chunk.error:
            self._error = "the provider reported an error in the stream"
        if chunk.usage is UNSET or chunk.usage is None:
            return
        self._report = chunk.usage
        self._is_settled = chunk.choices == [] or _is_last(chunk.choices, self._ask.choices)


def _is_last(choices: object, expected: int) -> bool:
    """Whether one chunk finishes every choice there is."""
    finished = [
        choice
        for choice in (choices if isinstance(choices, list) else [])
        if isinstance(choice, dict) and choice.get("finish_reason")
    ]
    return len(finished) >= expected


def _without_usage(event: bytes, data: bytes) -> bytes:
    """The event without the member `usage` of its chunk, every other byte as it was."""
    cut = _NULL_USAGE.search(event)
    if cut is not None and event.count(b'"usage"') == 1:
        return event[: cut.start()] + event[cut.end() :]
    start = event.find(data)
    if start < 0:  # the data stands on several lines; nobody sends that, and it may pass
        return event
    try:
        return event[:start] + remove_member(data, "usage") + event[start + len(data) :]
    except ValueError:  # not the JSON that it was decoded as: names outside UTF-8
        return event
