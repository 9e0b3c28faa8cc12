"""What was said in a call of the Messages API? Never raises; `providers/conversation.py` has the
limits."""

from tokenward.kernel.conversation import Conversation
from tokenward.kernel.json_text import JsonObject, JsonValue
from tokenward.providers.conversation import (
    PARTS_MAX,
    SYSTEM_MAX,
    TOOLS_MAX,
    Talk,
    objects_in,
    text_in,
)


def messages_said(body: JsonObject) -> Conversation:
    """The system prompt's blocks one by one, the turns, and the tools by name. What tools found
    comes in a user's message; here it is a turn of its own."""
    talk = Talk()
    system = body.get("system")
    blocks = system[: SYSTEM_MAX + 1] if isinstance(system, list) else [system]
    for block in blocks:
        talk.add_system(text_in(block))
    for message in talk.ends(body.get("messages")):
        if isinstance(message, dict):
            content = message.get("content")
            talk.add("tool", _found(talk, content))
            talk.add(message.get("role"), talk.text_of(content))
    for tool in objects_in(body.get("tools"), TOOLS_MAX):
        talk.add_tool(tool, "name", "type")
    return talk.whole()


def _found(talk: Talk, content: JsonValue) -> str | None:
    if not isinstance(content, list):
        return None
    found: list[JsonValue] = [
        talk.text_of(block.get("content"))
        for block in content[:PARTS_MAX]
        if isinstance(block, dict) and block.get("type") == "tool_result"
    ]
    return talk.text_of(found) if found else None
