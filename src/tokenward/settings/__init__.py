"""Settings: one TOML file and the environment, read once into values that never change.

Promises: an unknown name, a wrong type or an impossible value stops the start with the file, the
dotted name and what to do; secrets stand in the file only as references and are never echoed.
Does not promise: that a provider can be reached; `tokenward doctor` tries that.
Fails how: `SettingsError`, always before anything is opened or sent.
"""

from tokenward.settings.load import example_text, load
from tokenward.settings.references import resolve_secret
from tokenward.settings.shape import Settings

__all__ = ["Settings", "example_text", "load", "resolve_secret"]
