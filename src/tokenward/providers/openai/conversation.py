"""What was said in a call of the OpenAI dialect? Never raises; `providers/conversation.py` has
the limits."""

from tokenward.kernel.conversation import Conversation
from tokenward.kernel.json_text import JsonObject, JsonValue
from tokenward.providers.conversation import PARTS_MAX, TOOLS_MAX, Talk, objects_in


def chat_said(document: JsonObject) -> Conversation:
    """Of a chat completion."""
    talk = Talk()
    for message in talk.ends(document.get("messages")):
        if isinstance(message, dict):
            talk.add(message.get("role"), talk.text_of(message.get("content")))
    for tool in objects_in(document.get("tools"), TOOLS_MAX):
        for kind in ("function", "custom"):
            declared = tool.get(kind)
            if isinstance(declared, dict):
                talk.add_tool(declared, "name")
    for function in objects_in(document.get("functions"), TOOLS_MAX):
        talk.add_tool(function, "name")
    return talk.whole()


def response_said(document: JsonObject) -> Conversation:
    """Of a response, a compaction of one, or a count of its tokens."""
    talk = Talk()
    instructions = document.get("instructions")
    talk.add_system(instructions if isinstance(instructions, str) else None)
    asked = document.get("input")
    if isinstance(asked, str):
        talk.add("user", asked)
    else:
        for item in talk.ends(asked):
            if isinstance(item, dict):
                _add_item(talk, item)
    for tool in objects_in(document.get("tools"), TOOLS_MAX):
        talk.add_tool(tool, "name", "type")
    return talk.whole()


def prompt_said(prompt: JsonValue) -> Conversation:
    """Of a text completion, an embedding or a picture: the prompt is one user turn. Token ids say
    nothing that can be read here."""
    talk = Talk()
    if isinstance(prompt, list):
        prompt = [part for part in prompt[: PARTS_MAX + 1] if isinstance(part, str)]
    talk.add("user", talk.text_of(prompt))
    return talk.whole()


def _add_item(talk: Talk, item: JsonObject) -> None:
    kind = item.get("type")
    if kind is None or kind == "message":
        talk.add(item.get("role"), talk.text_of(item.get("content")))
    elif isinstance(kind, str) and kind.endswith("_output"):
        talk.add("tool", talk.text_of(item.get("output")))
