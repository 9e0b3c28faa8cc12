"""What stands beside a "no"."""

import pytest

from tokenward.kernel.refusals import Refusal
from tokenward.limits.rates import Rates
from tokenward.pipeline.refusing import refusal_headers


def waiting(wait_s: int | None, *, helps: bool = True) -> dict[bytes, bytes]:
    refusal = Refusal("rate:exceeded", 429, "Wait.", should_retry=helps, retry_after_s=wait_s)
    return dict(refusal_headers(refusal, "req_1"))


@pytest.mark.parametrize(
    ("wait_s", "may_retry"), [(1, b"true"), (30, b"true"), (31, b"false"), (61, b"false")]
)
def test_an_sdk_is_told_to_repeat_only_what_can_succeed_within_30_s(
    wait_s: int, may_retry: bytes
) -> None:
    headers = waiting(wait_s)
    assert headers[b"x-should-retry"] == may_retry
    assert headers[b"retry-after"] == str(wait_s).encode()


def test_without_a_time_the_refusal_alone_says_whether_to_repeat() -> None:
    assert waiting(None)[b"x-should-retry"] == b"true"
    assert waiting(None, helps=False)[b"x-should-retry"] == b"false"
    assert b"retry-after" not in waiting(None)


def test_a_key_that_used_up_its_minute_at_once_is_not_slept_out() -> None:
    rates = Rates()
    assert rates.take_request("k", 1, 100.0) is None
    refusal = rates.take_request("k", 1, 101.0)
    assert refusal is not None
    headers = dict(refusal_headers(refusal, "req_1"))
    assert int(headers[b"retry-after"]) > 30
    assert headers[b"x-should-retry"] == b"false"
