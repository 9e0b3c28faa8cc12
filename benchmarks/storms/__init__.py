"""Storms: many gateways, one budget, and everything that goes wrong.

Gateway-neutral, so that others can be put through the same: benchmarks/peers/README.md.
"""
