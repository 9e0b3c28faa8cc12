"""What does a call show of each habit? The values that `novelty` compares with the past."""

from typing import Final

from tokenward.detectors.habits import NONE
from tokenward.detectors.past import short
from tokenward.kernel.signals import Signals

STEP: Final = 8
"""Lengths differ from call to call; what is so many times as long is another one."""
STEPS_MAX: Final = 12
_STEP_BITS: Final = STEP.bit_length() - 1
NO_CHATS: Final = frozenset(
    ("embeddings", "embed_content", "batch_embed_contents", "images", "image_edits", "speech",
     "moderations")
)  # fmt: skip
"""Routes that take words, and where nobody could give a system prompt, tools or an output limit."""


def values_of(call: Signals) -> dict[str, str]:
    """The call's value of each habit; a habit that cannot be known is left out."""
    content = call.content
    is_chat = bool(content.root or content.system) and call.asked.route not in NO_CHATS
    is_private = call.network.kind == "private"  # the same for all behind one proxy: tells nothing
    values = {
        "place": "" if is_private else call.network.place,
        "country": call.network.country,
        "block": call.network.block,
        "network_kind": "" if is_private else call.network.kind,
        "client": call.client.fingerprint,
        "family": call.client.family,
        "model": call.asked.model,
        "route": call.asked.route,
        "system": content.system or (NONE if is_chat else ""),
        "tools": content.tools or (NONE if is_chat else ""),
        "size": steps_of(content.size),
        "limit": (steps_of(call.asked.output_limit) or NONE) if is_chat else "",
        "script": content.script,
        "harness": content.harness or (NONE if is_chat else ""),
    }
    return {name: short(value) for name, value in values.items() if value}


def steps_of(number: int | None) -> str:
    """How large, in steps of `STEP` times: "0" below 8, "1" below 64, "2" below 512 … up to
    `STEPS_MAX`; "" for nothing."""
    if not number or number < 0:
        return ""
    return str(min((number.bit_length() - 1) // _STEP_BITS, STEPS_MAX))
