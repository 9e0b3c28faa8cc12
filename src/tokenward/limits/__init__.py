"""Limits: is this key too fast, too wide, or in the wrong place?

Promises: requests and tokens a minute and running calls a key, networks a key; a slot taken is
given back exactly once.
Does not promise: hard limits on money or tokens (caps in the ledger do); `tpm` counts what has
been used, so it can be passed by the calls that run at the same time.
Fails how: a `Refusal` (`rate:exceeded`, `concurrency:exceeded`, `network:not_allowed`).
"""
