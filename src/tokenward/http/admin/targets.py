"""Which key is meant? People paste ids, masked keys and, in a hurry, whole keys."""

from typing import Final

from tokenward.kernel.ids import BASE62
from tokenward.keys.format import ID_CHARS, PREFIX, read_key_id
from tokenward.ledger.cap_text import parse_subject

_MASK_ENDS: Final = ("…", "...")


def key_named(text: str) -> str:
    """The id in an id, in `tw_sk_<id>…` or in a whole key; ValueError never repeats the text.

    A whole key is taken by its checksum alone: whoever wants to stop a leaked key holds just
    that, and the admin token is what allows the act.
    """
    shown = text.strip()
    found = read_key_id(shown)
    if found is not None:
        return found
    for end in _MASK_ENDS:
        shown = shown.removesuffix(end)
    shown = shown.removeprefix(PREFIX)
    if len(shown) == ID_CHARS and all(sign in BASE62 for sign in shown):
        return shown
    raise ValueError(
        f"that is not a key: give its id ({ID_CHARS} letters and digits, see: tokenward key list)"
    )


def subject_named(text: str) -> str:
    """A cap's subject, with a key in any of its forms; ValueError if it is none."""
    kind, _, name = text.partition(":")
    return parse_subject(f"key:{key_named(name)}" if kind == "key" else text)
