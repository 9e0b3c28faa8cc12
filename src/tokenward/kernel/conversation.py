"""What was said in a call, as far as detectors may look at it. Only keyed hashes are ever kept."""

from msgspec import Struct


class Turn(Struct, frozen=True, gc=False):
    """One message. `role` is `user`, `assistant` or `tool`, whatever the dialect calls it."""

    role: str
    text: str


class Conversation(Struct, frozen=True, kw_only=True, gc=False):
    """A request's texts: references into the parsed body, nothing is copied.

    `system` are the system and developer prompts in order, `turns` the messages, `tools` the names
    of the declared tools in order. `is_whole` False: there was more than the reader's limits.
    """

    system: tuple[str, ...] = ()
    turns: tuple[Turn, ...] = ()
    tools: tuple[str, ...] = ()
    is_whole: bool = True
