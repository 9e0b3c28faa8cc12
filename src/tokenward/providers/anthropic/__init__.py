"""Anthropic: the Messages API, natively.

Promises: a bound for everything it lets through under a cap, else the reason why there is none;
usage from the provider's last cumulative word, with the larger reading where it contradicts itself.
Does not promise: batches, files, sessions and other routes; they are not declared, so refused.
Fails how: `request:invalid`; usage it cannot read is None, and the whole hold is charged.
"""

from tokenward.providers.anthropic.dialect import ANTHROPIC

__all__ = ["ANTHROPIC"]
