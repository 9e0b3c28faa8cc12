"""Gemini: `generateContent` and its kin, natively.

Promises: both spellings of proto JSON are read and a request that uses the two at once is
refused; a bound for everything it lets through under a cap, else the reason why there is none;
thinking and tool use are billed, and what does not add up is charged at the larger reading.
Does not promise: batches, files, caches, tuning and live sessions; not declared, so refused.
Fails how: `request:invalid`; usage it cannot read is None, and the whole hold is charged.
"""

from tokenward.providers.gemini.dialect import GEMINI

__all__ = ["GEMINI"]
