"""Other people's suites straight at the stand-in: its answers are true to the dialects.

What the guard in front of it changes is then the guard's doing.
"""

import pytest

from judges import COMPLY, comply
from standin import StandinProcess


@pytest.mark.parametrize("form", COMPLY)
def test_llm_comply_finds_nothing_wrong_with(form: str, standin: StandinProcess) -> None:
    results = comply(form, standin.base_url, standin.credential).values()
    wrong = {
        result["id"]: result.get("errors")
        for result in results
        if result["status"] not in ("passed", "skipped")
    }
    assert wrong == {}
    assert len(results) >= 9
    warned = {r["id"]: r["warnings"] for r in results if r.get("warnings")}
    assert set(warned) <= {"compact-response"}, warned
