"""Reading what the Gemini API answers: one document, or a stream of them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from msgspec import Struct
from msgspec.json import Decoder

from tokenward.kernel.usage import Usage
from tokenward.providers.answers import ANSWER_LIMIT, UNFINISHED, Count, too_long
from tokenward.providers.ask import Ask
from tokenward.providers.gemini.elements import ElementSplitter
from tokenward.providers.gemini.hearing import answer_text
from tokenward.providers.gemini.tools import is_billed_a_prompt
from tokenward.providers.gemini.usage import Context, UsageReport, merge, to_usage
from tokenward.providers.hearing import Hearing
from tokenward.providers.interfaces import Reading
from tokenward.providers.sse import EventSplitter, event_data


class _Grounding(Struct, rename="camel"):
    web_search_queries: list[str] | None = None
    image_search_queries: list[str] | None = None

    def queries(self) -> int:
        """Searches made; an empty query is not one."""
        made = (self.web_search_queries or []) + (self.image_search_queries or [])
        return sum(1 for query in made if query)


class _Candidate(Struct, rename="camel"):
    index: Count = 0
    finish_reason: str | None = None
    grounding_metadata: _Grounding | None = None


class _Feedback(Struct, rename="camel"):
    block_reason: str | None = None


class _Problem(Struct):
    status: str = ""


class _Answer(Struct, rename="camel"):
    usage_metadata: UsageReport | None = None
    candidates: list[_Candidate] | None = None
    prompt_feedback: _Feedback | None = None
    model_version: str | None = None
    error: _Problem | None = None


_read_answer: Final = Decoder(_Answer).decode


@dataclass(slots=True)
class Account:
    """What the pieces of one answer have said so far. `tier_in_header` is what the answer's head
    says it is billed at."""

    ask: Ask
    tier_in_header: str = ""
    report: UsageReport | None = None
    model: str = ""
    problem: str = ""
    is_error: bool = False
    is_blocked: bool = False
    doubts: list[str] = field(default_factory=list)
    finished: dict[int, bool] = field(default_factory=dict)
    queries: dict[int, int] = field(default_factory=dict)

    def take(self, data: bytes) -> None:
        """Read one piece; never raises. After a problem nothing counts any more."""
        if self.problem or not data:
            return
        try:
            answer = _read_answer(data)
        except (ValueError, RecursionError) as error:
            self.problem = f"the answer cannot be read: {str(error)[:200]}"
            return
        if answer.error is not None:
            kind = answer.error.status[:60] or "an error"
            self.problem = f"the provider reported {kind} inside the answer"
            self.is_error = True
            return
        self.model = answer.model_version or self.model
        if answer.prompt_feedback is not None and answer.prompt_feedback.block_reason:
            self.is_blocked = True
        if answer.usage_metadata is not None:
            self.report, doubt = merge(self.report, answer.usage_metadata)
            self.doubts.extend(filter(None, [doubt]))
        for candidate in answer.candidates or ():
            if candidate.index < self.ask.choices:
                self._take_candidate(candidate)

    def reading(self, *, needs_end: bool) -> Reading:
        """What is known; `needs_end` asks that every candidate seen has said why it ended."""
        if self.problem:
            return Reading(
                usage=None, model=self.model, problem=self.problem, is_error=self.is_error
            )
        has_ended = self.is_blocked or (bool(self.finished) and all(self.finished.values()))
        if needs_end and not has_ended:
            return Reading(usage=None, model=self.model, problem=UNFINISHED.problem)
        if self.report is None or not self.report.prompt_token_count:
            return Reading(usage=None, model=self.model, problem="the answer has no usage")
        return Reading(usage=self._usage(self.report), model=self.model)

    def _take_candidate(self, candidate: _Candidate) -> None:
        index = candidate.index
        ended = self.finished.get(index, False) or bool(candidate.finish_reason)
        self.finished[index] = ended
        if candidate.grounding_metadata is not None:
            made = candidate.grounding_metadata.queries()
            self.queries[index] = max(self.queries.get(index, 0), made)

    def _usage(self, report: UsageReport) -> Usage:
        queries = sum(self.queries.values())
        names = (self.ask.model, self.model or self.ask.model)
        if queries and all(map(is_billed_a_prompt, names)):
            queries = 1
        context = Context(
            output_bucket=self.ask.output_bucket,
            searches=queries,
            service_tier=self.tier_in_header or _dearer_tier(self.ask),
            doubts=tuple(self.doubts),
        )
        return to_usage(report, context)


class StreamReader:
    """Passes the stream on as it comes and reads each of its pieces.

    The format has no last word: a stream is over when its body is, and whole when every
    candidate has said why it ended.
    """

    __slots__ = ("_account", "_hearing", "_pieces", "_unwrap", "is_final")

    def __init__(
        self,
        account: Account,
        pieces: EventSplitter | ElementSplitter,
        unwrap: Callable[[bytes], bytes],
    ) -> None:
        self._account = account
        self._pieces = pieces
        self._unwrap = unwrap
        self._hearing = Hearing(answer_text)
        self.is_final = False

    def feed(self, chunk: bytes) -> bytes:
        """The chunk itself: nothing is ever changed or kept back."""
        pieces = self._pieces.feed(chunk)
        if self._pieces.overflowed:
            self._account.problem = too_long(ANSWER_LIMIT).problem
        else:
            for piece in pieces:
                self._take(self._unwrap(piece))
        return chunk

    def finish(self) -> bytes:
        """Nothing is left: all was passed on. A last event without its blank line counts."""
        self._take(self._unwrap(self._pieces.rest()))
        return b""

    def reading(self) -> Reading:
        """Without usage until every candidate has ended."""
        return self._account.reading(needs_end=True)

    def said(self) -> str:
        """The text of the first candidate, without its thoughts."""
        return self._hearing.said()

    def _take(self, data: bytes) -> None:
        self._account.take(data)
        self._hearing.hear(data)


def sse_reader(account: Account) -> StreamReader:
    """For `alt=sse`."""
    return StreamReader(account, EventSplitter(ANSWER_LIMIT), event_data)


def array_reader(account: Account) -> StreamReader:
    """For the stream that is one long JSON array."""
    return StreamReader(account, ElementSplitter(ANSWER_LIMIT), bytes)


def read_document(body: bytes, account: Account) -> Reading:
    """What a whole answer says; never raises."""
    account.take(body)
    return account.reading(needs_end=False)


def _dearer_tier(ask: Ask) -> str:
    """The tier to charge where the answer names none: the asked one, unless it is a cheaper one."""
    return "priority" if "priority" in ask.service_tiers else ""
