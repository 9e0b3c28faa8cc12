"""What a caller that is too fast or too wide is told, whoever counted."""

from typing import Final, Literal

from tokenward.kernel.refusals import Refusal

Unit = Literal["requests", "tokens"]
_FLAGS: Final = {"requests": "rpm", "tokens": "tpm"}


def too_fast(unit: Unit, *, limit: int, used: int, wait_s: int) -> Refusal:
    """`used` of `limit` are used up; in `wait_s` the next one fits."""
    return Refusal(
        "rate:exceeded",
        429,
        f"This key has used {used:,} {unit} in the last minute and may use {limit:,} "
        f"a minute. Nothing was sent; call again in {wait_s} s, or ask for a key with a higher "
        f"limit: tokenward key create --{_FLAGS[unit]} …",
        should_retry=True,
        retry_after_s=wait_s,
        facts=(("unit", unit), ("limit", limit), ("used", used), ("window", "minute")),
    )


def too_wide(*, limit: int, running: int) -> Refusal:
    """`running` calls of the key run at once, and `limit` may."""
    return Refusal(
        "concurrency:exceeded",
        429,
        f"This key has {running} running calls and may have {limit}. Nothing was sent; "
        "call again when one of them has ended, or ask for a key with a higher limit: "
        "tokenward key create --concurrency …",
        should_retry=True,
        retry_after_s=1,
        facts=(("limit", limit), ("running", running)),
    )


TOO_MANY_KEYS: Final = Refusal(
    "rate:exceeded",
    429,
    "More keys with a rate limit are in use at once than this guard can count, so this one "
    "cannot be let in now. Nothing was sent; call again in a few seconds.",
    should_retry=True,
    retry_after_s=5,
)
