"""Words every room shares: money, usage, ids, clock, errors, refusals, records.

Promises: types only; importing it costs nothing and touches nothing outside.
Does not promise: behaviour; a rule that belongs to one room lives in that room.
Fails how: raises `ValueError` on values that cannot exist (a negative price, a malformed id).
"""
