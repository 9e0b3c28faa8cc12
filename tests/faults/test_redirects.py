"""A provider that answers with a redirect has done nothing: it is not followed, costs nothing, and
leads the caller nowhere."""

import pytest

from books import ended
from caller import SHAPES, Shape, calling, cap_of, new_key
from guard import GuardProcess
from standin import StandinProcess


@pytest.mark.req("S-6", "M-11")
@pytest.mark.parametrize("kind", SHAPES)
async def test_a_redirect_is_passed_on_without_its_address_and_costs_nothing(
    guard: GuardProcess, standin: StandinProcess, kind: str
) -> None:
    shape: Shape = SHAPES[kind]
    name = f"redirect-{kind.replace(' ', '-')}"
    key_id, key = await new_key(guard, "5.00/day")
    inside = f"{standin.base_url}/v1/inside?token=internal"
    async with calling(guard.base_url) as caller:
        told = await caller.call(
            key, shape, f"redirect={inside}; tag={name}", headers={"x-request-id": name}
        )
    assert (told.status, told.is_whole) == (302, True)
    assert "location" not in told.headers
    assert inside not in f"{told.headers}" + told.body.decode()
    assert not any(seen["path"].startswith("/v1/inside") for seen in standin.requests())
    ledger = (await ended(guard.folder / "data", name))[name]
    assert (ledger.end, ledger.why, ledger.cost_nusd) == ("void", "rejected", 0)
    cap = await cap_of(guard, f"key:{key_id}")
    assert (cap["spent"], cap["held"]) == (0, 0)
    (record,) = guard.recorded(key_id)
    assert (record["status"], record["outcome"], record.get("cost_nusd", 0)) == (302, "rejected", 0)
