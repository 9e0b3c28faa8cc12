"""Stores: where records are kept, so that they survive.

Promises: what an awaited write acknowledged is durable; a write takes effect whole or not at all;
writes take effect in the order they were asked for.
Does not promise: rules; the rooms decide, a store keeps what was decided.
Fails how: raises `StoreError`; `StoreBusyError` when too many writes wait or one takes too long.
"""
