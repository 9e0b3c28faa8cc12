"""Evidence → verdict: what may be done to a call, and to a key.

Promises: a class of evidence causes at most what docs/explanation/evidence.md says; every verdict
lists what speaks for it, what speaks against it and what would undo it; what an owner has cleared
is not asked about again; in `observe` nothing acts.
Does not promise: that a threshold's rate of false alarms is what an operator will see; the lab
shows what it was on simulated keys.
Fails how: pure and total; a verdict that cannot be made is the pipeline's to replace by a refusal.
"""

from tokenward.policy.rules import Rules, Standing
from tokenward.policy.verdict import Case, Verdict, decide

__all__ = ["Case", "Rules", "Standing", "Verdict", "decide"]
