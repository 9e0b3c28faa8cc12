"""A provider that ends its answer properly but too early: HTTP says that all was sent, the dialect
that it was not. The guard passes on what came, adds nothing, and charges the whole hold."""

import json

import pytest

from books import ended
from caller import SHAPES, calling, new_key
from guard import GuardProcess
from standin import StandinProcess

ENDINGS = (b"[DONE]", b"message_stop", b'"finishReason"', b'"finish_reason":"stop"', b'"error"')


@pytest.mark.req("M-5", "M-11")
@pytest.mark.parametrize("kind", SHAPES)
async def test_an_answer_that_ends_early_is_passed_on_as_it_came_and_charged_in_full(
    guard: GuardProcess, standin: StandinProcess, kind: str
) -> None:
    name = f"early-end-{kind.replace(' ', '-')}"
    key_id, key = await new_key(guard, "5.00/day")
    async with calling(guard.base_url) as caller:
        told = await caller.call(
            key,
            SHAPES[kind],
            f"chunks=6; output_tokens=300; fail=close@2; tag={name}",
            headers={"x-request-id": name},
        )
    assert (told.status, told.is_whole) == (200, True), "as far as HTTP goes"
    assert told.body
    assert not any(ending in told.body for ending in ENDINGS), "nothing is added to it"
    if "document" in kind or "array" in kind:
        with pytest.raises(ValueError, match="line"):
            json.loads(told.body)
    ledger = (await ended(guard.folder / "data", name))[name]
    assert (ledger.end, ledger.is_estimate) == ("settle", True)
    assert ledger.cost_nusd == ledger.held_nusd
    (line,) = standin.lines(name)
    assert line["cost_nusd"] <= ledger.cost_nusd
    (record,) = guard.recorded(key_id)
    assert (record["outcome"], record["is_estimate"]) == ("complete", True)
