"""Faults: something outside broke. An expected "no" is a `Refusal`, never one of these.

Fault
├── StoreError          the records cannot be read or written; answered with 503
│   ├── StoreBusyError  the queue of waiting writes is full, or a write took too long
│   ├── StoreHeldError  another process of tokenward has the records open
│   └── StorePastError  the records are older than what was seen; nothing is served from them
├── ProviderError       the provider did not give a usable answer
│   ├── UnsentError     nothing left this machine for the provider; the hold is voided
│   │   ├── UnfitError  nothing will: what the caller wrote cannot be sent on
│   │   └── WithheldError  the guard itself kept it back at the last moment
│   └── BrokenError     something was sent and the answer is unknown; the hold is charged
├── IssuerError         the public keys of a pinned issuer cannot be had; answered with 503
├── SettingsError       the settings cannot be used; nothing starts
└── WorkersError        the processes that take calls end as soon as they are started
"""

from tokenward.kernel.refusals import Refusal


class Fault(Exception):  # noqa: N818 - the tree's root; its leaves end in Error
    """Something outside broke. The message is written for the operator and holds no secret."""


class StoreError(Fault):
    """Raised when records cannot be read or written: tokenward cannot know, so it refuses."""


class StoreBusyError(StoreError):
    """Raised when more writes wait than the limit allows, or one waited longer than its limit."""


class StoreHeldError(StoreError):
    """Raised when another process holds the records: only one at a time may count money."""


class StorePastError(StoreError):
    """Raised when the records lack entries that were seen: serving would forget spend and revive
    revoked keys."""


class ProviderError(Fault):
    """Raised when a provider gave no usable answer."""


class UnsentError(ProviderError):
    """Raised when it is certain that no byte of the request reached the provider."""


class UnfitError(UnsentError):
    """Raised when what the caller wrote cannot be sent on: the next try would fail too."""


class WithheldError(UnsentError):
    """Raised when the guard's last look, with the connection ready, said no."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"kept back: {refusal.code}")
        self.refusal = refusal


class BrokenError(ProviderError):
    """Raised when bytes of the request left and the outcome is unknown."""


class IssuerError(Fault):
    """Raised when an issuer's public keys cannot be had: its tokens cannot be known to be good."""


class SettingsError(Fault):
    """Raised at start when a setting is unknown, missing or impossible. Names the setting."""


class WorkersError(Fault):
    """Raised when workers die again and again: starting one more would not help."""
