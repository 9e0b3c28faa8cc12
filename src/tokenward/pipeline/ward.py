"""What steps 5, 6 and 10 work with."""

from collections.abc import Callable
from dataclasses import dataclass

from tokenward.pipeline.remembering import Memory
from tokenward.policy.rules import Rules
from tokenward.signals.senses import Senses


@dataclass(frozen=True, slots=True, kw_only=True)
class Ward:
    """Signals, memory and rules, wired once. `rules` are those of a project."""

    senses: Senses
    memory: Memory
    rules: Callable[[str], Rules]
    draw_incident: Callable[[], str]
