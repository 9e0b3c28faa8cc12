"""Was this idempotency key used before? (L8)"""

from typing import Final

from tokenward.kernel.refusals import Refusal

REPEAT_WINDOW_MS: Final = 24 * 3_600_000
"""How long a key's idempotency key is remembered."""


def refuse_repeat(is_running: bool) -> Refusal:
    """The first call with this idempotency key still runs, or it ended and was paid."""
    if is_running:
        return Refusal(
            "idempotency:running",
            409,
            "A call with this idempotency key is still running. Wait for its answer.",
            should_retry=True,
            retry_after_s=1,
        )
    return Refusal(
        "idempotency:spent",
        409,
        "A call with this idempotency key was made and paid within 24 hours, so it is not made "
        "again. Use a new idempotency key for a new call.",
    )
