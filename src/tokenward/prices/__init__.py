"""Prices: what can a call cost at most, and what did its usage cost?

Promises: integer pico-dollars a unit, dated, never a float; a model that is not known has no
price; the bound is at the dearest rate the call can reach, the cost at the rate it was billed at.
Does not promise: being newer than the library `genai-prices` or the operator's overrides.
Fails how: no price is `None`; a price that looks a thousandfold off raises `SettingsError` at load.
"""
