"""What a detector says of one call: how likely is it of the owner, and how likely of a thief?"""

from math import log

from msgspec import Struct

from tokenward.kernel.incidents import EvidenceClass

LEAST: float = 1e-6
"""No probability is below this: a model of people is never surer than that."""


class Sign(Struct, frozen=True, kw_only=True, gc=False):
    """One fact, weighed. `ordinary`, `moved` and `thief` are probabilities of seeing it: on an
    ordinary day of the owner, on a day on which the owner moved (another machine, network or
    region), and from a thief. `reason` says it in plain words; "" for what needs no telling."""

    kind: EvidenceClass
    detector: str
    code: str
    reason: str = ""
    ordinary: float
    moved: float
    thief: float

    @property
    def weight(self) -> float:
        """How much it speaks for theft: the logarithm of the smaller of its two ratios."""
        return log(max(self.thief, LEAST) / max(self.ordinary, self.moved, LEAST))
