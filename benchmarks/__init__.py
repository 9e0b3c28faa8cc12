"""Measurements, one file a question. Read README.md before quoting a number."""
