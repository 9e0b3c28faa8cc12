"""Gateways that can be put through the storms.

README.md says how to install them and how to read what comes out.
"""
