"""Providers: what may this request cost, and how is its usage read?

Promises: sans-io readers (bytes in, bytes out) that never change what the caller gets, save the
usage chunk it did not ask for; bounds that hold for every input the provider accepts; usage in
disjoint buckets with the larger reading where a report does not add up.
Does not promise: translation between dialects; requests pass natively.
Fails how: `request:invalid`, `route:unknown` refusals; usage it cannot read is `None`, and the
whole hold is charged.
"""
