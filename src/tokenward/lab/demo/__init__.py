"""The demonstration: a guard and a stand-in provider on loopback, real SDKs, and one theft.

Promises: everything it shows happened just now between real processes; the provider's bill is
written by the stand-in, not by the guard. Traffic stays on 127.0.0.1 and stops by itself.
Does not promise: real prices of anybody's contract; the stand-in bills public list prices.
Fails how: `DemoError` in plain words.
"""
