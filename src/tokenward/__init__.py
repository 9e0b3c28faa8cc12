"""tokenward: a guard that stops stolen LLM keys from spending your money."""

__version__ = "0.1.0"
