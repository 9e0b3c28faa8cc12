"""What was said in a call of the Gemini API? Never raises; `providers/conversation.py` has the
limits."""

from typing import Final

from tokenward.kernel.conversation import Conversation
from tokenward.kernel.json_text import JsonObject, JsonValue
from tokenward.providers.conversation import PARTS_MAX, SYSTEM_MAX, TOOLS_MAX, Talk, objects_in
from tokenward.providers.gemini.proto_json import snake_case

_TOOL_LISTS: Final = 8


def generate_said(body: JsonObject) -> Conversation:
    """The system instruction's parts one by one, the turns, and the functions by name."""
    talk = Talk()
    system = _either(body, "systemInstruction")
    parts = system.get("parts") if isinstance(system, dict) else system
    listed = parts[: SYSTEM_MAX + 1] if isinstance(parts, list) else [parts]
    for part in listed:
        talk.add_system(talk.text_of(part))
    contents = body.get("contents")
    for content in talk.ends(contents):
        _add_content(talk, content)
    for tool in objects_in(body.get("tools"), _TOOL_LISTS):
        for function in objects_in(_either(tool, "functionDeclarations"), TOOLS_MAX):
            talk.add_tool(function, "name")
    return talk.whole()


def embed_said(body: JsonObject) -> Conversation:
    """What is to be embedded: every content is a user turn."""
    talk = Talk()
    _add_content(talk, body.get("content"))
    for request in objects_in(body.get("requests"), PARTS_MAX):
        _add_content(talk, request.get("content"))
    return talk.whole()


def _add_content(talk: Talk, content: JsonValue) -> None:
    if not isinstance(content, dict):
        return
    talk.add(content.get("role"), talk.text_of(content.get("parts")))


def _either(item: JsonObject, name: str) -> JsonValue:
    """The field in either spelling (one that is given twice was refused before)."""
    value = item.get(name)
    return item.get(snake_case(name)) if value is None else value
