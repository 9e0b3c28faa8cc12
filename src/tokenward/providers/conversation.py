"""What was said in a request: texts of any shape, collected within limits.

Nothing here raises: what is no text is skipped, what is too much is left out and
`Conversation.is_whole` says so. Texts are references into the parsed body; only a text that comes
in several parts is joined, cut to `PART_CHARS` a part.
"""

from typing import Final

from tokenward.kernel.conversation import Conversation, Turn
from tokenward.kernel.json_text import JsonObject, JsonValue

SYSTEM_MAX: Final = 16
"""System and developer prompts that are kept."""
TURNS_FIRST: Final = 2
"""Turns kept from the beginning: they are what a conversation is known by."""
TURNS_LAST: Final = 62
"""Turns kept from the end."""
TOOLS_MAX: Final = 128
PARTS_MAX: Final = 16
PART_CHARS: Final = 32 * 1024
_HEAD: Final = SYSTEM_MAX + TURNS_FIRST
_ROLES: Final = {
    "system": "system",
    "developer": "system",
    "assistant": "assistant",
    "model": "assistant",
    "tool": "tool",
    "function": "tool",
}
"""Every other role is a user's, whatever it is called."""


class Talk:
    """A conversation that is still being read. Holds at most what its limits say."""

    __slots__ = ("_is_whole", "_system", "_tools", "_turns")

    def __init__(self) -> None:
        self._system: list[str] = []
        self._turns: list[Turn] = []
        self._tools: list[str] = []
        self._is_whole = True

    def ends(self, items: JsonValue) -> list[JsonValue]:
        """The messages worth reading: all of them, or the first and the last of very many. One
        that stands alone is a list of one."""
        if not isinstance(items, list):
            return [] if items is None else [items]
        if len(items) <= _HEAD + TURNS_LAST:
            return items
        self._is_whole = False
        return items[:_HEAD] + items[-TURNS_LAST:]

    def add(self, role: JsonValue, text: str | None) -> None:
        """One message, its role as the dialect calls it; None where it holds no text. Neighbouring
        assistant turns are one: one answer may come back in several pieces."""
        if text is None:
            return
        said_by = _ROLES.get(role, "user") if isinstance(role, str) else "user"
        turns = self._turns
        if said_by == "system":
            self.add_system(text)
        elif said_by == "assistant" and turns and turns[-1].role == "assistant":
            turns[-1] = Turn("assistant", f"{turns[-1].text}\n{text}"[:PART_CHARS])
        else:
            turns.append(Turn(said_by, text))

    def add_system(self, text: str | None) -> None:
        """A system or developer prompt; an empty one says nothing."""
        if not text:
            return
        if len(self._system) < SYSTEM_MAX:
            self._system.append(text)
        else:
            self._is_whole = False

    def add_tool(self, tool: JsonObject, *names: str) -> None:
        """A declared tool by the first of its members that names it."""
        for name in names:
            called = tool.get(name)
            if isinstance(called, str) and called:
                if len(self._tools) < TOOLS_MAX:
                    self._tools.append(called[:256])
                else:
                    self._is_whole = False
                return

    def text_of(self, content: JsonValue) -> str | None:
        """The text of a message's content: a string, or the `text` members of its parts; None where
        there is none."""
        if isinstance(content, str):
            return content
        if isinstance(content, dict):
            content = [content]
        if not isinstance(content, list):
            return None
        texts = [text for part in content[:PARTS_MAX] if (text := text_in(part)) is not None]
        self._is_whole &= len(content) <= PARTS_MAX
        if len(texts) < 2:
            return texts[0] if texts else None
        return "\n".join([text[:PART_CHARS] for text in texts])

    def whole(self) -> Conversation:
        """What was read."""
        turns = self._turns
        if len(turns) > TURNS_FIRST + TURNS_LAST:
            turns = turns[:TURNS_FIRST] + turns[-TURNS_LAST:]
            self._is_whole = False
        return Conversation(
            system=tuple(self._system),
            turns=tuple(turns),
            tools=tuple(self._tools),
            is_whole=self._is_whole,
        )


def text_in(part: JsonValue) -> str | None:
    """The text of one part of a message; thoughts are not said to anybody."""
    if isinstance(part, str):
        return part
    if not isinstance(part, dict) or part.get("thought") is True:
        return None
    text = part.get("text")
    return text if isinstance(text, str) else None


def objects_in(items: JsonValue, most: int) -> list[JsonObject]:
    """The objects among the first `most` items; one that stands alone is a list of one."""
    if isinstance(items, dict):
        return [items]
    if not isinstance(items, list):
        return []
    return [item for item in items[:most] if isinstance(item, dict)]
