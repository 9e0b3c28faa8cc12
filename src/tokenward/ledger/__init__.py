"""Ledger: is there money for this call, and what did it really cost?

Promises: L1-L9 of `docs/promises.md`: posted + held never exceeds a cap, one all-or-nothing hold
over every cap that applies, a hold ends exactly once, entries are never changed and hash-chained.
Does not promise: knowing prices (`prices` does) or what a call used (`providers` does).
Fails how: over a cap is a `Refusal` (`cap:reached`, `cap:held`); `StoreError` when it cannot know.
"""
