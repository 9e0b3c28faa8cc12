"""The events of a streamed response, numbered in order."""

from typing import Any

from tokenward.lab.standin.answer import Stream, sse_named
from tokenward.lab.standin.openai_chat import BROKE_DOWN
from tokenward.lab.standin.script import JsonObject, Script
from tokenward.lab.standin.text import pieces


class Events:
    """Writes the whole sequence from `response.created` to `response.completed`."""

    def __init__(
        self, script: Script, response: JsonObject, items: list[JsonObject], final: JsonObject
    ) -> None:
        self._script = script
        self._response = response
        self._items = items
        self._final = final
        self._number = 0

    def stream(self) -> Stream:
        """The events, with the visible output as the chunks."""
        opening = self._event("response.created", response=self._response)
        opening += self._event("response.in_progress", response=self._response)
        visible: JsonObject | None = None
        for index, item in enumerate(self._items):
            if item["type"] == "reasoning":
                opening += self._reasoning(index, item)
            else:
                visible = item
        last = len(self._items) - 1
        chunks: list[bytes] = []
        closing = b""
        first_chunk_number = self._number
        if visible is not None:
            opening += self._started(last, visible)
            first_chunk_number = self._number
            chunks = [
                self._delta(last, visible, piece)
                for piece in pieces(self._script.texts[0], self._script.chunks)
                if piece
            ]
            closing = self._finished(last, visible)
        closing += self._event(f"response.{self._final['status']}", response=self._final)
        return Stream(
            opening, chunks, closing, lambda sent: self._broken(first_chunk_number + sent)
        )

    def _event(self, kind: str, **fields: Any) -> bytes:
        value = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return sse_named(kind, value)

    def _broken(self, number: int) -> bytes:
        error = {"code": "server_error", "message": BROKE_DOWN, "param": None}
        failed = {
            **self._response,
            "status": "failed",
            "error": {"code": "server_error", "message": BROKE_DOWN},
        }
        kind = "response.failed"
        return sse_named(
            "error", {"type": "error", "sequence_number": number, **error}
        ) + sse_named(kind, {"type": kind, "sequence_number": number + 1, "response": failed})

    def _reasoning(self, index: int, item: JsonObject) -> bytes:
        empty = {**item, "summary": []}
        out = self._event("response.output_item.added", output_index=index, item=empty)
        for at, part in enumerate(item["summary"]):
            place = {"item_id": item["id"], "output_index": index, "summary_index": at}
            name = "response.reasoning_summary"
            blank = {**part, "text": ""}
            out += self._event(f"{name}_part.added", **place, part=blank)
            out += self._event(f"{name}_text.delta", **place, delta=part["text"])
            out += self._event(f"{name}_text.done", **place, text=part["text"])
            out += self._event(f"{name}_part.done", **place, part=part)
        return out + self._event("response.output_item.done", output_index=index, item=item)

    def _started(self, index: int, item: JsonObject) -> bytes:
        is_message = item["type"] == "message"
        blank: JsonObject = {"content": []} if is_message else {"arguments": ""}
        empty = {**item, "status": "in_progress", **blank}
        out = self._event("response.output_item.added", output_index=index, item=empty)
        if is_message:
            part = {**item["content"][0], "text": ""}
            out += self._event(
                "response.content_part.added", **_place(index, item), content_index=0, part=part
            )
        return out

    def _delta(self, index: int, item: JsonObject, piece: str) -> bytes:
        place = _place(index, item)
        if item["type"] == "function_call":
            return self._event("response.function_call_arguments.delta", **place, delta=piece)
        return self._event(
            "response.output_text.delta", **place, content_index=0, delta=piece, logprobs=[]
        )

    def _finished(self, index: int, item: JsonObject) -> bytes:
        place = _place(index, item)
        if item["type"] == "function_call":
            kind = "response.function_call_arguments.done"
            out = self._event(kind, **place, name=item["name"], arguments=item["arguments"])
        else:
            part = item["content"][0]
            kind = "response.output_text.done"
            out = self._event(kind, **place, content_index=0, text=part["text"], logprobs=[])
            kind = "response.content_part.done"
            out += self._event(kind, **place, content_index=0, part=part)
        return out + self._event("response.output_item.done", output_index=index, item=item)


def _place(index: int, item: JsonObject) -> JsonObject:
    return {"item_id": item["id"], "output_index": index}
