"""Streams whose last event tells the usage: responses, pictures, transcripts, speech."""

import re
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tokenward.kernel.usage import COUNTS, Usage
from tokenward.providers.answers import UNFINISHED
from tokenward.providers.ask import Ask
from tokenward.providers.interfaces import Reading
from tokenward.providers.openai.documents import count_searches, read_response
from tokenward.providers.openai.usage import token_usage, transcript_usage
from tokenward.providers.sse import event_data

IMAGE_EVENT_LIMIT: Final = 32 * 1024 * 1024
"""The longest event with a picture in it that is read, in bytes."""

_ERROR: Final = Reading(
    usage=None, problem="the provider reported an error in the stream", is_error=True
)


class _Event(Struct):
    type: object = None
    response: object = None
    item: object = None
    usage: object = None


_decoder: Final = msgspec.json.Decoder(_Event)
_TELLING: Final = re.compile(
    rb'"type"\s*:\s*"(?:response\.(?:completed|incomplete|failed|output_item\.done)|error'
    rb"|(?:image_generation|image_edit)\.completed|transcript\.text\.done|speech\.audio\.done)\""
)
_ENDS: Final = ("response.completed", "response.incomplete", "response.failed")
_MEDIA_ENDS: Final = (
    "image_generation.completed",
    "image_edit.completed",
    "transcript.text.done",
    "speech.audio.done",
)


class ResponseWatcher:
    """A response, streamed: its last event holds the whole of it, usage included."""

    __slots__ = ("_ask", "_file_searches", "_reading", "_searches", "is_final")

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._searches = 0
        self._file_searches = 0
        self._reading = UNFINISHED
        self.is_final = False

    def see(self, event: bytes) -> bytes:
        """The event, unchanged."""
        telling = _read_event(event)
        if telling is None:
            return event
        if telling.type in _ENDS:
            self._reading = self._completed(telling.response)
            self.is_final = True
        elif telling.type == "response.output_item.done":
            searches, file_searches = count_searches([telling.item])
            self._searches += searches
            self._file_searches += file_searches
        elif telling.type == "error" and not self.is_final:
            self._reading = _ERROR
        return event

    def reading(self) -> Reading:
        """Without usage until the last event."""
        return self._reading

    def _completed(self, response: object) -> Reading:
        reading = read_response(response, self._ask)
        if reading.usage is None or not isinstance(response, dict) or response.get("output"):
            return reading
        # Some servers leave the items out of the last event; then those that passed count.
        usage = replace(
            reading.usage,
            searches=max(reading.usage.searches, self._searches),
            file_searches=max(reading.usage.file_searches, self._file_searches),
        )
        return replace(reading, usage=usage)


class MediaWatcher:
    """Pictures, transcripts or speech, streamed: the event that ends each tells its usage."""

    __slots__ = ("_ends", "_expected", "_problem", "_usage", "is_final")

    def __init__(self, ask: Ask) -> None:
        self._expected = ask.choices
        self._ends = 0
        self._usage: Usage | None = None
        self._problem = ""
        self.is_final = False

    def see(self, event: bytes) -> bytes:
        """The event, unchanged."""
        telling = _read_event(event)
        if telling is None:
            return event
        if telling.type == "error":
            self._problem = _ERROR.problem
        if not isinstance(telling.type, str) or telling.type not in _MEDIA_ENDS:
            return event
        self._ends += 1
        self.is_final = self._ends >= self._expected
        try:
            usage = _media_usage(telling.type, telling.usage)
            self._usage = usage if self._usage is None else _sum(self._usage, usage)
        except ValueError as error:
            self._problem = self._problem or str(error)
        return event

    def reading(self) -> Reading:
        """Usage once everything that was ordered has ended."""
        if self._problem or not self.is_final:
            problem = self._problem or UNFINISHED.problem
            return Reading(usage=None, problem=problem, is_error=problem == _ERROR.problem)
        return Reading(usage=self._usage)


def _read_event(event: bytes) -> _Event | None:
    if _TELLING.search(event) is None:
        return None
    try:
        return _decoder.decode(event_data(event))
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


def _media_usage(kind: str, report: object) -> Usage:
    if kind.startswith("transcript."):
        return transcript_usage(report)
    return token_usage(report, "output_audio" if kind.startswith("speech.") else "output_image")


def _sum(one: Usage, other: Usage) -> Usage:
    counts = {name: getattr(one, name) + getattr(other, name) for name in COUNTS}
    return replace(one, **counts, doubts=(*one.doubts, *other.doubts))
