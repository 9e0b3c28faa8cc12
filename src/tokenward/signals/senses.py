"""What signals are read with, wired once."""

from collections.abc import Callable
from dataclasses import dataclass

from tokenward.signals.network import Networks


@dataclass(frozen=True, slots=True, kw_only=True)
class Senses:
    """`hash_text` is keyed by the guard, 16 hex digits: its hashes mean nothing to anybody else,
    and say nothing of the text."""

    networks: Networks
    hash_text: Callable[[bytes], str]
