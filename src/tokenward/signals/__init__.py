"""Signals: what does a call show of its caller? Facts without an opinion.

Promises: what is read is read from this call alone, without another round trip; the same program
gives the same fingerprint for all its calls; what is not known is said to be unknown; whatever
comes in, an answer comes out, in bounded time and of bounded size; no prompt, key or body is kept.
Does not promise: that a caller is who its layers say; all of them can be forged by somebody who
forges all of them.
Fails how: not at all; a family of signals that cannot be read is unknown.
"""

from tokenward.signals.client import read_client

__all__ = ["read_client"]
