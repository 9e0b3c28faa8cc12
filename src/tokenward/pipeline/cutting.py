"""Cuts running calls whose key or token was stopped, on whichever gateway it was stopped (R5)."""

from typing import Final

from tokenward.kernel.refusals import Refusal
from tokenward.keys.records import KeyRecord
from tokenward.pipeline.running import RunningCalls

FROZEN: Final = Refusal(
    "key:frozen",
    403,
    "This key was frozen while the answer ran, so the rest is withheld. What was used is charged.",
)
REVOKED: Final = Refusal(
    "key:revoked",
    401,
    "This key was revoked while the answer ran, so the rest is withheld. What was used is charged.",
    public_code="key:invalid",
)
ROTATED: Final = Refusal(
    "key:rotated",
    401,
    "This key got a new secret while the answer ran, so the rest is withheld. What was used is "
    "charged. Call again with the new key.",
    public_code="key:invalid",
)
TOKEN_REVOKED: Final = Refusal(
    "token:revoked",
    401,
    "The access token was revoked while the answer ran, so the rest is withheld. What was used is "
    "charged.",
    public_code="key:invalid",
)
_OF_STATE: Final = {"frozen": FROZEN, "revoked": REVOKED}


class Cutter:
    """Fulfils `keys.interfaces.Watcher`: hears of changes made anywhere, and cuts here.

    A running call remembers how to look at its own credential again, so that a rotation cuts the
    calls of the secret that is out and not those of the new one.
    """

    def __init__(self, running: RunningCalls) -> None:
        self._running = running

    def key_changed(self, record: KeyRecord) -> None:
        """Cut what the key no longer opens."""
        reason = _OF_STATE.get(record.state)
        if reason is not None:
            self._running.cut_key(record.id, reason)
        else:
            self._running.cut_unfit(record.id, ROTATED)

    def name_revoked(self, name: str) -> None:
        """Cut what runs on this token, or on a token of this family."""
        self._running.cut_key(name, TOKEN_REVOKED)
