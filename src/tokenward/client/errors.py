"""Faults at the caller's side. The message is for the person at that machine; no secret in it.

ClientError
├── MissingExtraError     a package of an extra is not installed
├── KeepingError          the place where the private key is kept cannot be used
│   └── NotEnrolledError  nobody was enrolled there under that name
├── EnrolmentError        the guard could not be asked, or did not enrol this holder
└── ForeignHostError      a request would have gone to another host than the guard's
"""

from tokenward.kernel.errors import Fault


class ClientError(Fault):
    """Something at the caller's side is not as it must be."""


class MissingExtraError(ClientError):
    """Raised when a package is needed that only an extra brings."""


class KeepingError(ClientError):
    """Raised when a holder cannot be read from its place, or put there."""


class NotEnrolledError(KeepingError):
    """Raised when there is no holder of that name: enrol first."""


class EnrolmentError(ClientError):
    """Raised when the guard could not be asked, or refused the code. Says if the code is spent."""


class ForeignHostError(ClientError):
    """Raised before anything is signed or sent: the address is not the guard's."""
